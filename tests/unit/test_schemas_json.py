"""JSON: byte-stable out, strict in."""

from __future__ import annotations

import math

import pytest

from schemas import records as r
from schemas.errors import Invalid, NotFinite, UnknownEnum
from schemas.json_form import from_json_bytes, from_json_object, to_json

AT = 1_700_000_000_000


def test_fields_in_declared_order_maps_in_key_order() -> None:
    signal = r.HealthSignal(asset_id="ä", metric="m", value=1, at=AT, tags={"z": "1", "a": "2"})
    assert (
        to_json(signal)
        == (
            '{"asset_id":"ä","metric":"m","value":1.0,"unit":"","at":1700000000000,'
            '"tags":{"a":"2","z":"1"},"source":"","trace_id":null}'
        ).encode()
    )


def test_maps_are_in_key_order_even_after_a_copy_that_skips_validation() -> None:
    job = r.JobRequest(id="j", at=AT, weights={"b": 1.0, "a": 2.0}, metadata={"y": 1, "x": None})
    other = job.model_copy(update={"weights": {"a": 2.0, "b": 1.0}, "metadata": {"x": None, "y": 1}})
    assert to_json(job) == to_json(other)


def test_values_of_a_replay_line() -> None:
    value = {"asset_id": "a", "metric": "m", "value": 1, "at": AT}
    assert from_json_object(r.HealthSignal, value) == r.HealthSignal(asset_id="a", metric="m", value=1.0, at=AT)
    with pytest.raises(NotFinite):
        from_json_object(r.HealthSignal, value | {"value": math.nan})
    with pytest.raises(Invalid):
        from_json_object(r.HealthSignal, value | {"value": "1"})


def test_a_column_keeps_its_rows_through_null() -> None:
    key = r.SeriesKey(asset_id="a", metric="m")
    batch = r.HealthSignalBatch(series=(key,), series_index=(0, 0), at=(AT, AT), value=(math.nan, 1.0))
    back = from_json_bytes(r.HealthSignalBatch, to_json(batch))
    assert math.isnan(back.value[0])
    assert back.value[1] == 1.0


def test_integers_and_floats_of_an_open_map_stay_what_they_are() -> None:
    job = from_json_bytes(r.JobRequest, b'{"id":"j","at":1,"metadata":{"i":1,"f":1.0,"b":true,"s":"1"}}')
    assert [type(v) for v in job.metadata.values()] == [int, float, bool, str]
    assert b'"metadata":{"b":true,"f":1.0,"i":1,"s":"1"}' in to_json(job)


def test_the_first_code_of_its_own_is_the_code() -> None:
    with pytest.raises(UnknownEnum, match="priority"):
        from_json_bytes(r.JobRequest, b'{"id":"","at":"x","priority":"urgent"}')


def test_policy_records_of_a_later_kind_have_no_body() -> None:
    later = {"id": "p", "kind": "unknown", "version": "1", "at": AT}
    assert from_json_object(r.PolicyRecord, later).kind == "unknown"
    with pytest.raises(Invalid, match="bodies"):
        from_json_object(r.PolicyRecord, later | {"pause": {"holder": "ops"}})
    with pytest.raises(Invalid, match="bodies"):
        from_json_object(r.PolicyRecord, later | {"kind": "pause"})
