"""Jobs come back to a target that was ill: late, if it is worth it, a few at a time, and not at all while it flaps."""

from __future__ import annotations

import json

import pytest

from schemas.codec import encode as encode_record
from schemas.records import Approval, AutonomyMode, Budget, JobOutcome, JobResult, ModeRule, Pause, PolicyRecord
from streams.atleastonce.batch import RawMessage
from streams.atleastonce.changelog import ROW, FlushId, Owner, content_entries
from streams.command.ledger import Entry
from streams.routing.away import AwayRow, away_key, home_keys
from streams.routing.returning import approval_id
from streams.routing.state import IndexRow, JobRow, decode, encode, job_key
from streams.routing.turns import why_not_back
from topology.client.reading import Read
from topology.client.returning import moved_job, why_not_back_from


@pytest.fixture
def make_rig(make_rig):
    """As elsewhere, with failback switched on."""
    return lambda **settings: make_rig(**({"failback_mode": "auto"} | settings))


@pytest.fixture
def rig(make_rig):
    return make_rig()


def driven_away(rig, jobs=("job",), better=1.0, **fields):
    """Jobs of `a`, which is the fastest, run on `b` since `a` fell ill."""
    rig.asset("a", latency_ms=better, **fields)
    rig.asset("b")
    for job in jobs:
        assert rig.route(job, tenant="acme").target_id == "a"
    moved = rig.incident("a")
    assert sorted(d.job_id for d in moved) == sorted(jobs)
    assert {d.target_id for d in moved} == {"b"}
    check(rig)


def check(rig):
    """Who could come back is named once, and rows survive their bytes."""
    rows = rig.partition.rows
    index = [rows[key] for key in home_keys("a") if key in rows]
    named = sorted(job for row in index if isinstance(row, IndexRow) for job in row.job_ids)
    jobs = [row for row in rows.values() if isinstance(row, JobRow) and row.phase != "done"]
    away = sorted(row.request.id for row in jobs if row.home_id == "a")
    assert named == away
    assert all(decode(encode(row)) == row for row in rows.values())


def well(rig):
    return rig.incident("a", state="closed")


def why_not(rig, job="job"):
    return why_not_back(rig.partition.rows, job, rig.at)


def test_a_job_comes_back_when_its_target_has_been_well_long_enough(rig):
    driven_away(rig)
    assert why_not(rig) == "a is ill"
    rig.wait(5)
    assert well(rig) == []
    assert rig.wait(599) == []
    assert why_not(rig) == "a has been well for 599 s, its next turn is in 1.0 s"
    [back] = rig.wait(1)
    assert (back.outcome, back.target_id, back.revision) == ("pivoted", "a", 3)
    assert back.reason.startswith("fails back from b: a has been well for 600 s; a scores ")
    assert back.cause_id == rig.decided[1].id
    assert away_key("a") not in rig.partition.rows
    assert why_not(rig) == ""
    check(rig)
    assert rig.wait(7_200) == []


def changelog(rig, partition=1):
    """What the layer's changelog holds of these rows, behind older versions of them and rows of another partition."""
    flush, other = FlushId(Owner(1, 1), 1), FlushId(Owner(1, 1), 2)
    rows = {key.encode(): encode(row) for key, row in rig.partition.rows.items()}
    written = [
        *((partition, entry) for entry in content_entries(flush, [(key, b"older") for key in rows], [b"outputs"])),
        *((partition + 1, entry) for entry in content_entries(flush, [(away_key("a").encode(), b"of others")], ())),
        *((partition, entry) for entry in content_entries(other, rows.items(), ())),
    ]
    return [
        Read("changelog", p, n, key.decode(), 0, None, "", RawMessage(n, 0, key, data, headers))
        for n, (p, (key, data, headers)) in enumerate(written)
    ]


def test_why_a_job_is_not_back_is_read_from_the_changelog(rig):
    driven_away(rig, jobs=("job", "other"))
    assert why_not_back_from(changelog(rig), "job", rig.at) == "a is ill"
    rig.wait(5)
    well(rig)
    rig.wait(100)
    told = why_not_back_from(changelog(rig), "job", rig.at)
    assert told == why_not(rig) == "a has been well for 100 s, its next turn is in 500 s"
    assert why_not_back_from(changelog(rig), "nobody", rig.at) == ""
    gone = Read("changelog", 1, 99, ROW.decode() + job_key("job"), 0, None, "", RawMessage(99, 0, None, None))
    assert why_not_back_from([*changelog(rig), gone], "job", rig.at) == ""
    rig.wait(500)
    assert why_not_back_from(changelog(rig), "job", rig.at) == ""


