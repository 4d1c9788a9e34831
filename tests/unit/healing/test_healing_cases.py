"""The seed's failures as acceptance cases: H1-H5, H7 and the golden loop."""

from __future__ import annotations

import pytest

from schemas.records import AnomalyKind, RemediationStatus, Severity
from streams.healing.executors.clearance import Clearance
from streams.healing.executors.ledger import ExecutorsLayer
from streams.healing.ports import Plan, Situation
from streams.healing.settings import HealingSettings
from streams.kit.layer import Event
from streams.kit.loop import Loop
from streams.policy.port import Answer, Outcome, Question


class Throwing:
    """A plug-in strategy that fails where it is told to."""

    id = "throwing"

    def __init__(self, where: str) -> None:
        self.where = where

    def precheck(self, situation: Situation) -> str | None:
        if self.where == "precheck":
            raise ValueError("no such zone")
        return None

    def plan(self, situation: Situation) -> tuple[Plan, ...]:
        raise KeyError("zone")

    def compensate(self, actions):
        return ()


def test_h1_deny_all_policy(make_bench):
    deny = make_bench.Deny()
    bench = make_bench(policy=deny).golden()
    told = bench.anomaly()
    denied = [r for r in told if r.status is RemediationStatus.DENIED]
    assert [r.strategy for r in denied] == ["failover", "page"]
    assert not any(r.status is RemediationStatus.EXECUTING for r in told)
    for record in denied:
        assert [(v.id, v.version, v.allowed, v.reason) for v in record.policies] == [
            ("deny", "7", False, "change freeze")
        ]
        assert "deny@7: change freeze" in record.reason
        assert record.action_id
        assert record.cause_id
    assert told[-1].status is RemediationStatus.ESCALATED
    assert deny.asked[0].action == "failover"
    assert deny.asked[0].asset_id == "svc-alpha"
    assert deny.asked[0].context["destination_id"] == "svc-beta"


def test_h1_a_hook_that_throws_is_a_deny_with_its_own_outcome(make_bench):
    class Broken:
        id, version = "broken", "1"

        def decide(self, question: Question) -> Answer:
            raise RuntimeError("database away")

    told = make_bench(policy=Broken()).golden().anomaly()
    denied = next(r for r in told if r.status is RemediationStatus.DENIED)
    assert str(Outcome.ERROR) in denied.reason
    assert "database away" in denied.reason
    assert not any(r.status is RemediationStatus.EXECUTING for r in told)


def test_h2_three_anomalies_of_one_asset_at_once(bench):
    told = bench.anomaly(incident_id="i1")
    told += bench.anomaly(incident_id="i2", metric="error_rate")
    told += bench.anomaly(incident_id="i3", metric="saturation")
    executing = [r for r in told if r.status is RemediationStatus.EXECUTING]
    assert [r.incident_id for r in executing] == ["i1"]
    joined = [r for r in told if r.status is RemediationStatus.SUPPRESSED]
    assert [(r.incident_id, r.evidence["joined_incident_id"]) for r in joined] == [("i2", "i1"), ("i3", "i1")]
    told += bench.outcome(executing[0], 1)
    told += bench.advance(4000)
    assert sum(r.status is RemediationStatus.EXECUTING for r in told) == 1


def test_h2_the_same_anomaly_delivered_twice_acts_once(bench):
    first, again = bench.anomaly(), bench.anomaly()
    assert bench.statuses(first) == ["failover:planned", "failover:executing"]
    assert again == []


@pytest.mark.parametrize("where", ["precheck", "plan"])
def test_h3_a_strategy_throws(make_bench, where):
    from streams.healing.strategies import shipped

    settings = HealingSettings(traits={"throwing": {"cost": 0, "blast_radius": 0}})
    bench = make_bench(settings, strategies=(Throwing(where), *shipped(settings))).golden()
    told = bench.anomaly()
    assert bench.statuses(told) == [
        "throwing:failed",
        "throwing:escalated",
        "failover:planned",
        "failover:executing",
    ]
    assert "threw" in told[0].reason
    assert ("no such zone" if where == "precheck" else "zone") in told[0].reason
    bench.register(make_bench.asset("svc-gamma", fallback_ids=("svc-beta",)))
    assert "failover:planned" in bench.statuses(bench.anomaly("svc-gamma", 1))


def test_h4_cooldowns_survive_kill_9(bench):
    order = bench.anomaly()[-1]
    bench.outcome(order, 1)
    bench.advance(40)
    bench.close(at_s=50)
    bench.advance(660)
    bench.outcome(bench.told[-1], 661)
    assert bench.told[-1].status is RemediationStatus.ROLLED_BACK
    second = bench.anomaly(at_s=700, incident_id="again")[-1]
    assert second.status is RemediationStatus.EXECUTING, "301 s after the first effect the cooldown is over"
    bench.outcome(second, 701, succeeded=False, detail="refused by load balancer")
    assert bench.statuses(bench.close(at_s=702, incident_id="again")) == ["failover:suppressed"]
    bench.restart_worker()
    held = bench.anomaly(at_s=800, incident_id="third")
    assert bench.statuses(held) == ["failover:suppressed"]
    assert "cools down for another 201 s" in held[0].reason
    bench.restart_worker()
    assert bench.advance(1000) == []
    assert bench.statuses(bench.advance(1001)) == ["failover:planned", "failover:executing"]


def test_h4_every_timer_survives_kill_9(bench):
    order = bench.anomaly()[-1]
    bench.restart_worker()
    bench.outcome(order, 2)
    bench.restart_worker()
    assert bench.statuses(bench.advance(32)) == ["failover:verified"]


