"""The life of a job: idempotent requests, retries, outcomes, fencing, time to live, rows and their index."""

from __future__ import annotations

import json

import pytest

from schemas.records import Approval, Budget, PolicyRecord, PolicyVerdict
from streams.policy.port import Answer, Outcome
from streams.routing.learned import learned_key
from streams.routing.permission import approval_id
from streams.routing.state import (
    IndexRow,
    JobRow,
    Phase,
    StateVersionError,
    decode,
    encode,
    index_key,
    target_keys,
    waiting_keys,
)


def check_index(rig):
    """Invariant: each job is named by exactly the index row that its own row asks for; no index row is empty."""
    rows = rig.partition.rows
    wanted = {}
    for row in rows.values():
        if isinstance(row, JobRow) and (key := index_key(row)) is not None:
            wanted.setdefault(key, set()).add(row.request.id)
    named = {key: set(row.job_ids) for key, row in rows.items() if isinstance(row, IndexRow)}
    assert named == wanted
    assert all(decode(encode(row)) == row for row in rows.values())


def test_the_same_request_again_decides_nothing_a_changed_one_is_a_revision(rig):
    rig.asset("a")
    job = rig.request()
    first = rig.submit(job)
    assert rig.submit(job) == []
    rig.at += 5_000
    assert rig.submit(rig.request()) == [], "only its time of asking differs"
    changed = rig.submit(rig.request(data_gb=5))
    assert [(d.outcome, d.revision) for d in changed] == [("routed", 2)]
    assert first[0].id != changed[0].id
    check_index(rig)


def test_ids_come_from_causes(make_rig):
    ids = []
    for _ in range(2):
        rig = make_rig()
        rig.asset("a")
        rig.asset("b")
        rig.route()
        rig.incident(rig.row().target_id)
        ids.append([d.model_dump_json() for d in rig.decided])
    assert ids[0] == ids[1]
    assert len(ids[0]) == 2


def test_an_unroutable_job_is_tried_again_when_an_asset_comes(rig):
    assert rig.route().reason == "no asset is registered"
    check_index(rig)
    rig.wait(2)
    decisions = rig.asset("a")
    assert [(d.outcome, d.target_id, d.revision) for d in decisions] == [("routed", "a", 2)]
    assert "tried again 2.0 s after the last try" in decisions[0].reason
    check_index(rig)


def test_tries_that_change_nothing_publish_nothing(rig):
    rig.route()
    rig.wait(2)
    assert rig.asset("a", capabilities=("walk",)) == []
    assert rig.wait(120) == []
    assert rig.row().revision == 1


def test_a_timer_tries_again_for_what_no_event_tells(rig):
    rig.asset("a")
    rig.performance("a", saturation=1.0)
    assert rig.route().outcome == "unroutable"
    rig.performance("a", saturation=0.1)
    assert rig.wait(14) == []
    decisions = rig.wait(1)
    assert [(d.outcome, d.target_id) for d in decisions] == [("routed", "a")]
    assert decisions[0].cause_id == rig.decided[0].id


def test_waiting_ends_at_the_deadline(rig):
    rig.route(deadline_at=rig.at + 20_000)
    rig.wait(20)
    assert rig.row() is not None
    rig.wait(1)
    assert rig.row() is None
    check_index(rig)
    assert rig.asset("a") == []


def test_success_ends_a_job_and_the_same_request_does_not_start_it_again(rig):
    rig.asset("a")
    rig.asset("b")
    job = rig.request()
    target = rig.submit(job)[0].target_id
    assert rig.outcome(target, "succeeded") == []
    assert rig.row().phase is Phase.DONE
    assert rig.submit(job) == []
    assert rig.incident(target) == []
    check_index(rig)
    rig.wait(3_600)
    assert set(rig.partition.rows) == {learned_key(target)}, "all that stays is what was learned"


def test_a_changed_request_after_the_end_is_a_new_run(rig):
    rig.asset("a")
    rig.route()
    rig.outcome("a", "succeeded")
    assert rig.route(data_gb=1).revision == 2
    assert rig.row().phase is Phase.ACTIVE


def test_a_failure_reported_by_a_former_target_is_fenced_off(rig):
    rig.asset("a", zone="a", latency_ms=1)
    rig.asset("b", zone="b")
    rig.asset("c", zone="c")
    rig.route()
    rig.incident("a")
    holder = rig.row().target_id
    assert rig.outcome("a", "failed") == []
    assert rig.row().target_id == holder
    assert rig.outcome("a", "succeeded") == []
    assert rig.row().phase is Phase.DONE, "the work is done, whoever did it"


