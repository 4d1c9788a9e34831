"""Storm, cap, cooldown, budget, pre-check, pause, modes, approvals, failback: each guard holds and lets go."""

from __future__ import annotations

import itertools

import pytest

from schemas.records import (
    AnomalyKind,
    AnomalyState,
    AssetState,
    AutonomyMode,
    Capability,
    RegisteredAsset,
    RemediationStatus,
    Severity,
)
from streams.healing.draft import action_key
from streams.healing.pools import members_of, pool_of
from streams.healing.ports import INTERRUPTED
from streams.healing.settings import HealingSettings
from streams.healing.strategies.failover import Failover
from streams.kit.layer import Event
from streams.kit.world import World


def fleet(make_bench, size, **settings):
    """`size` assets of one pool, each with a healthy spare outside of it."""
    bench = make_bench(HealingSettings(**settings))
    for i in range(size):
        spare = make_bench.asset(f"spare-{i}", labels={"pool": "spares"})
        bench.register(make_bench.asset(f"web-{i}", labels={"pool": "web"}, fallback_ids=(spare.id,)), spare)
    return bench


# --- storm ------------------------------------------------------------------------------------------------------


def test_storm_above_a_fifth_of_the_pool(make_bench):
    bench = fleet(make_bench, 10)
    assert "failover:executing" in bench.statuses(bench.anomaly("web-0", 0))
    bench.outcome(bench.told[-1], 1)
    bench.advance(40)
    assert "failover:executing" in bench.statuses(bench.anomaly("web-1", 41)), "2 of 10 = 20 % is not above 20 %"
    told = bench.anomaly("web-2", 42)
    assert bench.statuses(told) == ["failover:planned", "failover:suppressed"]
    assert "storm: 3 of 10 assets of the pool are unhealthy (30%, limit 20%)" in told[1].reason
    assert "300 s" in told[1].reason


def test_storm_has_a_cooldown_and_then_healing_goes_on(make_bench):
    bench = fleet(make_bench, 5)
    bench.anomaly("web-0", 0)
    told = bench.anomaly("web-1", 1)
    assert bench.statuses(told)[-1] == "failover:suppressed"
    bench.outcome(bench.told[1], 2)
    bench.close("web-0", 10)
    assert bench.advance(300.999)[-1].status is not RemediationStatus.EXECUTING
    assert "failover:executing" in bench.statuses(bench.advance(301))


def test_one_ill_asset_of_two_is_no_storm_two_of_two_are(make_bench):
    bench = fleet(make_bench, 2)
    assert "failover:executing" in bench.statuses(bench.anomaly("web-0", 0))
    assert bench.statuses(bench.anomaly("web-1", 1))[-1] == "failover:suppressed"


def test_storm_that_never_ends_pages_a_person(make_bench):
    bench = fleet(make_bench, 4, max_retries=2)
    bench.anomaly("web-0", 0)
    bench.anomaly("web-1", 1)
    told = bench.advance(5000)
    page = [r for r in told if r.asset_id == "web-1" and r.strategy == "page"]
    assert page[0].status is RemediationStatus.PLANNED
    assert "still held back by storm after 2 waits" in page[0].evidence["why"]


# --- caps and budget ----------------------------------------------------------------------------------------------


def test_at_most_a_tenth_of_a_pool_is_acted_on_at_once(make_bench):
    bench = fleet(make_bench, 20, storm_share=1.0)
    running = [bench.statuses(bench.anomaly(f"web-{i}", i))[-1] for i in range(4)]
    assert running == ["failover:executing"] * 2 + ["failover:suppressed"] * 2
    assert (
        "2 assets of the pool are being acted on, the cap is 2 (10% of 20 assets, at least 1)" in bench.told[-1].reason
    )
    first = bench.told[1]
    bench.outcome(first, 5)
    later = bench.advance(60)
    assert any(r.status is RemediationStatus.EXECUTING and r.asset_id in ("web-2", "web-3") for r in later)


def test_a_small_pool_may_always_act_on_one(make_bench):
    bench = fleet(make_bench, 3, storm_share=1.0)
    assert bench.statuses(bench.anomaly("web-0", 0))[-1] == "failover:executing"
    assert bench.statuses(bench.anomaly("web-1", 1))[-1] == "failover:suppressed"