def entry(record):
    return Entry(getattr(record, "id", ""), "t", "k", 0, record, "t:0:0")


def test_only_a_job_that_was_moved_and_runs_is_asked_about(rig):
    driven_away(rig, jobs=("job", "other"))
    told = [entry(decision) for decision in rig.decided if decision.job_id == "job"]
    assert moved_job(told) == "job"
    assert moved_job(told[:1]) == ""
    assert moved_job([entry(decision) for decision in rig.decided]) == "", "an incident's story has several"
    ended = JobOutcome(job_id="job", target_id="b", outcome="succeeded", at=1)
    assert moved_job([*told, entry(ended)]) == ""
    failed = ended.model_copy(update={"outcome": JobResult.FAILED, "target_id": "a"})
    assert moved_job([*told, entry(failed)]) == "job", "what failed once may run elsewhere"


def test_a_job_that_was_decided_on_twice_but_was_never_elsewhere_is_not_asked_about(rig):
    waiting = rig.route("job")
    rig.asset("a")
    rig.wait(60)
    routed = rig.decided[-1]
    again = routed.model_copy(update={"revision": routed.revision + 1})
    assert [waiting.target_id, routed.target_id] == [None, "a"]
    assert moved_job([entry(decision) for decision in (waiting, routed, again)]) == ""


def test_a_target_that_flaps_gets_nothing_back(rig):
    driven_away(rig)
    for _ in range(20):
        assert well(rig) == []
        assert rig.wait(590) == []
        assert rig.incident("a") == []
        assert why_not(rig) == "a is ill"
        rig.wait(30)
    assert rig.row().target_id == "b"
    assert rig.row().revision == 2
    well(rig)
    assert [d.target_id for d in rig.wait(600)] == ["a"]


def test_of_a_target_that_flaps_slowly_a_job_moves_twice_in_a_period_at_most(rig):
    driven_away(rig)
    for _ in range(5):
        well(rig)
        rig.wait(700)
        rig.incident("a")
        rig.wait(10)
    assert rig.row().revision == 2 + 2 * 5
    check(rig)


def test_a_gain_below_the_cost_of_moving_moves_nothing(make_rig):
    rig = make_rig(incumbent_bonus=0.5, weights={"latency": 1})
    driven_away(rig, better=95.0)
    well(rig)
    assert rig.wait(605) == []
    assert rig.row().target_id == "b"
    assert "held back: a scores 1.000, b 1.000 with 0.5 for having the job" in why_not(rig)
    rig.asset("a", latency_ms=1.0)
    assert [d.target_id for d in rig.wait(1_200)] == ["a"], "it is worth it now, at the next try"


def test_a_few_come_back_in_a_window_the_most_urgent_first(make_rig):
    rig = make_rig(moved_max=2)
    rig.asset("a", latency_ms=1.0)
    rig.asset("b")
    for i in range(5):
        rig.route(f"job-{i}", priority="critical" if i == 4 else "normal")
    rig.incident("a")
    rig.wait(1)
    assert {rig.row(f"job-{i}").target_id for i in range(5)} == {"b"}
    well(rig)
    assert [d.job_id for d in rig.wait(600)] == ["job-4", "job-0"]
    check(rig)
    assert rig.wait(59) == []
    assert [d.job_id for d in rig.wait(1)] == ["job-1", "job-2"]
    assert [d.job_id for d in rig.wait(60)] == ["job-3"]
    assert away_key("a") not in rig.partition.rows


def test_an_illness_between_two_windows_keeps_the_rest_away(make_rig):
    rig = make_rig(moved_max=1)
    driven_away(rig, ("x",))
    rig.route("y")
    well(rig)
    assert [d.job_id for d in rig.wait(600)] == ["x"]
    rig.incident("a")
    assert rig.wait(500) == []


def test_it_comes_back_to_where_it_was_first_not_to_what_it_fled_to(rig):
    driven_away(rig)
    rig.asset("c", latency_ms=500)
    assert [d.target_id for d in rig.incident("b")] == ["c"]
    well(rig)
    rig.incident("b", state="closed")
    assert [d.target_id for d in rig.wait(600)] == ["a"]
    assert rig.wait(3_600) == []


def test_a_target_without_room_or_that_is_gone_gets_nothing(make_rig):
    rig = make_rig()
    driven_away(rig, capacity_units=1.0)
    well(rig)
    rig.route("another", tenant="acme")
    assert rig.row("another").target_id == "a"
    assert rig.wait(600) == []
    assert "held back: a 1 of 1 units of capacity booked, needs 1" in why_not(rig)
    rig.gone("a")
    assert why_not(rig) == "a is ill"
    assert all(d.target_id != "a" for d in rig.wait(3_600))


