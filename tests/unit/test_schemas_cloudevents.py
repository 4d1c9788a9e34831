"""Headers are derived from the record and its cause: a repeat has the same ones."""

from __future__ import annotations

import re

import pytest

from schemas import records as r
from schemas.cloudevents import event_headers, rfc3339, traceparent
from schemas.golden import examples
from schemas.records import Record
from schemas.wire import Wire, content_type

AT = 1_700_000_000_123
TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01")


def headers(record: Record | None, **changes: object) -> dict[str, str]:
    arguments: dict = {"topic": "t", "key": "k", "at": AT, "cause_id": "c", "producer": "healing", "wire": Wire.JSON}
    return {name: value.decode() for name, value in event_headers(record, **arguments | changes)}


def test_all_attributes_that_the_specification_requires() -> None:
    outcome = r.JobOutcome(job_id="job-1", target_id="svc-alpha", outcome=r.JobResult.SUCCEEDED, at=AT)
    given = headers(outcome, topic="job-outcomes", key="job-1")
    assert given["ce_specversion"] == "1.0"
    assert given["ce_type"] == "maestro.v1.JobOutcome"
    assert given["ce_source"] == "/maestro/healing"
    assert given["ce_subject"] == "job-1"
    assert given["ce_time"] == "2023-11-14T22:13:20.123Z"
    assert given["content-type"] == "application/json"
    assert given["ce_id"]


@pytest.mark.parametrize("example", examples(), ids=lambda e: e.name)
def test_every_record_has_headers_and_the_same_ones_again(example) -> None:
    first, again = headers(example.record), headers(example.record.model_copy())
    assert first == again
    assert TRACEPARENT.fullmatch(first["traceparent"])
    assert first["ce_id"] == getattr(example.record, "id", first["ce_id"])


def test_an_id_of_its_own_for_what_has_none() -> None:
    signal = r.HealthSignal(asset_id="a", metric="m", value=1.0, at=AT)
    same = headers(signal)
    assert same["ce_id"] == headers(signal)["ce_id"]
    for change in ({"topic": "u"}, {"key": "j"}, {"at": AT + 1}, {"cause_id": "d"}):
        assert headers(signal, **change)["ce_id"] != same["ce_id"]


def test_one_incident_is_one_trace_with_a_span_for_each_record() -> None:
    story = [e for e in examples() if getattr(e.record, "incident_id", "").startswith("incident-5d1c")]
    assert len(story) >= 3
    parents = [headers(e.record, cause_id=e.record.cause_id)["traceparent"] for e in story]
    assert len({p.split("-")[1] for p in parents}) == 1
    assert len({p.split("-")[2] for p in parents}) == len(story)


@pytest.mark.parametrize(
    ("trace_id", "kept"),
    [
        ("4bf92f3577b34da6a3ce929d0e0e4736", True),
        ("4BF92F3577B34DA6A3CE929D0E0E4736", True),
        ("0" * 32, False),
        ("x", False),
    ],
)
def test_a_trace_that_came_in_goes_on(trace_id: str, kept: bool) -> None:
    signal = r.HealthSignal(asset_id="a", metric="m", value=1.0, at=AT, trace_id=trace_id)
    parent = traceparent(signal, "id", "cause")
    assert TRACEPARENT.fullmatch(parent)
    assert (parent.split("-")[1] == trace_id.lower()) is kept


def test_a_tombstone_has_no_content_type() -> None:
    given = headers(None)
    assert given["ce_type"] == "maestro.v1.Tombstone"
    assert "content-type" not in given


@pytest.mark.parametrize("wire", list(Wire))
def test_the_content_type_is_understood_by_the_codec(wire: Wire) -> None:
    signal = r.HealthSignal(asset_id="a", metric="m", value=1.0, at=AT)
    arguments: dict = {"topic": "t", "key": "k", "at": AT, "cause_id": "c", "producer": "p"}
    assert content_type(event_headers(signal, wire=wire, **arguments)) == wire.value


def test_times() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(r.LATEST_AT) == "2100-01-01T00:00:00.000Z"