def test_hourly_budget_per_asset(make_bench):
    bench = make_bench(HealingSettings(hourly_actions=1, cooldown_s=0, failback_after_s=0)).golden()
    bench.outcome(bench.anomaly(at_s=0)[-1], 1)
    bench.advance(40)
    bench.close(at_s=41)
    bench.advance(42)
    bench.outcome(bench.told[-1], 43)
    told = bench.anomaly(at_s=100, incident_id="second")
    assert bench.statuses(told)[-1] == "failover:suppressed"
    assert "1 actions on svc-alpha in the last 3600 s, the budget is 1" in told[-1].reason
    assert bench.advance(3599.999) == []
    assert "failover:executing" in bench.statuses(bench.advance(3600))


# --- pre-check ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda b: b.anomaly("svc-beta", 0, severity=Severity.MEDIUM, metric="disk"), "svc-beta is not healthy"),
        (lambda b: b.performance("svc-beta", saturation=0.95), "at saturation 0.95, the limit is 0.8"),
        (lambda b: b.register(b.asset("svc-beta", state="stale")), "svc-beta is stale"),
        (lambda b: b.register(b.asset("svc-beta")), "svc-beta lacks maestro-routing"),
        (lambda b: b.view("assets", "svc-beta", None), "not in the registry"),
    ],
    ids=["unhealthy", "full", "stale", "incapable", "gone"],
)
def test_nothing_is_evicted_without_a_destination(make_bench, spoil, word):
    bench = make_bench()
    cap = (Capability(name="maestro-routing"),)
    bench.register(
        make_bench.asset("svc-alpha", capabilities=cap, fallback_ids=("svc-beta",)),
        make_bench.asset("svc-beta", capabilities=cap, labels={"pool": "other"}),
    )
    spoil(bench)
    told = bench.anomaly(at_s=1)
    assert not any(r.strategy == "failover" and r.status is RemediationStatus.EXECUTING for r in told)
    assert word in told[0].evidence["why_not.failover"]


def test_destination_must_have_room_for_the_load(make_bench):
    bench = make_bench()
    bench.register(
        make_bench.asset("a", capacity_units=10, fallback_ids=("b", "c")),
        make_bench.asset("b", capacity_units=4),
        make_bench.asset("c", capacity_units=40),
    )
    bench.performance("a", utilization=0.9)
    bench.performance("b", utilization=0.5)
    bench.performance("c", utilization=0.5)
    assert bench.anomaly("a")[-1].actions[0].parameters == {"destination_id": "c"}


def test_policy_chooses_among_destinations(make_bench):
    deny = make_bench.Deny(lambda q: q.context.get("destination_id") == "b")
    bench = make_bench(policy=deny)
    bench.register(make_bench.asset("a", fallback_ids=("b", "c")), make_bench.asset("b"), make_bench.asset("c"))
    told = bench.anomaly("a")
    assert bench.statuses(told) == ["failover:planned", "failover:denied", "failover:planned", "failover:executing"]
    assert told[-1].actions[0].parameters == {"destination_id": "c"}
    assert told[0].action_id != told[-1].action_id


def test_a_pool_of_thousands_is_put_in_order_only_as_far_as_needed(make_bench, monkeypatch):
    """Each incident cost 80 ms with 1,400 candidates: each of them was looked at and hashed, twice."""
    cap = (Capability(name="render", reliability=0.99),)
    near = {"region": "us-east-1", "capabilities": cap}
    bench = make_bench(HealingSettings(max_destinations=4))
    others = [make_bench.asset(f"near-{i}", **near) for i in range(500)]
    bench.register(make_bench.asset("ill", **near), make_bench.asset("far", region="eu", capabilities=cap), *others)
    looked_at: list[str] = []
    problem = Failover._problem

    def counted(self, situation, source, destination_id):
        looked_at.append(destination_id)
        return problem(self, situation, source, destination_id)

    monkeypatch.setattr(Failover, "_problem", counted)
    told = bench.anomaly("ill")
    assert told[0].actions[0].parameters["destination_id"] == "far", "another region comes first"
    assert len(looked_at) == 1 + 4, "one for the pre-check, four plans"