def test_a_budget_may_keep_a_job_away(make_rig):
    rig = make_rig(weights={"latency": 1})
    driven_away(rig, cost_usd_per_hour=50.0)
    body = Budget(scope="tenant:acme", limit_usd_per_hour=20)
    rig.policy_record(PolicyRecord(id="b", kind="budget", version="1", budget=body, at=rig.at))
    well(rig)
    assert rig.wait(700) == []
    assert "50.00 USD/h, budget of tenant:acme 20.00 USD/h" in why_not(rig)


def test_a_pause_and_a_mode_hold_it_back_and_say_so(rig):
    driven_away(rig)
    pause = Pause(holder="ada", scope="asset:a")
    rig.policy_record(PolicyRecord(id="p", kind="pause", version="1", pause=pause, at=rig.at))
    mode = ModeRule(strategy="failback", mode=AutonomyMode.APPROVE)
    rig.policy_record(PolicyRecord(id="m", kind="mode", version="3", mode=mode, at=rig.at))
    well(rig)
    assert rig.wait(605) == []
    assert why_not(rig).endswith("held back: paused by ada (p@1)")
    rig.seen("policies", "p", None)
    assert rig.wait(60) == []
    assert why_not(rig).endswith(f"held back: mode approve (m@3): no approval of {approval_id('a')}")
    answer = Approval(action_id=approval_id("a"), approved=True, by="bob")
    rig.policy_record(PolicyRecord(id="ok", kind="approval", version="1", approval=answer, at=rig.at))
    assert [d.target_id for d in rig.wait(60)] == ["a"]


def test_unless_it_is_switched_on_nothing_comes_back_and_a_mode_record_switches_it_on(make_rig):
    rig = make_rig(failback_mode="observe")
    driven_away(rig)
    well(rig)
    assert rig.wait(605) == []
    assert why_not(rig).endswith("held back: mode observe")
    mode = ModeRule(strategy="failback", mode=AutonomyMode.AUTO)
    rig.policy_record(PolicyRecord(id="m", kind="mode", version="1", mode=mode, at=rig.at))
    assert [d.target_id for d in rig.wait(60)] == ["a"]


def test_a_job_that_failed_there_by_itself_does_not_come_back(rig):
    rig.asset("a", latency_ms=1.0)
    rig.asset("b")
    rig.route()
    rig.at += 1
    assert [d.target_id for d in rig.outcome("a", "failed")] == ["b"]
    assert rig.row().home_id is None
    assert rig.wait(7_200) == []


def test_a_job_that_ends_or_asks_for_something_else_is_forgotten_here(rig):
    driven_away(rig, ("one", "two"))
    rig.at += 1
    rig.outcome("b", "succeeded", "one")
    rig.route("two", data_gb=1.0)
    check(rig)
    well(rig)
    assert rig.wait(700) == []
    assert away_key("a") not in rig.partition.rows


def test_a_drained_target_counts_as_ill_until_its_failover_is_rolled_back(rig):
    rig.asset("a", latency_ms=1.0)
    rig.asset("b")
    rig.route()
    assert [d.target_id for d in rig.remediation("a", "executing")] == ["b"]
    assert rig.wait(3_600) == []
    rig.remediation("a", "rolled_back")
    assert [d.target_id for d in rig.wait(600)] == ["a"]


def test_replay_and_restarts_bring_back_the_same(make_rig):
    def told(restarted):
        rig = make_rig(moved_max=1)
        driven_away(rig, ("x",))
        for job in ("y", "z"):
            rig.route(job)
        for _ in range(3):
            well(rig)
            rig.wait(650)
            rig.incident("a")
            rig.wait(5)
            if restarted:
                rows = [(key.encode(), encode(row)) for key, row in sorted(rig.partition.rows.items())]
                rig.partition = rig.layer.partition(rig.view, rig.partition.clock)
                rig.partition.load(rows)
        return [encode_record(decision) for decision in rig.decided]

    assert told(False) == told(False) == told(True)
    assert len(told(False)) > 8


def test_rows_of_before_have_no_home(rig):
    rig.asset("a")
    rig.route()
    new = json.loads(encode(rig.row()))
    assert new["v"] == 6
    old = {name: value for name, value in new.items() if name != "home_id"} | {"v": 5}
    assert decode(json.dumps(old).encode()) == rig.row()


@pytest.mark.parametrize("row", [AwayRow("a"), AwayRow("a", 5, 9, 2, "job", "why")])
def test_a_row_survives_its_bytes(row):
    assert decode(encode(row)) == row