def repeated(rig, at, target, outcome, job_id="job"):
    """The same outcome again, with the time that it had then."""
    now, rig.at = rig.at, at
    decisions = rig.outcome(target, outcome, job_id)
    rig.at = now
    return decisions


def test_a_late_repeat_of_a_failure_does_not_move_a_job_that_came_back(make_rig):
    rig = make_rig(failed_target_rest_s=1)
    rig.asset("a", zone="a", latency_ms=1)
    rig.asset("b", zone="b")
    rig.route()
    rig.wait(5)
    failed_at = rig.at
    assert [d.target_id for d in rig.outcome("a", "failed")] == ["b"]
    rig.wait(5)
    assert [(d.target_id, d.revision) for d in rig.outcome("b", "failed")] == [("a", 3)]
    before = rig.row()
    rig.wait(5)
    assert repeated(rig, failed_at, "a", "failed") == []
    assert rig.row() == before
    assert [d.target_id for d in rig.outcome("a", "failed")] == ["b"], "a failure of this stay still moves it"


@pytest.mark.parametrize("ended", [True, False], ids=["asked again after its end", "changed while it ran"])
def test_a_late_success_does_not_end_a_newer_request(rig, ended):
    rig.asset("a")
    rig.route()
    rig.wait(5)
    done_at = rig.at
    if ended:
        rig.outcome("a", "succeeded")
    rig.wait(5)
    assert rig.route(data_gb=1).revision == 2
    before = rig.row()
    rig.wait(5)
    assert repeated(rig, done_at, "a", "succeeded") == []
    assert rig.row() == before
    rig.outcome("a", "succeeded")
    assert rig.row().phase is Phase.DONE


def test_rows_of_before_count_as_never_changed(rig):
    rig.asset("a")
    rig.route()
    row = rig.row()
    old = {name: value for name, value in json.loads(encode(row)).items() if name != "changed_at"} | {"v": 2}
    assert decode(json.dumps(old).encode()) == row


@pytest.mark.parametrize(("target", "outcome"), [("stranger", "succeeded"), ("a", "unknown")])
def test_outcomes_that_mean_nothing_change_nothing(rig, target, outcome):
    rig.asset("a")
    rig.route()
    before = rig.row()
    assert rig.outcome(target, outcome) == []
    assert rig.outcome("a", "failed", job_id="no-such-job") == []
    assert rig.row() == before


def test_failback_is_not_automatic(rig):
    rig.asset("a", zone="a", latency_ms=1, cost_usd_per_hour=1)
    rig.asset("b", zone="b", latency_ms=500, cost_usd_per_hour=50)
    rig.route()
    rig.incident("a")
    rig.wait(10)
    assert rig.incident("a", state="closed") == []
    assert rig.wait(3_000) == []
    assert rig.row().target_id == "b"
    assert rig.route("another").target_id == "a"


def test_a_failover_drains_until_it_is_rolled_back(rig):
    rig.asset("a", latency_ms=1)
    rig.asset("b", latency_ms=500)
    for status, target in (
        ("planned", "a"),
        ("executing", "b"),
        ("succeeded", "b"),
        ("verified", "b"),
        ("rolled_back", "a"),
    ):
        rig.remediation("a", status)
        assert rig.route(f"job-{status}").target_id == target
    rig.remediation("a", "executing", strategy="restart")
    assert rig.route("restarted").target_id == "a"
    rig.remediation("a", "executing")
    rig.remediation("a", "escalated", strategy="restart")
    assert rig.route("still-drained").target_id == "b", "another strategy of the incident does not lift the drain"
    rig.remediation("a", "failed")
    assert rig.route("lifted").target_id == "a"


def test_a_target_that_loses_its_compliance_loses_its_jobs(rig):
    rig.asset("a", compliance=("soc2",), latency_ms=1)
    rig.asset("b", compliance=("soc2",))
    rig.route(compliance=("soc2",))
    decisions = rig.asset("a", compliance=(), latency_ms=1)
    assert [d.target_id for d in decisions] == ["b"]
    assert "a lacks compliance soc2" in decisions[0].reason


def test_an_asset_event_that_changes_nothing_for_a_job_moves_nothing(rig):
    rig.asset("a", latency_ms=1)
    rig.route()
    assert rig.asset("b", latency_ms=0.1) == []
    assert rig.asset("a", latency_ms=1, cost_usd_per_hour=500) == []