def test_an_asset_that_declares_only_itself_has_its_fallbacks_derived_in_order_of_preference(make_bench):
    cap = (Capability(name="render", reliability=0.99),)
    bench = make_bench()
    bench.register(
        make_bench.asset("ill", region="us", capabilities=cap, fallback_ids=("ill",)),
        make_bench.asset("a-near", region="us", capabilities=cap),
        make_bench.asset("z-far", region="eu", capabilities=cap),
    )
    assert bench.anomaly("ill")[0].actions[0].parameters["destination_id"] == "z-far"


def test_why_no_destination_can_take_over_is_told_of_a_few(make_bench):
    bench = make_bench(HealingSettings(storm_share=1.0))
    bench.register(make_bench.asset("ill", fallback_ids=tuple(f"gone-{i}" for i in range(40))))
    told = bench.anomaly("ill")
    why = next(r.evidence["why_not.failover"] for r in told if "why_not.failover" in r.evidence)
    assert why.count("not in the registry") == 5
    assert why.endswith("; and 35 more")


# --- pause, modes, approvals, obligations -------------------------------------------------------------------------


def test_a_pause_holds_effects_until_its_own_holder_lifts_it(bench):
    bench.pause("ada", 0)
    bench.pause("bob", 0, scope="asset:svc-alpha")
    told = bench.anomaly(at_s=1)
    assert bench.statuses(told) == ["failover:planned", "failover:suppressed"]
    assert "effects are paused by ada, bob" in told[1].reason
    assert bench.advance(1000) == []
    assert bench.pause("ada", 1001, lifted=True) == []
    assert bench.statuses(bench.pause("bob", 1002, scope="asset:svc-alpha", lifted=True)) == ["failover:executing"]


def test_a_maintenance_window_holds_inside_and_lets_go_at_its_end(make_bench):
    bench = fleet(make_bench, 30, acting_share=1.0, storm_share=1.0)
    window = {"starts_at": bench.T0 + 100_000, "until": bench.T0 + 400_000}
    bench.pause("upgrade", 0, scope="*", **window)
    assert bench.statuses(bench.anomaly("web-1", 10))[-1] == "failover:executing", "before it nothing is held"
    held = [r for r in bench.anomaly("web-2", 150) if r.asset_id == "web-2"]
    assert bench.statuses(held) == ["failover:planned", "failover:suppressed"]
    assert held[-1].reason == "held back by pause: effects are paused by upgrade; tried again in 250 s"
    assert "paused by upgrade from 2023-11-14T22:15:00Z until 2023-11-14T22:20:00Z" in held[-1].policies[-1].reason
    assert [r for r in bench.advance(399.9) if r.asset_id == "web-2"] == []
    assert bench.statuses(r for r in bench.advance(400) if r.asset_id == "web-2") == ["failover:executing"]


def test_a_window_that_comes_again_holds_each_time_and_lets_go_at_its_end(make_bench):
    bench = make_bench().golden()
    first = {"starts_at": bench.T0 + 100_000, "until": bench.T0 + 400_000, "rrule": "FREQ=DAILY"}
    bench.pause("upgrade", 0, **first)
    day = 86_400
    assert bench.statuses(bench.anomaly(at_s=day + 200))[-1] == "failover:suppressed"
    assert "paused by upgrade" in bench.told[-1].reason
    assert bench.advance(day + 399.999) == []
    assert bench.statuses(bench.advance(day + 400)) == ["failover:executing"]


def test_a_pause_elsewhere_does_not_hold(bench):
    bench.pause("ada", 0, scope="asset:other")
    bench.pause("bob", 0, scope="tenant:other")
    assert bench.statuses(bench.anomaly(at_s=1))[-1] == "failover:executing"


def test_a_pause_ends_by_itself(bench):
    bench.pause("ada", 0, until=bench.T0 + 60_000)
    bench.anomaly(at_s=1)
    assert bench.advance(59.999) == []
    assert bench.statuses(bench.advance(60)) == ["failover:executing"]


def test_a_pause_that_is_withdrawn_lets_go(bench):
    bench.pause("ada", 0)
    bench.anomaly(at_s=1)
    assert bench.statuses(bench.view("policies", "pause-ada", None, 5)) == ["failover:executing"]


@pytest.mark.parametrize("mode", [AutonomyMode.OBSERVE, AutonomyMode.SUGGEST])
def test_observe_and_suggest_only_say_what_would_be_done(bench, mode):
    bench.mode(mode, strategy="failover")
    told = bench.anomaly(at_s=1)
    assert bench.statuses(told) == ["failover:planned"]
    assert f"failover of svc-alpha to svc-beta would be done (mode {mode}, so it is not)" in told[0].reason
    assert bench.advance(3600) == []


