"""Effects that stand: a throttle is lifted when its asset is well, effects on top of each other are undone together."""

from __future__ import annotations

import pytest

from schemas.records import Action, AutonomyMode, Endpoint, Remediation, RemediationStatus
from streams.healing.executors.clearance import Clearance
from streams.healing.executors.ledger import ExecutorsLayer
from streams.healing.ports import INTERRUPTED, Plan, Situation
from streams.healing.settings import Fit, HealingSettings, Traits
from streams.healing.strategies.failover import Failover
from streams.kit.layer import Event
from streams.kit.partition import Partition

COST = {"metric": "cost_usd_per_hour", "value": 100.0, "expected": 10.0}
ONE_TRY = HealingSettings(max_retries=0)
THROTTLE_FIRST = HealingSettings(max_retries=0, fits=(), traits={"failover": Traits(cost=0.3)})
"""One incident that a throttle, then a failover is tried for."""


def sited(make_bench, settings: HealingSettings | None = None, policy=None):
    """`a` gets 100 requests/s through a load balancer with limits, `b` can take its work over."""
    bench = make_bench(settings, policy)
    limit = Endpoint(type="haproxy-limit", url="haproxy:edge/a")
    bench.register(bench.asset("a", endpoints=(limit,), fallback_ids=("b",)), bench.asset("b"))
    bench.performance("a", throughput_per_s=100)
    return bench


def throttled(bench) -> Remediation:
    """A throttle of 0 s, verified; its asset is well from 50 s on. Returns the order."""
    order = bench.anomaly("a", 0, incident_id="dear", **COST)[-1]
    assert bench.statuses([order]) == ["throttle:executing"]
    bench.outcome(order, 1)
    bench.close("a", 50, incident_id="dear", **COST)
    assert bench.statuses(bench.advance(80)) == ["throttle:verified"]
    return order


def failed_over(bench, at_s: float = 200) -> Remediation:
    """A failover of the asset on top, for another incident. Returns the order."""
    order = bench.anomaly("a", at_s, incident_id="slow")[-1]
    assert bench.statuses([order]) == ["failover:executing"]
    return order


def what(order: Remediation) -> list[tuple[str, str, object]]:
    """Type, target and figure of each action of an order."""
    return [(a.type, a.target_id, next(iter(a.parameters.values()))) for a in order.actions]


LIFTED = ("unthrottle", "a", 20)
TAKES_WORK = ("failback", "a", "b")


# --- a throttle is lifted by the gate of a failback ---------------------------------------------------------------


def test_a_throttle_is_lifted_once_its_asset_has_been_well_for_600_s(make_bench):
    bench = sited(make_bench)
    order = throttled(bench)
    assert what(order) == [("throttle", "a", 20)]
    bench.restart_worker()
    assert bench.advance(649.999) == []
    (lift,) = bench.advance(650)
    assert bench.statuses([lift]) == ["throttle:executing"]
    assert what(lift) == [LIFTED]
    assert (lift.incident_id, lift.fencing_epoch) == ("dear", order.fencing_epoch + 1)
    assert lift.action_id != order.action_id
    done = bench.outcome(lift, 651)
    assert bench.statuses(done) == ["throttle:rolled_back"]
    assert "a is without throttle again after 651 s" in done[0].reason
    assert bench.advance(5000) == []


def test_one_throttle_at_a_time_stands(make_bench):
    """The figure under a limit says nothing about what comes in: no throttle of a throttle."""
    bench = sited(make_bench)
    throttled(bench)
    told = bench.anomaly("a", 400, incident_id="dear-again", **COST)
    assert told[0].evidence["why_not.throttle"] == "a throttle of it stands already"
    bench.close("a", 410, incident_id="dear-again", **COST)
    lift = bench.advance(1010)[-1]
    assert what(lift) == [LIFTED]
    bench.outcome(lift, 1011)
    assert bench.statuses(bench.anomaly("a", 1400, incident_id="dear-anew", **COST))[-1] == "throttle:executing"


def test_an_incident_in_between_starts_the_600_s_of_a_throttle_anew(make_bench):
    bench = sited(make_bench)
    throttled(bench)
    bench.anomaly("a", 600, incident_id="dear-again", **COST)
    assert not [r for r in bench.advance(700) if LIFTED in what(r)], "an ill asset keeps its limit"
    bench.close("a", 700, incident_id="dear-again", **COST)
    assert bench.advance(1299.999) == []
    assert what(bench.advance(1300)[0]) == [LIFTED]


