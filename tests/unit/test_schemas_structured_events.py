"""CloudEvents around records, as the CloudEvents SDKs write them: structured mode, binary mode, and what is neither."""

from __future__ import annotations

import base64
import json

import pytest

from schemas.codec import decode, encode
from schemas.errors import DecodeError, Empty, Invalid, NotFinite, TooLarge, Undecodable
from schemas.records import HealthSignal, HealthSignalBatch, SeriesKey
from schemas.samples import decode_samples
from schemas.wire import Wire

AT = 1_700_000_000_000
SIGNAL = HealthSignal(asset_id="svc-a", metric="latency_ms", value=112.0, unit="ms", at=AT)
DATA = {"asset_id": "svc-a", "metric": "latency_ms", "value": 112.0, "unit": "ms", "at": AT}
EVENT: dict[str, object] = {
    "specversion": "1.0", "id": "1", "source": "/tests", "type": "sample", "time": "2023-11-14T22:13:20Z", "data": DATA,
}  # fmt: skip
STRUCTURED = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
BINARY = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_type", b"sample"), ("content-type", b"application/json")]


def event(**changes: object) -> bytes:
    return json.dumps({k: v for k, v in {**EVENT, **changes}.items() if v is not None}).encode()


def test_structured_mode_is_read_on_both_paths() -> None:
    for data in (event(), event(datacontenttype="application/json"), event(data=json.dumps(DATA))):
        assert decode((HealthSignal, HealthSignalBatch), data, STRUCTURED) == SIGNAL
        assert decode_samples(data, STRUCTURED).value.tolist() == [112.0]


def test_avro_travels_in_base64() -> None:
    data = event(data=None, datacontenttype="avro/binary", data_base64=base64.b64encode(encode(SIGNAL)).decode())
    assert decode((HealthSignal,), data, STRUCTURED) == SIGNAL


def test_a_batch_with_one_bad_row_loses_one_row() -> None:
    batch = HealthSignalBatch(
        series=(SeriesKey(asset_id="a", metric="m"),), series_index=(0, 0), at=(AT, AT), value=(1.0, float("nan"))
    )
    samples = decode_samples(event(data=json.loads(encode(batch, Wire.JSON))), STRUCTURED)
    assert len(samples) == 1
    assert [row.row for row in samples.rejected] == [1]


def test_binary_mode_is_the_record_with_headers_beside_it() -> None:
    assert decode((HealthSignal,), json.dumps(DATA).encode(), BINARY) == SIGNAL
    assert len(decode_samples(json.dumps(DATA).encode(), BINARY)) == 1


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", Empty),
        (b"{", Undecodable),
        (b"[]", Undecodable),
        (b"{}", Invalid),
        (event(specversion="0.3"), Invalid),
        (event(id=None), Invalid),
        (event(data=None), Empty),
        (event(data=5), Undecodable),
        (event(data=None, data_base64="!"), Invalid),
        (event(data={**DATA, "value": float("nan")}), NotFinite),
        (event(datacontenttype="text/plain"), Undecodable),
        (event(data={"x": "y" * 2_000_000}), TooLarge),
    ],
)
def test_what_is_no_event_of_ours_has_a_reason(data: bytes, error: type[DecodeError]) -> None:
    with pytest.raises(error):
        decode((HealthSignal,), data, STRUCTURED)
    with pytest.raises(error):
        decode_samples(data, STRUCTURED)