def test_the_most_specific_mode_wins(make_bench):
    bench = make_bench()
    bench.register(make_bench.asset("a", labels={"environment": "prod"}, fallback_ids=("b",)), make_bench.asset("b"))
    bench.mode(AutonomyMode.AUTO)
    bench.mode(AutonomyMode.OBSERVE, tenant="acme", environment="prod")
    assert bench.statuses(bench.anomaly("a")) == ["failover:planned"]


def test_approval_is_waited_for_then_executed(bench):
    bench.mode(AutonomyMode.APPROVE)
    told = bench.anomaly(at_s=1)
    assert bench.statuses(told) == ["failover:planned", "failover:awaiting_approval"]
    assert told[1].action_id in told[1].reason
    assert bench.statuses(bench.anomaly(at_s=2, incident_id="other")) == ["failover:suppressed"], "joins the first"
    done = bench.approve(told[1].action_id, 100)
    assert bench.statuses(done) == ["failover:executing"]
    assert "approved by ada" in done[0].reason


def test_approval_expires(bench):
    bench.mode(AutonomyMode.APPROVE)
    action_id = bench.anomaly(at_s=0)[-1].action_id
    told = bench.advance(900)
    assert bench.statuses(told)[0] == "failover:escalated"
    assert "no approval of failover within 900 s" in told[0].reason
    assert "failover:executing" not in bench.statuses(bench.approve(action_id, 901))
    assert action_key(action_id) not in bench.partition.rows, "nobody waits for it any more"


def test_an_expired_approval_is_none(bench):
    bench.mode(AutonomyMode.APPROVE)
    action_id = bench.anomaly(at_s=0)[-1].action_id
    assert bench.approve(action_id, 10, expires_s=5) == []


def test_a_refused_approval_is_denied(bench):
    bench.mode(AutonomyMode.APPROVE)
    told = bench.approve(bench.anomaly(at_s=0)[-1].action_id, 5, approved=False)
    assert told[0].status is RemediationStatus.DENIED
    assert "refused by ada" in told[0].reason


def test_a_late_approval_meets_the_guards_again(bench):
    bench.mode(AutonomyMode.APPROVE)
    action_id = bench.anomaly(at_s=0)[-1].action_id
    bench.pause("bob", 5)
    assert bench.statuses(bench.approve(action_id, 6)) == ["failover:suppressed"]


def test_an_approval_that_is_not_needed_any_more(bench):
    bench.mode(AutonomyMode.APPROVE)
    action_id = bench.anomaly(at_s=0)[-1].action_id
    told = bench.close(at_s=10)
    assert "not needed any more" in told[0].reason
    assert bench.approve(action_id, 11) == []


def test_obligations_bind(make_bench):
    asks = make_bench(policy=make_bench.Oblige("require_approval")).golden()
    assert asks.statuses(asks.anomaly()) == ["failover:planned", "failover:awaiting_approval"]
    region = make_bench(policy=make_bench.Oblige("keep_in_region:us-east-1")).golden()
    told = region.anomaly()
    assert told[1].status is RemediationStatus.DENIED
    assert "keep_in_region:us-east-1: svc-beta is in us-central1" in told[1].reason


def test_a_cost_that_nobody_knows_is_not_within_a_limit(make_bench):
    bench = make_bench(policy=make_bench.Oblige("max_cost:5")).golden()
    told = bench.anomaly()
    assert told[1].status is RemediationStatus.DENIED
    assert "max_cost:5: the cost of svc-beta is not known" in told[1].reason


def versions(record):
    return {v.id: (v.version, v.allowed) for v in record.policies}


def test_a_remediation_names_the_records_of_mode_approval_and_pause(make_bench):
    bench = make_bench().golden()
    bench.mode(AutonomyMode.APPROVE, strategy="failover")
    planned, awaiting = bench.anomaly()
    mode_id = next(i for i in versions(planned) if i.startswith("mode-"))
    assert versions(planned)[mode_id] == ("1", True)
    told = bench.approve(awaiting.action_id, 5)
    assert versions(told[-1])[f"approval-{awaiting.action_id}"] == ("1", True)
    assert mode_id in versions(told[-1])
    held = make_bench().golden()
    held.pause("release-42", -1)
    suppressed = held.anomaly()[-1]
    assert suppressed.status is RemediationStatus.SUPPRESSED
    assert versions(suppressed)["pause-release-42"] == ("1", False)
    resumed = held.pause("release-42", 5, lifted=True)
    assert "pause-release-42" not in versions(resumed[-1]), "what no longer holds is no longer named"


