"""Requests that are read alike are the same as those that are read one by one; so are their texts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import alike, avro_form
from schemas.codec import decode, encode
from schemas.errors import DecodeError
from schemas.records import Constraints, JobRequest, Record
from streams.routing.texts import kind_of, text_of

FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["", "render"]),
        "tenant": st.sampled_from([None, "acme", ',"at":']),
        "priority": st.sampled_from(["low", "critical"]),
        "required_capabilities": st.sampled_from([(), ("run",)]),
        "constraints": st.sampled_from([Constraints(), Constraints(regions=("eu",), max_latency_ms=0.0)]),
        "weights": st.sampled_from([None, {"cost": 1.0}]),
        "data_gb": st.sampled_from([None, 0.0, -0.0, 2.0]),
        "metadata": st.sampled_from([{}, {"n": 1}, {"n": 1.0}, {"n": True}, {',"type":': ',"at":'}]),
    },
)
IDS = st.one_of(st.text(min_size=1, max_size=70), st.sampled_from(["job-1", 'a"b\\', "\x1f\x7f", "é" * 512]))
TIMES = st.one_of(st.integers(0, 300), st.integers(1_700_000_000_000, 1_700_000_000_999), st.just(4_102_444_800_000))
JOBS = st.builds(lambda name, at, fields: JobRequest(id=name, at=at, **fields), IDS, TIMES, FIELDS)


@pytest.fixture(autouse=True)
def _nothing_known():
    alike._known.clear()


def read(data: bytes) -> Record | str | None:
    try:
        return decode((JobRequest,), data)
    except DecodeError as error:
        return f"{error.code}: {error.message}"


def read_one_by_one(data: bytes) -> Record | str | None:
    with pytest.MonkeyPatch.context() as off:
        off.setattr(avro_form.alike, "read", lambda data, body_at: None)
        return read(data)


@settings(max_examples=300, deadline=None)
@given(jobs=st.lists(JOBS, min_size=2, max_size=12))
def test_jobs_that_are_read_alike_are_the_same(jobs):
    for job in (*jobs, *jobs):
        data = encode(job)
        found = read(data)
        assert found == job == read_one_by_one(data)
        assert isinstance(found, JobRequest)
        assert found.model_dump_json() == job.model_dump_json() == text_of(found) == text_of(job)
        assert found.model_fields_set == set(JobRequest.model_fields)
        assert encode(found) == data
        assert kind_of(found) == kind_of(job)


@settings(max_examples=300, deadline=None)
@given(job=JOBS, cut=st.integers(0, 60), junk=st.binary(max_size=12), at=st.integers(0, 200), byte=st.integers(0, 255))
def test_bytes_that_are_broken_are_refused_in_the_same_words(job, cut, junk, at, byte):
    """Cut short, with more behind, or with one byte of another value: with a whole one of its kind known."""
    data = encode(job)
    assert read(data) == job
    changed = bytearray(data)
    changed[10 + at % (len(data) - 10)] = byte
    for broken in (data[: max(11, len(data) - cut)], data + junk, bytes(changed)):
        assert repr(read(broken)) == repr(read_one_by_one(broken))


def test_what_is_read_alike_is_read_once():
    first, second = (decode((JobRequest,), encode(JobRequest(id=name, at=7, metadata={"n": 1}))) for name in "ab")
    assert isinstance(first, JobRequest)
    assert isinstance(second, JobRequest)
    assert first.constraints is second.constraints
    assert first.metadata is second.metadata
    assert kind_of(first) is kind_of(second)
    other = decode((JobRequest,), encode(JobRequest(id="c", at=7, metadata={"n": True})))
    assert isinstance(other, JobRequest)
    assert other.metadata["n"] is True


def test_the_kinds_that_are_kept_are_bounded():
    for i in range(alike.KEPT + 10):
        read(encode(JobRequest(id="a", at=7, type=f"kind-{i}")))
    read(encode(JobRequest(id="a", at=7, metadata={"n": "x" * alike.KEPT_BYTES})))
    assert 0 < len(alike._known) <= alike.KEPT
    assert max(map(len, alike._known)) <= alike.KEPT_BYTES
