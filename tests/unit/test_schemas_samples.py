"""The hot path gives what the records give, and a bad row costs itself only."""

from __future__ import annotations

import json

import numpy as np
import pytest

from schemas import avro_form, columns
from schemas import records as r
from schemas.codec import encode
from schemas.columns import SampleColumns, Series
from schemas.errors import DecodeError, Invalid, NotFinite, Reason, TimeOutOfRange, TooLarge, Undecodable
from schemas.samples import decode_samples, encode_samples, read_common_signal
from schemas.schema_ids import InMemorySchemaIds
from schemas.series_tables import SeriesTables
from schemas.wire import Wire

AT = 1_700_000_000_000
ALPHA, BETA = Series("svc-alpha", "latency_ms", "ms"), Series("svc-beta", "error_rate")
SIGNAL = r.HealthSignal(asset_id="a", metric="m", value=420.0, unit="ms", at=AT, source="prom")


def batch(index: object = (0, 1, 0), at: object = (AT, AT, AT + 1), value: object = (1.0, 2.0, 3.0)) -> dict:
    keys = [{"asset_id": "svc-alpha", "metric": "latency_ms", "unit": "ms"}]
    keys.append({"asset_id": "svc-beta", "metric": "error_rate", "unit": ""})
    columns_of = {"series_index": list(index), "at": list(at), "value": list(value)}  # type: ignore[call-overload]
    return {"source": "host", "series": keys, **columns_of}


def on(wire: Wire, fields: dict, ids: InMemorySchemaIds) -> bytes:
    if wire is Wire.JSON:
        return json.dumps(fields).encode()
    packed = {n: np.array(fields[n], t).tobytes() for n, t in avro_form.COLUMN_TYPES.items()}
    body = avro_form.write_fields(r.HealthSignalBatch, fields | packed)
    return avro_form.frame(r.HealthSignalBatch, body, wire, ids)


def rows(samples: SampleColumns) -> list[tuple[Series, int, float]]:
    return [(samples.series_of(i), int(samples.at[i]), float(samples.value[i])) for i in range(len(samples))]


@pytest.fixture
def ids() -> InMemorySchemaIds:
    return InMemorySchemaIds()


@pytest.mark.parametrize("wire", list(Wire))
def test_a_batch_on_every_wire(wire: Wire, ids: InMemorySchemaIds) -> None:
    samples = decode_samples(on(wire, batch(), ids), schema_ids=ids)
    assert rows(samples) == [(ALPHA, AT, 1.0), (BETA, AT, 2.0), (ALPHA, AT + 1, 3.0)]
    assert (samples.source, samples.rejected) == ("host", ())
    dtypes = (samples.series_index.dtype, samples.at.dtype, samples.value.dtype)
    assert dtypes == (np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.float64))


@pytest.mark.parametrize("wire", list(Wire))
def test_a_signal_is_one_row_on_every_wire(wire: Wire, ids: InMemorySchemaIds) -> None:
    samples = decode_samples(encode(SIGNAL, wire, schema_ids=ids), schema_ids=ids)
    assert rows(samples) == [(Series("a", "m", "ms"), AT, 420.0)]
    assert samples.source == "prom"


@pytest.mark.parametrize("wire", list(Wire))
@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"value": (1.0, float("nan"), 3.0)}, Reason.NOT_FINITE),
        ({"value": (1.0, float("inf"), 3.0)}, Reason.NOT_FINITE),
        ({"value": (1.0, float("-inf"), 3.0)}, Reason.NOT_FINITE),
        ({"at": (AT, -1, AT + 1)}, Reason.TIME_OUT_OF_RANGE),
        ({"at": (AT, r.LATEST_AT + 1, AT + 1)}, Reason.TIME_OUT_OF_RANGE),
        ({"at": (AT, 2**62, AT + 1)}, Reason.TIME_OUT_OF_RANGE),
        ({"index": (0, 2, 0)}, Reason.INVALID),
        ({"index": (0, -1, 0)}, Reason.INVALID),
    ],
)
def test_one_bad_row_costs_itself_only(wire: Wire, bad: dict, code: Reason, ids: InMemorySchemaIds) -> None:
    samples = decode_samples(on(wire, batch(**bad), ids), schema_ids=ids)
    assert rows(samples) == [(ALPHA, AT, 1.0), (ALPHA, AT + 1, 3.0)]
    assert [(refused.row, refused.code) for refused in samples.rejected] == [(1, code)]
    assert samples.rejected[0].message


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"value": (1.0, None, 3.0)}, Reason.NOT_FINITE),
        ({"value": (1.0, "2", 3.0)}, Reason.INVALID),
        ({"value": (1.0, True, 3.0)}, Reason.INVALID),
        ({"at": (AT, None, AT + 1)}, Reason.INVALID),
        ({"at": (AT, 1.5, AT + 1)}, Reason.INVALID),
        ({"at": (AT, 10**30, AT + 1)}, Reason.TIME_OUT_OF_RANGE),
        ({"index": (0, 2**40, 0)}, Reason.INVALID),
        ({"index": (0, [], 0), "value": (1.0, {}, 3.0)}, Reason.INVALID),
    ],
)
def test_a_cell_of_a_wrong_type_in_json_costs_its_row_only(bad: dict, code: Reason) -> None:
    samples = decode_samples(json.dumps(batch(**bad)).encode())
    assert rows(samples) == [(ALPHA, AT, 1.0), (ALPHA, AT + 1, 3.0)]
    assert [(refused.row, refused.code) for refused in samples.rejected] == [(1, code)]