# --- failback -----------------------------------------------------------------------------------------------------


def drained(bench, at_s=0.0, asset_id="svc-alpha"):
    bench.outcome(bench.anomaly(asset_id, at_s)[-1], at_s + 1)
    bench.advance(at_s + 40)
    assert bench.told[-1].status is RemediationStatus.VERIFIED


def test_failback_after_600_s_of_health(bench):
    drained(bench)
    bench.close(at_s=100)
    assert bench.advance(699.999) == []
    told = bench.advance(700)
    assert bench.statuses(told) == ["failover:executing"]
    assert told[0].actions[0].type == "failback"
    assert told[0].fencing_epoch == 2
    done = bench.outcome(told[0], 701)
    assert bench.statuses(done) == ["failover:rolled_back"]
    assert done[0].incident_id == "inc-svc-alpha"


def test_an_incident_in_between_starts_the_600_s_anew(bench):
    drained(bench)
    bench.close(at_s=100)
    assert bench.statuses(bench.anomaly(at_s=300, incident_id="again")) == [":suppressed"]
    assert "failed over to svc-beta" in bench.told[-1].reason
    bench.close(at_s=400, incident_id="again")
    assert bench.advance(999.999) == []
    assert bench.statuses(bench.advance(1000)) == ["failover:executing"]


def test_failback_waits_for_a_pause_and_for_policy(make_bench):
    deny = make_bench.Deny(lambda q: q.context.get("failback") is True)
    bench = make_bench(policy=deny).golden()
    drained(bench)
    bench.close(at_s=100)
    told = bench.advance(700)
    assert bench.statuses(told) == ["failover:suppressed"]
    assert "change freeze" in told[0].reason
    deny.matches = lambda q: False
    bench.pause("ada", 1000)
    assert "paused by ada" in bench.advance(1300)[0].reason
    bench.pause("ada", 1301, lifted=True)
    assert bench.statuses(bench.advance(1900)) == ["failover:executing"]


def test_a_failed_failback_leaves_the_asset_drained_and_is_tried_later(bench):
    drained(bench)
    bench.close(at_s=100)
    order = bench.advance(700)[0]
    told = bench.outcome(order, 701, succeeded=False, detail="503 of the balancer")
    assert bench.statuses(told) == ["failover:suppressed"], "`failed` would mean that the drain is off"
    again = bench.advance(1301)[0]
    assert again.status is RemediationStatus.EXECUTING
    assert again.action_id != order.action_id


def test_an_outcome_that_comes_late_is_still_what_happened(bench):
    drained(bench)
    bench.close(at_s=100)
    order = bench.advance(700)[0]
    assert "no outcome within 60 s" in bench.advance(760)[0].reason
    late = bench.outcome(order, 800)
    assert bench.statuses(late) == ["failover:rolled_back"]
    assert bench.advance(100_000) == []


def test_failbacks_without_effect_are_tried_ever_more_rarely(bench):
    """A recorded fortnight with executors that never answered in time gave 6,000 orders for one asset."""
    drained(bench)
    bench.close(at_s=100)
    orders = [r for r in bench.advance(14 * 86_400) if r.status is RemediationStatus.EXECUTING]
    gaps = [b.at - a.at for a, b in itertools.pairwise(orders)]
    assert gaps[0] == 660_000
    assert gaps[1] == 1_260_000
    assert gaps[-1] == gaps[-2] == (2**7 * 600 + 60) * 1000
    assert len(orders) < 30


def test_failback_one_at_a_time(make_bench):
    bench = fleet(make_bench, 30)
    for i in (0, 1):
        bench.anomaly(f"web-{i}", i)
        bench.outcome(bench.told[-1], i + 0.5)
    bench.advance(40)
    for i in (0, 1):
        bench.close(f"web-{i}", 50)
    told = bench.advance(650)
    assert [r.asset_id for r in told if r.status is RemediationStatus.EXECUTING] == ["web-0"]
    bench.outcome(told[-1], 651)
    assert bench.advance(679.999) == []
    assert [r.asset_id for r in bench.advance(680)] == ["web-1"]


