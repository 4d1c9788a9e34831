"""One step does a bounded amount of work however many jobs wait; what is left over is done by the next ones."""

from __future__ import annotations

from schemas.codec import encode
from schemas.records import Budget, PolicyRecord
from streams.kit.partition import Partition
from streams.routing.engine import RoutingLayer
from streams.routing.leaving import leaving_key
from streams.routing.state import Phase, decode
from streams.routing.state import encode as encode_row

JOBS = [f"job-{i:02d}" for i in range(50)]


def nudged(rig):
    """A record on `policies` that changes nothing for anybody."""
    budget = Budget(scope="*", limit_usd_per_hour=1e6)
    return rig.policy_record(PolicyRecord(id="b", kind="budget", version="1", budget=budget, at=rig.at))


def test_a_better_world_tries_some_and_the_timers_place_the_rest(make_rig):
    rig = make_rig(retried_max=4)
    for job in JOBS:
        rig.route(job)
    rig.wait(2)
    at_once = [d.job_id for d in rig.asset("a")]
    assert at_once == JOBS[:4]
    rest = [d.job_id for d in rig.wait(13)]
    assert sorted(at_once + rest) == JOBS, "each once, at its retry at the latest"
    assert all(rig.row(job).phase is Phase.ACTIVE for job in JOBS)


def test_each_record_goes_on_where_the_last_one_stopped(make_rig):
    rig = make_rig(retried_max=4, retry_s=3_600)
    for job in JOBS:
        rig.route(job)
    placed = []
    rig.wait(2)
    rig.asset("a")
    for _ in range(12):
        placed.append([d.job_id for d in nudged(rig)])
    assert placed == [JOBS[i : i + 4] for i in range(4, 50, 4)]


def test_jobs_that_cannot_be_placed_do_not_stand_in_front_of_their_like(make_rig):
    rig = make_rig(retried_max=2, retry_s=3_600)
    for job in ("a-stuck", "b-stuck", "c-stuck"):
        rig.route(job, max_latency_ms=1.0)
    rig.route("d-placeable")
    rig.wait(2)
    assert rig.asset("a") == [], "two stuck ones were tried"
    assert [d.job_id for d in nudged(rig)] == ["d-placeable"]


def test_the_most_urgent_come_first_then_the_oldest_try(make_rig):
    rig = make_rig(retried_max=3, moved_max=4)
    for job, priority in (("z-old", "normal"), ("a-new", "normal"), ("low", "low"), ("y-urgent", "critical")):
        rig.at += 1
        rig.route(job, priority=priority)
    rig.wait(2)
    assert [d.job_id for d in rig.asset("a")] == ["y-urgent", "z-old", "a-new"]


def test_a_freed_slot_is_offered_past_those_that_were_just_tried(make_rig):
    rig = make_rig(woken_max=1, retry_s=3_600)
    rig.asset("a", capacity_units=1.0)
    rig.route("first")
    rig.route("old")
    rig.at += 5
    rig.route("urgent", priority="critical")
    assert [d.job_id for d in rig.outcome("a", "succeeded", "first")] == ["old"], "urgent was tried in this very ms"


def full(rig, **more):
    """All jobs run on `a`, which is the fastest; `b` can take them."""
    rig.asset("a", latency_ms=1, **more)
    for job in JOBS:
        assert rig.route(job, priority="critical" if job == "job-49" else "normal").target_id == "a"
    rig.asset("b")


def test_an_ill_target_loses_some_jobs_at_once_and_all_soon(make_rig):
    rig = make_rig(moved_max=20)
    full(rig)
    at_once = [d.job_id for d in rig.incident("a")]
    assert at_once == ["job-49", *JOBS[:19]], "the most urgent first"
    assert [d.job_id for d in rig.wait(0.1)] == JOBS[19:39]
    row = rig.partition.rows[leaving_key("a")]
    assert decode(encode_row(row)) == row
    assert [d.job_id for d in rig.wait(0.1)] == JOBS[39:49]
    assert leaving_key("a") not in rig.partition.rows
    assert {rig.row(job).target_id for job in JOBS} == {"b"}
    assert len({d.id for d in rig.decided}) == len(rig.decided)


def test_a_target_that_is_well_again_keeps_the_rest(make_rig):
    rig = make_rig(moved_max=20)
    full(rig)
    assert len(rig.incident("a")) == 20
    assert rig.incident("a", state="closed") == []
    assert rig.wait(60) == []
    assert leaving_key("a") not in rig.partition.rows


def test_jobs_that_stay_on_an_ill_target_are_asked_once(make_rig):
    rig = make_rig(moved_max=20, allow_degraded=True)
    rig.asset("a")
    for job in JOBS:
        rig.route(job)
    assert rig.incident("a") == [], "an ill target is better than none"
    assert leaving_key("a") in rig.partition.rows
    assert rig.wait(1) == []
    assert leaving_key("a") not in rig.partition.rows


def test_a_target_that_goes_while_its_jobs_leave_loses_them_all(make_rig):
    rig = make_rig(moved_max=20)
    full(rig)
    gone = len(rig.incident("a")) + len(rig.gone("a")) + len(rig.wait(1))
    assert gone == len(JOBS)
    assert {rig.row(job).target_id for job in JOBS} == {"b"}


def story(rig):
    """Jobs wait, the world gets better in small steps, some never fit."""
    for i, job in enumerate(JOBS):
        rig.at += i % 3
        rig.route(job, required_capabilities=("run",) if i % 5 else ("fly",), priority=("low", "high")[i % 2])
    rig.wait(2)
    yield
    rig.asset("a", capacity_units=9.0)
    rig.wait(2)
    yield
    rig.asset("b", capacity_units=20.0)
    rig.outcome("a", "succeeded", next(d.job_id for d in rig.decided if d.target_id == "a"))
    yield
    rig.incident("b")
    yield
    rig.wait(20)
    nudged(rig)


def told(rig, restarted):
    """The bytes of all decisions; `restarted`: the rows go through their encoding between the parts."""
    for _ in story(rig):
        if restarted:
            rows = [(key.encode(), rig.layer.encode_row(row)) for key, row in sorted(rig.partition.rows.items())]
            rig.layer = RoutingLayer(rig.settings, rig.policy)
            rig.partition = Partition(rig.layer, rig.view, clock=rig.partition.clock)
            rig.partition.load(rows)
    return [encode(decision) for decision in rig.decided]


def test_replay_decides_the_same(make_rig):
    live, again, after_restarts = (
        told(make_rig(retried_max=3, moved_max=4), restarted) for restarted in (False, False, True)
    )
    assert live == again == after_restarts
    assert len(live) > len(JOBS) + 20