def test_every_row_bad_leaves_none() -> None:
    samples = decode_samples(json.dumps(batch(value=("x", None, True), at=(None, -1, "y"))).encode())
    assert len(samples) == 0
    assert [refused.row for refused in samples.rejected] == [0, 1, 2]


@pytest.mark.parametrize("wire", list(Wire))
def test_empty_batches_have_no_rows(wire: Wire, ids: InMemorySchemaIds) -> None:
    empty = {"source": "", "series": [], "series_index": [], "at": [], "value": []}
    samples = decode_samples(on(wire, empty, ids), schema_ids=ids)
    assert (len(samples), samples.series, samples.rejected) == (0, (), ())


def test_a_tombstone_has_no_rows() -> None:
    assert len(decode_samples(None)) == 0


def test_rows_of_a_series_without_a_name_are_rejected(ids: InMemorySchemaIds) -> None:
    fields = batch()
    fields["series"][1]["asset_id"] = ""
    samples = decode_samples(on(Wire.SINGLE_OBJECT, fields, ids))
    assert [s for s, _, _ in rows(samples)] == [ALPHA, ALPHA]
    assert [(refused.row, refused.code) for refused in samples.rejected] == [(1, Reason.INVALID)]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"series_index": [0]}, Invalid),
        ({"value": "abc"}, Invalid),
        ({"series": [{"asset_id": "a"}]}, Invalid),
        ({"extra": 1}, Invalid),
    ],
)
def test_faults_of_the_whole_json_batch_raise(change: dict, error: type[DecodeError]) -> None:
    with pytest.raises(error):
        decode_samples(json.dumps(batch() | change).encode())


def test_columns_of_unequal_length_in_avro_raise() -> None:
    fields: dict = {"series": [], "series_index": b"\0" * 4, "at": b"", "value": b""}
    body = avro_form.write_fields(r.HealthSignalBatch, fields)
    with pytest.raises(Invalid, match="differ in length"):
        decode_samples(avro_form.frame(r.HealthSignalBatch, body, Wire.SINGLE_OBJECT, None))


@pytest.mark.parametrize(
    ("fields", "error"),
    [({"value": float("nan")}, NotFinite), ({"at": -1}, TimeOutOfRange), ({"asset_id": ""}, Invalid)],
)
def test_a_bad_single_signal_raises(fields: dict, error: type[DecodeError]) -> None:
    body = avro_form.write_fields(r.HealthSignal, {"asset_id": "a", "metric": "m", "value": 1.0, "at": AT} | fields)
    with pytest.raises(error):
        decode_samples(avro_form.frame(r.HealthSignal, body, Wire.SINGLE_OBJECT, None))


def test_every_cut_and_every_leftover_is_refused(ids: InMemorySchemaIds) -> None:
    data = on(Wire.SINGLE_OBJECT, batch(), ids)
    for end in range(2, len(data)):
        with pytest.raises(DecodeError):
            decode_samples(data[:end])
    with pytest.raises(Undecodable, match="left over"):
        decode_samples(data + b"\0")
    with pytest.raises(TooLarge):
        decode_samples(data, max_bytes=len(data) - 1)


def test_the_columns_cannot_be_written_to(ids: InMemorySchemaIds) -> None:
    for data in (encode(SIGNAL), on(Wire.SINGLE_OBJECT, batch(), ids), json.dumps(batch(index=(0, 9, 0))).encode()):
        samples = decode_samples(data)
        for column in (samples.series_index, samples.at, samples.value, samples.rows(0, 1).value):
            assert not column.flags.writeable


