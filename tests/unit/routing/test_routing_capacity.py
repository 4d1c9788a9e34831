"""Capacity is booked while a job runs: by whom, until when, and who gets what is freed."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.records import JobRequest
from streams.routing.bookings import BookedRow, Booking, booked_key, changed
from streams.routing.engine import RoutingLayer
from streams.routing.room import Room
from streams.routing.settings import RoutingSettings
from streams.routing.state import decode, encode


def booked(rig, target="a"):
    row = rig.partition.rows.get(booked_key(target))
    assert row is None or (isinstance(row, BookedRow) and decode(encode(row)) == row)
    return row.units(rig.at) if row is not None else 0.0


def test_capacity_is_booked_and_freed_by_the_outcome(make_rig):
    rig = make_rig(critical_reserve_share=0)
    rig.asset("a", capacity_units=2.0)
    assert [rig.route(f"job-{i}").outcome for i in range(3)] == ["routed", "routed", "unroutable"]
    assert rig.decided[-1].candidates[0].reasons[0] == "2 of 2 units of capacity booked, needs 1"
    assert booked(rig) == 2
    rig.at += 1
    woken = rig.outcome("a", "succeeded", "job-0")
    assert [(d.job_id, d.outcome, d.revision) for d in woken] == [("job-2", "routed", 2)]
    assert booked(rig) == 2
    rig.outcome("a", "succeeded", "job-1")
    rig.outcome("a", "succeeded", "job-2")
    assert booked_key("a") not in rig.partition.rows


def test_a_critical_job_takes_the_last_slot(make_rig):
    rig = make_rig(critical_reserve_share=0.1)
    rig.asset("a", capacity_units=3.0)
    assert [rig.route(f"job-{i}").outcome for i in range(3)] == ["routed", "routed", "unroutable"]
    assert "1 kept for critical jobs" in rig.decided[-1].candidates[0].reasons[0]
    assert rig.route("urgent", priority="critical").outcome == "routed"
    assert rig.route("urgent-too", priority="critical").outcome == "unroutable"


def test_what_is_freed_goes_to_the_most_urgent_that_waits(make_rig):
    rig = make_rig()
    rig.asset("a", capacity_units=1.0)
    rig.route("first")
    for job, priority in (("a-low", "low"), ("b-critical", "critical"), ("c-high", "high")):
        assert rig.route(job, priority=priority).outcome == "unroutable"
    rig.at += 1
    assert [d.job_id for d in rig.outcome("a", "succeeded", "first")] == ["b-critical"]


def test_a_booking_ends_without_an_outcome(make_rig):
    rig = make_rig(booking_ttl_s=60, retry_s=15)
    rig.asset("a", capacity_units=1.0)
    rig.route("lost")
    assert rig.route("next").outcome == "unroutable"
    assert [d.job_id for d in rig.wait(135)] == ["next"], "at most a minute later than its time to live"
    assert booked(rig) == 1


def test_a_pivot_frees_its_old_target_and_books_the_new_one(make_rig):
    rig = make_rig()
    rig.asset("a", capacity_units=1.0, latency_ms=1)
    rig.asset("b", capacity_units=1.0)
    assert rig.route().target_id == "a"
    assert [d.target_id for d in rig.incident("a")] == ["b"]
    assert (booked(rig, "a"), booked(rig, "b")) == (0, 1)


def test_a_failed_job_frees_its_target(make_rig):
    rig = make_rig(attempts_max=1)
    rig.asset("a", capacity_units=1.0)
    rig.route("one")
    assert rig.route("two").outcome == "unroutable"
    rig.at += 1
    assert [(d.job_id, d.outcome) for d in rig.outcome("a", "failed", "one")] == [
        ("one", "unroutable"), ("two", "routed"),
    ]  # fmt: skip


def test_a_changed_request_does_not_stand_in_its_own_way(make_rig):
    rig = make_rig()
    rig.asset("a", capacity_units=1.0)
    rig.route()
    assert rig.route(data_gb=5).target_id == "a"
    assert booked(rig) == 1


@pytest.mark.parametrize(("said", "units"), [(3, 3), (0.5, 0.5), (0, 0), (-1, 1), (True, 1), ("x", 1)])
def test_a_job_says_how_many_units_it_needs(make_rig, said, units):
    rig = make_rig()
    rig.asset("a", capacity_units=8.0)
    rig.submit(JobRequest(id="job", required_capabilities=("run",), metadata={"units": said}, at=rig.at))
    assert booked(rig) == units


def test_without_a_known_capacity_nothing_is_booked(rig):
    rig.asset("a", capacity_units=None)
    for i in range(50):
        assert rig.route(f"job-{i}").outcome == "routed"
    assert booked(rig) == 0


@settings(max_examples=100, deadline=None)
@given(capacity=st.floats(0, 50), shares=st.integers(1, 8), units=st.sampled_from([0.25, 1.0, 3.0]))
def test_all_partitions_together_never_overbook_by_more_than_their_number_less_one(capacity, shares, units):
    """Each partition fills its share; none sees the others."""
    setting = RoutingSettings(critical_reserve_share=0, job_units=units)
    job, total = JobRequest(id="job", at=0), 0.0
    for _ in range(shares):
        row: BookedRow | None = None
        while not Room(lambda key, row=row: row, shares).asked_by(job, 0, setting).refusal("a", capacity):
            row = changed(row, Booking("a", units, 60_000), 1)
            total += units
    assert total <= math.ceil(capacity) + shares - 1 + 1e-6


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    jobs=st.lists(
        st.tuples(st.integers(0, 8), st.sampled_from(["submit", "succeeded", "failed"]), st.integers(0, 90)),
        max_size=40,
    ),
    capacity=st.integers(1, 4),
)
def test_what_is_booked_is_what_the_jobs_hold(make_rig, jobs, capacity):
    rig = make_rig(booking_ttl_s=60, retry_s=7)
    for name in ("a", "b"):
        rig.asset(name, capacity_units=float(capacity))
    for i, what, seconds in jobs:
        job, row = f"job-{i}", rig.row(f"job-{i}")
        if what == "submit":
            rig.submit(rig.request(job))
        elif row is not None and row.target_id is not None:
            rig.outcome(row.target_id, what, job)
        rig.wait(seconds)
        for name in ("a", "b"):
            held = [r for n in range(9) if (r := rig.row(f"job-{n}")) and r.phase == "active" and r.target_id == name]
            assert booked(rig, name) == sum(r.booked_units for r in held if r.booked_until > rig.at) <= capacity


def test_a_layer_of_four_partitions_fills_a_quarter():
    layer = RoutingLayer(shares=4)
    assert layer.router.shares == 4
    job = JobRequest(id="j", at=0, priority="critical")
    asking = Room(lambda key: BookedRow(((60_000, 2.0),)), 4).asked_by(job, 0, RoutingSettings())
    assert asking.refusal("a", 8.0) == "2 of 2 (of 8 over 4 partitions) units of capacity booked, needs 1"