@pytest.mark.parametrize("gate", ["pause", "mode", "policy"])
def test_the_lifting_of_a_throttle_asks_pause_mode_and_policy(make_bench, gate):
    deny = make_bench.Deny(lambda q: gate == "policy" and q.context.get("failback") is True)
    bench = sited(make_bench, policy=deny)
    throttled(bench)
    if gate == "pause":
        bench.pause("ada", 100)
    if gate == "mode":
        bench.mode(AutonomyMode.APPROVE, strategy="throttle")
    (told,) = bench.advance(650)
    assert told.status is (RemediationStatus.AWAITING_APPROVAL if gate == "mode" else RemediationStatus.SUPPRESSED)
    if gate == "pause":
        bench.pause("ada", 700, lifted=True)
    deny.matches = lambda q: False
    later = bench.approve(told.action_id, 700) if gate == "mode" else bench.advance(1250)
    assert bench.statuses(later) == ["throttle:executing"]
    assert what(later[0]) == [LIFTED]


def test_a_lifting_that_fails_leaves_the_throttle_and_is_tried_later(make_bench):
    bench = sited(make_bench)
    throttled(bench)
    (lift,) = bench.advance(650)
    told = bench.outcome(lift, 651, succeeded=False, detail="the socket is away")
    assert bench.statuses(told) == ["throttle:suppressed"]
    (again,) = bench.advance(1251)
    assert what(again) == [LIFTED]
    assert again.action_id != lift.action_id


# --- a failover on top of a throttle ------------------------------------------------------------------------------


def test_a_failover_on_top_of_a_throttle_is_undone_first_and_both_in_one_order(make_bench):
    bench = sited(make_bench)
    throttled(bench)
    bench.outcome(failed_over(bench), 201)
    bench.close("a", 300, incident_id="slow")
    bench.restart_worker()
    assert bench.statuses(bench.told[-1:]) == ["failover:verified"]
    assert bench.advance(899.999) == [], "the limit stays while it is drained"
    (back,) = bench.advance(900)
    assert (back.strategy, back.incident_id, back.status) == ("failover", "slow", RemediationStatus.EXECUTING)
    assert what(back) == [TAKES_WORK, LIFTED]
    assert bench.statuses(bench.outcome(back, 901, succeeded=False, detail="timeout")) == ["failover:suppressed"]
    bench.restart_worker()
    (again,) = bench.advance(1501)
    assert what(again) == [TAKES_WORK, LIFTED], "what failed in part is done again as a whole"
    assert bench.statuses(bench.outcome(again, 1502)) == ["failover:rolled_back"]
    assert bench.advance(9000) == [], "nothing stands any more"


@pytest.mark.parametrize("approved", [True, False])
def test_an_approval_of_lifting_the_throttle_says_nothing_about_the_failover_on_top(make_bench, approved):
    bench = sited(make_bench)
    throttled(bench)
    bench.mode(AutonomyMode.APPROVE, strategy="throttle")
    (asked,) = bench.advance(650)
    bench.outcome(failed_over(bench, 700), 701)
    bench.close("a", 750, incident_id="slow")
    assert bench.approve(asked.action_id, 760, approved=approved) == [], "it has been well for 10 s only"
    (back,) = bench.advance(1350)
    assert what(back) == [TAKES_WORK, LIFTED]


def test_an_order_that_also_lifts_a_limit_is_not_answered_as_a_drain_alone(make_bench):
    """Routing alone can give work back, but nobody would have told the load balancer about its limit."""
    bench = sited(make_bench)
    throttled(bench)
    order = failed_over(bench)
    bench.outcome(order, 201)
    bench.close("a", 300, incident_id="slow")
    back = bench.advance(900)[-1]
    layer = ExecutorsLayer(Clearance(make_bench.AllowAll()))
    ledger = Partition(layer, layer.new_view())
    for asset in bench.partition.view.assets.values():
        layer.see(ledger.view, Event("assets", asset.id, asset, bench.T0, "registry"))
    answered = [bool(ledger.on_event(Event("remediations", "a", r, r.at, r.id))) for r in (order, back)]
    assert answered == [True, False]
    assert [r.action_id for r in layer.pending(ledger.rows)] == [back.action_id]


# --- a failover that fails ----------------------------------------------------------------------------------------