@pytest.mark.parametrize("wire", list(Wire))
def test_encode_samples_is_the_inverse(wire: Wire, ids: InMemorySchemaIds) -> None:
    samples = decode_samples(on(Wire.SINGLE_OBJECT, batch(), ids))
    data = encode_samples(samples, wire, schema_ids=ids)
    assert data == encode(columns.to_batch(samples), wire, schema_ids=ids)
    assert rows(decode_samples(data, schema_ids=ids)) == rows(samples)


def table_of(size: int) -> tuple[tuple[Series, ...], bytes]:
    wide = tuple(Series(f"asset-{i}-{'x' * 80}", "m") for i in range(size))
    made = columns.checked(wide, np.zeros(1, np.int32), np.full(1, AT), np.ones(1), "host")
    return wide, encode_samples(made)


def test_a_large_series_table_is_read_once() -> None:
    wide, data = table_of(3_000)
    first = decode_samples(data).series
    assert first == wide
    assert decode_samples(data).series is first


def test_series_tables_are_kept_up_to_a_size_and_the_oldest_goes_first() -> None:
    tables = SeriesTables(cached_bytes=40)
    sent = {
        name: b"\x02" + b"".join(bytes([2 * len(t)]) + t for t in (name.encode() * 10, b"m", b"")) + b"\0"
        for name in "abcd"
    }
    assert {len(data) for data in sent.values()} == {16}
    read = {name: tables.read(sent[name]) for name in "ab"}
    assert read["a"].series == (Series("a" * 10, "m"),)
    assert tables.read(sent["a"]) is read["a"]
    tables.read(sent["c"])
    assert tables.read(sent["a"]) is read["a"], "used last"
    assert tables.read(sent["b"]) is not read["b"]
    one = SeriesTables(cached_bytes=10)
    assert one.read(sent["d"]) == one.read(sent["d"]), "larger than all that may be kept: read each time"


def test_slices_keep_their_series() -> None:
    samples = decode_samples(json.dumps(batch()).encode())
    assert rows(samples.rows(1, 3)) == rows(samples)[1:]
    assert len(samples.rows(1, 1)) == 0


def test_records_to_columns() -> None:
    assert rows(columns.of_signal(SIGNAL)) == [(Series("a", "m", "ms"), AT, 420.0)]
    record = r.HealthSignalBatch.model_validate(batch(index=(0, 2**80, 1), at=(AT, AT, -(2**80))))
    samples = columns.of_batch(record)
    assert rows(samples) == [(ALPHA, AT, 1.0)]
    codes = [(refused.row, refused.code) for refused in samples.rejected]
    assert codes == [(1, Reason.INVALID), (2, Reason.TIME_OUT_OF_RANGE)]


def test_the_common_signal_without_arrays() -> None:
    expected = (Series("a", "m", "ms"), AT, 420.0, "prom")
    for headers in (None, [], {"content-type": "avro/binary"}, [("ce_id", b"x"), ("content-type", b"avro/binary")]):
        assert read_common_signal(encode(SIGNAL), headers) == expected


def test_all_but_the_common_signal_is_left_to_decode_samples(ids: InMemorySchemaIds) -> None:
    bad = avro_form.write_fields(r.HealthSignal, {"asset_id": "a", "metric": "m", "value": float("nan"), "at": AT})
    for data in (
        b"",
        encode(SIGNAL, Wire.JSON),
        encode(SIGNAL, Wire.CONFLUENT, schema_ids=ids),
        encode(SIGNAL)[:-1],
        encode(SIGNAL) + b"\0",
        on(Wire.SINGLE_OBJECT, batch(), ids),
        avro_form.frame(r.HealthSignal, bad, Wire.SINGLE_OBJECT, None),
    ):
        assert read_common_signal(data) is None
    assert read_common_signal(encode(SIGNAL), {"content-type": "application/json"}) is None
    assert read_common_signal(encode(SIGNAL), max_bytes=10) is None


@pytest.mark.parametrize("known", [3, 40, 1_000])
def test_compact_keeps_the_rows_and_drops_the_series_that_none_is_of(known: int) -> None:
    """A gatherer's series are all that it ever met, a fetch may be of two: either way to find them gives the same."""
    series = tuple(Series(f"a{n:04d}", "m") for n in range(known))
    index, at = np.array([2, 0, 2], np.int32), np.array([30, 10, 20])
    whole = SampleColumns(series, index, at, np.array([3.0, 1.0, 2.0]), "s")
    small = whole.compact()
    assert small.series == (series[0], series[2])
    assert small.series_index.tolist() == [1, 0, 1]
    assert small.series_index.dtype == np.int32
    assert [small.series_of(row) for row in range(3)] == [whole.series_of(row) for row in range(3)]
    assert (small.at is at, small.value is whole.value, small.source) == (True, True, "s")
    assert small.compact() is small