def test_failback_by_approval(bench):
    drained(bench)
    bench.mode(AutonomyMode.APPROVE)
    bench.close(at_s=100)
    told = bench.advance(700)
    assert bench.statuses(told) == ["failover:awaiting_approval"]
    assert bench.statuses(bench.approve(told[0].action_id, 800)) == ["failover:executing"]


def test_an_incident_during_a_failback_joins_and_is_then_looked_at(bench):
    drained(bench)
    bench.close(at_s=100)
    order = bench.advance(700)[0]
    assert bench.statuses(bench.anomaly(at_s=701, incident_id="again")) == ["failover:suppressed"]
    told = bench.outcome(order, 702)
    assert bench.statuses(told) == ["failover:rolled_back", "failover:planned", "failover:executing"]


# --- retries, order, odd input ------------------------------------------------------------------------------------


def test_a_failed_action_is_retried_with_backoff_as_another_action(bench):
    first = bench.anomaly()[-1]
    assert bench.statuses(bench.outcome(first, 1, succeeded=False, detail="503")) == ["failover:failed"]
    assert bench.advance(4.9) == [], "5 s +- 20 % after the failure"
    told = bench.advance(7)
    assert bench.statuses(told) == ["failover:planned", "failover:executing"]
    assert told[-1].action_id != first.action_id
    assert told[-1].fencing_epoch == first.fencing_epoch + 1


def test_a_refused_action_is_not_retried_and_starts_no_cooldown(bench):
    order = bench.anomaly()[-1]
    told = bench.outcome(order, 1, succeeded=False, detail="refused: paused by ada")
    assert bench.statuses(told)[:3] == ["failover:failed", "failover:escalated", "page:planned"]
    assert not any("cooldown" in key for key in bench.partition.rows)


def test_an_interrupted_action_is_not_tried_again_under_another_id(bench):
    """Its effect may have happened: a retry would be a second one that no receiver can recognise."""
    order = bench.anomaly()[-1]
    told = bench.outcome(order, 1, succeeded=False, detail=INTERRUPTED)
    assert bench.statuses(told)[:3] == ["failover:failed", "failover:escalated", "page:planned"]
    assert any("cooldown" in key for key in bench.partition.rows)
    assert [r for r in bench.advance(30) if r.strategy == "failover"] == []


def test_runbook_before_failover_where_a_label_names_one(make_bench):
    bench = make_bench()
    bench.register(
        make_bench.asset("a", labels={"runbook": "warm-restart"}, fallback_ids=("b",)), make_bench.asset("b")
    )
    order = bench.anomaly("a")[-1]
    assert (order.strategy, order.actions[0].runbook) == ("runbook", "warm-restart")
    assert bench.told[0].evidence["utility.runbook"] > bench.told[0].evidence["utility.failover"]


def test_saturation_is_rebalanced_with_weights_by_headroom(make_bench):
    bench = make_bench()
    for i, saturation in enumerate((0.97, 0.3, 0.6)):
        bench.register(make_bench.asset(f"w{i}", labels={"pool": "w"}, endpoints=make_bench.control()))
        bench.performance(f"w{i}", saturation=saturation)
    order = bench.anomaly("w0", metric="saturation", kind=AnomalyKind.SHIFT)[-1]
    weights = dict(order.actions[0].parameters)
    assert order.strategy == "rebalance"
    assert sum(weights.values()) == pytest.approx(1, abs=1e-3)
    assert weights["weight.w1"] > weights["weight.w2"] > weights["weight.w0"]


def test_success_is_learnt_from_outcomes(make_bench):
    bench = fleet(make_bench, 30, storm_share=1.0, acting_share=1.0)
    for i in range(3):
        bench.anomaly(f"web-{i}", i)
        bench.outcome(bench.told[-1], i)
    bench.advance(100)
    assert bench.anomaly("web-9", 101)[0].evidence["expected_success"] == pytest.approx(4 / 5, abs=1e-3)


def test_an_asset_that_nobody_knows_is_paged(bench):
    told = bench.anomaly("ghost")
    assert bench.statuses(told) == ["page:planned", "page:executing"]
    assert told[0].evidence["why_not.failover"] == "the asset is not in the registry"