def test_a_failed_failover_leaves_the_throttle_standing(make_bench):
    bench = sited(make_bench, ONE_TRY)
    throttled(bench)
    told = bench.outcome(failed_over(bench), 201, succeeded=False, detail="503 of the balancer")
    assert "failover:failed" in bench.statuses(told)
    bench.close("a", 300, incident_id="slow")
    lifted = [r for r in bench.advance(900) if r.status is RemediationStatus.EXECUTING and r.strategy != "page"]
    assert [what(r) for r in lifted] == [[TAKES_WORK, LIFTED]], "the server may be drained all the same"


def test_a_refused_failover_leaves_the_throttle_and_nothing_else_standing(make_bench):
    bench = sited(make_bench, ONE_TRY)
    throttled(bench)
    bench.outcome(failed_over(bench), 201, succeeded=False, detail="refused: the destination takes no work")
    bench.close("a", 300, incident_id="slow")
    lifted = orders(bench.advance(900))
    assert [what(r) for r in lifted] == [[LIFTED]], "and there is no failover to undo"
    assert lifted[0].incident_id == "dear"


def test_a_failover_that_fails_after_the_asset_got_well_leaves_a_throttle_that_is_lifted(make_bench):
    """The incident closed while its failover was under way: nothing else would set the timer again."""
    bench = sited(make_bench, ONE_TRY)
    throttled(bench)
    order = failed_over(bench)
    bench.close("a", 210, incident_id="slow")
    bench.outcome(order, 220, succeeded=False, detail="503 of the balancer")
    lifted = [r for r in bench.advance(2000) if r.actions and LIFTED in what(r)]
    assert lifted, "the throttle would stand for ever"
    assert lifted[0].at == bench.T0 + 810 * bench.S


def test_the_failure_of_what_comes_after_a_throttle_does_not_forget_the_throttle(make_bench):
    """One incident: the throttle does not help, the failover is refused, the page cannot be delivered."""
    bench = sited(make_bench, THROTTLE_FIRST)
    order = bench.anomaly("a", 0, incident_id="dear", **COST)[-1]
    assert bench.statuses([order]) == ["throttle:executing"]
    bench.outcome(order, 1)
    over = bench.advance(61)[-1]
    assert bench.statuses([over]) == ["failover:executing"]
    page = bench.outcome(over, 62, succeeded=False, detail="refused: the destination takes no work")[-1]
    assert bench.statuses([page]) == ["page:executing"]
    bench.outcome(page, 63, succeeded=False, detail="nobody was told")
    bench.close("a", 100, incident_id="dear", **COST)
    assert [what(r) for r in bench.advance(700) if r.actions] == [[LIFTED]]


def test_a_retry_after_the_asset_got_well_is_undone_all_the_same(make_bench):
    """A failover that fails when its incident has closed is tried again; the asset is not drained for ever then."""
    bench = sited(make_bench)
    order = bench.anomaly("a", 0, incident_id="slow")[-1]
    bench.close("a", 1, incident_id="slow")
    bench.outcome(order, 2, succeeded=False, detail="503 of the balancer")
    again = bench.advance(30)[-1]
    assert bench.statuses([again]) == ["failover:executing"]
    bench.outcome(again, 31)
    back = [r for r in bench.advance(2000) if r.actions and TAKES_WORK in what(r)]
    assert [r.at for r in back[:1]] == [again.at + 600 * bench.S]


# --- what may stand ----------------------------------------------------------------------------------------------


def orders(told: list[Remediation]) -> list[Remediation]:
    return [r for r in told if r.status is RemediationStatus.EXECUTING and r.strategy != "page"]


@pytest.mark.parametrize("detail", [INTERRUPTED + ": effects are paused by ada", "503 of the balancer"])
def test_a_failover_whose_outcome_is_not_known_is_undone_once_its_asset_is_well(make_bench, detail):
    """Cut off by a crash, or failed half way: the server may be drained, and nobody else would give it work again."""
    bench = sited(make_bench, ONE_TRY)
    told = bench.outcome(failed_over(bench, 0), 1, succeeded=False, detail=detail)
    assert bench.statuses(told)[0] == "failover:failed"
    assert told[0].reason.endswith("; it may stand, and is undone once a is well")
    bench.restart_worker()
    bench.close("a", 100, incident_id="slow")
    assert orders(bench.advance(699.999)) == []
    (back,) = orders(bench.advance(700))
    assert what(back) == [TAKES_WORK]
    bench.outcome(back, 701)
    assert orders(bench.advance(10_000)) == []