def test_h4_a_denied_action_starts_no_cooldown(make_bench):
    deny = make_bench.Deny(lambda q: q.action == "failover")
    bench = make_bench(policy=deny).golden()
    bench.anomaly()
    deny.matches = lambda q: False
    bench.outcome(bench.told[-1], 4)
    bench.close(at_s=5)
    assert bench.statuses(bench.anomaly(at_s=6, incident_id="next")) == ["failover:planned", "failover:executing"]


def test_h5_the_package_s_own_test(bench):
    """115 ms opens no incident, so nothing arrives here; the 420 ms spike is healed at once."""
    assert bench.advance(3600) == []
    told = bench.anomaly(at_s=3601, value=420.0, expected=110.0)
    assert bench.statuses(told) == ["failover:planned", "failover:executing"]
    assert "420 against 110" in told[0].reason


def test_h7_recovered_after_the_action(bench):
    order = bench.anomaly()[-1]
    assert bench.statuses(bench.outcome(order, 2)) == ["failover:succeeded"]
    assert bench.advance(31.999) == []
    verified = bench.advance(32)
    assert bench.statuses(verified) == ["failover:verified"]
    assert "30 s" in verified[0].reason


def test_h7_not_recovered_is_escalated_to_the_next_strategy(make_bench):
    bench = make_bench()
    a = make_bench.asset
    bench.register(a("web", fallback_ids=("web-2",), endpoints=make_bench.control()), a("web-2"), a("web-3"))
    absence = {"metric": "latency_ms", "kind": AnomalyKind.ABSENCE, "value": None, "direction": "none"}
    first = bench.anomaly("web", **absence)
    assert bench.statuses(first) == ["restart:planned", "restart:executing"]
    bench.outcome(first[-1], 1)
    told = bench.advance(61)
    assert bench.statuses(told) == ["restart:escalated", "failover:planned", "failover:executing"]
    assert "not healthy 60 s after restart" in told[0].reason
    bench.outcome(told[-1], 62)
    bench.anomaly("web-2", 70, incident_id="dest", severity=Severity.MEDIUM)
    told = bench.advance(122)
    assert [s for s in bench.statuses(told) if "web-2" not in s][:3] == [
        "failover:escalated",
        "page:planned",
        "page:executing",
    ]
    told = bench.outcome(told[-1], 123)
    assert bench.statuses(told) == ["page:succeeded", "page:escalated"]


def test_h7_no_outcome_in_time_is_escalated(bench):
    bench.anomaly()
    assert bench.advance(59.999) == []
    told = bench.advance(60)
    assert bench.statuses(told) == ["failover:escalated", "page:planned", "page:executing"]
    assert "no outcome of failover within 60 s" in told[0].reason


def test_the_control_loop_alpha_fails_over_to_beta(bench):
    told = bench.anomaly()
    planned, executing = told
    assert (planned.status, executing.status) == (RemediationStatus.PLANNED, RemediationStatus.EXECUTING)
    assert planned.actions[0].parameters == {"destination_id": "svc-beta"}
    assert planned.policies[0].allowed
    assert planned.action_id == executing.action_id
    told += bench.outcome(executing, 1)
    told += bench.advance(100)
    assert bench.statuses(told) == [f"failover:{s}" for s in ("planned", "executing", "succeeded", "verified")]
    assert len({r.id for r in told}) == 4
    assert all(r.cause_id and r.reason.count(".") < 3 for r in told)


def test_the_control_loop_closes_over_the_executors_ledger(make_bench, bench):
    """Healing and the executors' pure part alone: a drain needs no I/O, so the loop closes in a replay too."""
    anomaly = bench.anomaly() and bench.partition.rows['["incident","inc-svc-alpha"]'].anomaly
    policy = make_bench.AllowAll()
    loop = Loop({"healing": make_bench(policy=policy).layer, "executors": ExecutorsLayer(Clearance(policy))})
    for asset in bench.partition.view.assets.values():
        assert list(loop.feed(Event("assets", asset.id, asset, make_bench.T0, asset.id))) == []
    out = list(loop.feed(Event("anomalies", "svc-alpha", anomaly, anomaly.at, anomaly.id)))
    out += list(loop.advance(make_bench.T0 + 30_000))
    seen = [(e.topic, str(getattr(e.value, "status", ""))) for e in out]
    assert seen == [
        ("remediations", "planned"),
        ("remediations", "executing"),
        ("action-outcomes", ""),
        ("remediations", "succeeded"),
        ("remediations", "verified"),
    ]


def test_h7_a_destination_that_gets_well_later_proves_the_action_30_s_after_that(make_bench):
    """It was ill for a moment when the action had succeeded: the proof, and with it the asset, waited for 60 s."""
    bench = make_bench().golden()
    order = bench.anomaly(at_s=0)[-1]
    bench.anomaly("svc-beta", 0.5, incident_id="moment", severity=Severity.MEDIUM, metric="disk")
    bench.outcome(order, 1)
    bench.close("svc-beta", 2, incident_id="moment", metric="disk")
    assert bench.statuses(bench.advance(32)) == ["failover:verified"]


def test_h7_a_destination_in_another_pool_is_looked_at_again_as_well(make_bench):
    bench = make_bench()
    bench.register(
        bench.asset("a", fallback_ids=("b",), labels={"pool": "one"}), bench.asset("b", labels={"pool": "two"})
    )
    order = bench.anomaly("a", 0)[-1]
    bench.anomaly("b", 0.5, severity=Severity.MEDIUM, metric="disk")
    bench.outcome(order, 1)
    bench.close("b", 2, metric="disk")
    assert bench.statuses(bench.advance(32)) == ["failover:verified"]