def test_an_asset_that_is_removed_ends_its_incident(bench):
    order = bench.anomaly()[-1]
    told = bench.view("assets", "svc-alpha", None, 5)
    assert "left the registry" in told[0].reason
    assert bench.outcome(order, 6) == []


def test_odd_input_changes_nothing(bench):
    assert bench.close(at_s=0) == []
    order = bench.anomaly(at_s=10)[-1]
    assert bench.anomaly(at_s=9, state=AnomalyState.CHANGED, id="old") == []
    stranger = order.model_copy(update={"action_id": "action-of-nobody"})
    assert bench.outcome(stranger, 11) == []
    assert bench.statuses(bench.outcome(order, 12)) == ["failover:succeeded"]
    assert bench.outcome(order, 13) == []
    assert bench.anomaly(at_s=14, value=None, expected=None, incident_id="no-figures") != []


def test_ids_with_any_separator_stay_apart(make_bench):
    bench = make_bench()
    bench.register(make_bench.asset('a","b', fallback_ids=("c:d",)), make_bench.asset("c:d"), make_bench.asset("a"))
    bench.anomaly('a","b', incident_id='x","y')
    assert len({r.id for r in bench.told}) == len(bench.told) == 2


def test_ended_incidents_are_forgotten(make_bench):
    bench = make_bench(HealingSettings(retention_s=3600)).golden()
    drained(bench)
    bench.close(at_s=100)
    bench.outcome(bench.advance(700)[0], 701)
    bench.advance(100 + 4000)
    kinds = {row.row for row in bench.partition.rows.values()}
    assert kinds == {"asset", "history", "pool"}


def test_rows_survive_their_bytes(bench):
    bench.anomaly()
    bench.pause("ada", 1)
    bench.anomaly("svc-beta", 2)
    for row in bench.partition.rows.values():
        assert bench.layer.decode_row(bench.layer.encode_row(row)) == row


@pytest.mark.parametrize("data", [b"", b"0{}", b"1{}", b'1{"row":"incident"}', b"1not json"])
def test_damaged_rows_are_a_typed_error(bench, data):
    from streams.healing.state import StateError

    with pytest.raises(StateError, match="rebuild the table"):
        bench.layer.decode_row(data)


def test_the_members_of_a_pool_follow_the_registry_and_are_not_looked_for_again(make_bench):
    """20,000 assets took 8 ms of each incident, twice; they are grouped once after each change of the registry."""
    world, settings = World(), HealingSettings()

    def seen(asset_id: str, asset: RegisteredAsset | None) -> None:
        world.see(Event("assets", asset_id, asset, 1, "c"))

    for asset_id in ("b", "a", "c"):
        seen(asset_id, make_bench.asset(asset_id))
    pool = pool_of(world.assets["a"], settings)
    found = members_of(pool, world, settings)
    assert found == ("a", "b", "c")
    assert members_of(pool, world, settings) is found
    seen("c", make_bench.asset("c", labels={settings.pool_label: "apart"}))
    assert members_of(pool, world, settings) == ("a", "b")
    assert members_of(pool_of(world.assets["c"], settings), world, settings) == ("c",)
    seen("b", make_bench.asset("b", state=AssetState.REMOVED))
    seen("a", None)
    assert members_of(pool, world, settings) == ()


def test_the_first_move_of_what_was_seen_for_a_minute_pages_nobody(bench):
    """An idle host's traffic: critical by its own past, which is a minute long."""
    new = {"never_changed": True, "history_s": 60.0}
    (told,) = bench.anomaly(metric="disk", evidence=new)
    assert told.status is RemediationStatus.SUPPRESSED
    assert "seen for 60 s only and never to change (600 s are asked for), nobody is paged" in told.reason
    known = bench.anomaly("svc-beta", metric="disk", evidence=new | {"history_s": 600.0})
    assert known[-1].strategy == "page"


def test_what_was_healed_in_vain_is_told_a_person_however_new_it_is(make_bench):
    bench = make_bench(HealingSettings(max_retries=0)).golden()
    order = bench.anomaly(evidence={"never_changed": True, "history_s": 60.0})[-1]
    told = bench.outcome(order, 1, succeeded=False)
    assert bench.statuses(told)[-1] == "page:executing"