def test_a_throttle_whose_outcome_is_not_known_is_lifted(make_bench):
    bench = sited(make_bench)
    order = bench.anomaly("a", 0, incident_id="dear", **COST)[-1]
    bench.outcome(order, 1, succeeded=False, detail=INTERRUPTED)
    bench.close("a", 100, incident_id="dear", **COST)
    assert [what(r) for r in orders(bench.advance(700))] == [[LIFTED]]


def test_a_refused_action_left_nothing_to_undo(make_bench):
    bench = sited(make_bench)
    order = bench.anomaly("a", 0, incident_id="dear", **COST)[-1]
    told = bench.outcome(order, 1, succeeded=False, detail="refused: effects are paused by ada")
    assert "it may stand" not in told[0].reason
    bench.close("a", 100, incident_id="dear", **COST)
    assert orders(bench.advance(10_000)) == []


def test_what_may_stand_does_not_keep_the_next_incident_from_the_same_action(make_bench):
    bench = sited(make_bench, ONE_TRY)
    bench.outcome(failed_over(bench, 0), 1, succeeded=False, detail="503 of the balancer")
    bench.close("a", 100, incident_id="slow")
    again = bench.anomaly("a", 400, incident_id="slow-again")[-1]
    assert bench.statuses([again]) == ["failover:executing"], "nothing says that it takes no work"
    bench.outcome(again, 401)
    bench.close("a", 500, incident_id="slow-again")
    assert [what(r) for r in orders(bench.advance(1100))] == [[TAKES_WORK]], "one order undoes both"


def test_a_retry_that_is_refused_leaves_what_may_stand_of_the_first_try(make_bench):
    bench = sited(make_bench)
    bench.outcome(failed_over(bench, 0), 1, succeeded=False, detail="503 of the balancer")
    again = bench.advance(30)[-1]
    assert bench.statuses([again]) == ["failover:executing"]
    bench.outcome(again, 31, succeeded=False, detail="refused: effects are paused by ada")
    bench.close("a", 100, incident_id="slow")
    assert [what(r) for r in orders(bench.advance(700))] == [[TAKES_WORK]]


def test_what_may_stand_on_top_hides_nothing_that_stands_below_it(make_bench):
    """A throttle of a throttle: what comes in under a limit is not what would come in."""
    bench = sited(make_bench, ONE_TRY)
    throttled(bench)
    bench.outcome(failed_over(bench), 201, succeeded=False, detail="503 of the balancer")
    bench.close("a", 300, incident_id="slow")
    bench.restart_worker()
    told = bench.anomaly("a", 400, incident_id="dear-again", **COST)
    assert told[0].evidence["why_not.throttle"] == "a throttle of it stands already"
    bench.close("a", 410, incident_id="dear-again", **COST)
    assert [what(r) for r in orders(bench.advance(1010))] == [[TAKES_WORK, LIFTED]]


class Label:
    """A strategy of somebody else's, which may be on top of anything."""

    id = "label"

    def precheck(self, situation: Situation) -> str | None:
        return None

    def plan(self, situation: Situation) -> tuple[Plan, ...]:
        return (Plan((Action(type="label", target_id="a", parameters={"text": "ill"}),), "label", watched_id="a"),)

    def compensate(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        return tuple(a.model_copy(update={"type": "unlabel"}) for a in actions)


def test_an_asset_that_takes_no_work_is_not_failed_over_again_nor_paged_for_below_what_may_stand(make_bench):
    fits = (Fit(strategy="label", metrics=("oddity",)), Fit(strategy="failover", metrics=("latency*",)))
    bench = make_bench(HealingSettings(max_retries=0, fits=fits, cooldown_s=1), None, (Failover(), Label()))
    bench.register(bench.asset("a", fallback_ids=("b",)), bench.asset("b"))
    bench.outcome(failed_over(bench, 0), 1)
    bench.close("a", 40, incident_id="slow")
    label = bench.anomaly("a", 100, incident_id="odd", metric="oddity")[-1]
    assert bench.statuses([label]) == ["label:executing"]
    bench.outcome(label, 101, succeeded=False, detail="503")
    bench.close("a", 110, incident_id="odd", metric="oddity")
    told = bench.anomaly("a", 200, incident_id="slow-again")
    assert "a takes no work since it failed over to b: nothing to protect" in told[-1].reason
    assert orders(told) == []
    bench.close("a", 210, incident_id="slow-again")
    assert [what(r) for r in orders(bench.advance(810))] == [[("unlabel", "a", "ill"), TAKES_WORK]]