def test_the_announced_fallback_comes_before_a_better_newcomer(rig):
    rig.asset("a", zone="a", latency_ms=1)
    rig.asset("b", zone="b", latency_ms=300)
    assert rig.route().fallback_ids == ("b",)
    rig.asset("c", zone="c", latency_ms=1)
    assert [d.target_id for d in rig.incident("a")] == ["b"]
    assert "but a pivot comes before scores" in rig.decided[-1].counterfactual


def test_at_most_one_target_is_active_through_many_failures(rig):
    for name in "abcdef":
        rig.asset(name)
    rig.route()
    for _ in range(4):
        rig.wait(1)
        rig.outcome(rig.row().target_id, "failed")
        active = [key for name in "abcdef" for key in target_keys(name) if key in rig.partition.rows]
        assert len(active) == 1
        check_index(rig)
    targets = [d.target_id for d in rig.decided]
    assert len(set(targets)) == len(targets) == 5
    assert [d.revision for d in rig.decided] == [1, 2, 3, 4, 5]


def test_an_approval_lets_a_waiting_job_run(make_rig):
    class AskFirst:
        id, version = "ask-first", "1"

        def decide(self, question):
            verdict = PolicyVerdict(id=self.id, version=self.version, allowed=True, reason="ask first")
            return Answer(Outcome.ALLOW, (verdict,), ("require_approval",))

    rig = make_rig(policy=AskFirst())
    rig.asset("a")
    waiting = rig.route()
    wanted = approval_id("job", "a")
    assert f"no approval of {wanted}" in waiting.reason

    def answer(approved, at):
        body = Approval(action_id=wanted, approved=approved, by="ann")
        return PolicyRecord(id=f"answer-{at}", kind="approval", version="1", approval=body, at=at)

    rig.wait(2)
    assert rig.policy_record(answer(False, rig.at)) == []
    rig.wait(2)
    routed = rig.policy_record(answer(True, rig.at))
    assert [(d.outcome, d.target_id, d.obligations) for d in routed] == [("routed", "a", ("require_approval",))]
    assert any(v.reason.startswith("approved by") for v in routed[0].policies)


@pytest.mark.parametrize("scope", ["*", "tenant:acme"])
def test_a_budget_is_a_limit(rig, scope):
    rig.asset("dear", cost_usd_per_hour=50, latency_ms=1)
    rig.asset("cheap", cost_usd_per_hour=5, latency_ms=400)
    assert rig.route("before", tenant="acme", weights={"latency": 1}).target_id == "dear"
    rig.at += 1
    rig.outcome("dear", "succeeded", "before")
    body = Budget(scope=scope, limit_usd_per_hour=20)
    rig.policy_record(PolicyRecord(id="b", kind="budget", version="1", budget=body, at=rig.at))
    decision = rig.route("after", tenant="acme", weights={"latency": 1})
    assert decision.target_id == "cheap"
    assert ("b", "1") in [(v.id, v.version) for v in decision.policies]
    assert any(f"budget of {scope} 20.00 USD/h" in r for c in decision.candidates for r in c.reasons)
    rig.seen("policies", "b", None)
    assert rig.route("lifted", tenant="acme", weights={"latency": 1}).target_id == "dear"


def test_rows_of_another_version_are_refused_with_what_to_do():
    with pytest.raises(StateVersionError, match="rebuild the table"):
        decode(b'{"v": 99, "kind": "index", "job_ids": ["a"]}')


def test_ids_with_separators_stay_apart(rig):
    rig.asset('a","0')
    rig.asset("a")
    for job_id in ('x","y', "x:y", "x", "waiting"):
        rig.route(job_id)
    check_index(rig)
    assert len({*target_keys('a","0'), *target_keys("a"), *waiting_keys()}) == 768


def test_a_step_leaves_rows_as_they_were(rig):
    rig.asset("a")
    rig.asset("b")
    rig.route()
    before = {key: rig.layer.encode_row(row) for key, row in rig.partition.rows.items()}
    frozen = dict(rig.partition.rows)
    rig.layer.step(frozen, rig.view, event_of(rig), rig.at)
    assert {key: rig.layer.encode_row(row) for key, row in frozen.items()} == before


def event_of(rig):
    from streams.kit.layer import Event

    job = rig.request(data_gb=7)
    return Event("job-requests", job.id, job, rig.at, job.id)
