"""The acceptance cases R1-R8, R10-R12, and the routing part of the control loop. R9: see test_routing_scale."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from schemas.records import PolicyVerdict, Priority
from streams.policy.cedar import CedarPolicySet
from streams.policy.gate import PolicyGate
from streams.policy.port import Answer, Outcome, Question


@dataclass
class Rules:
    """A policy that denies some assets, obliges others, or throws."""

    denied: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()
    throws_on: tuple[str, ...] = ()
    id: str = "rules"
    version: str = "3"

    def decide(self, question: Question) -> Answer:
        if question.asset_id in self.throws_on:
            raise RuntimeError("rule engine is down")
        allowed = question.asset_id not in self.denied
        verdict = PolicyVerdict(
            id=self.id, version=self.version, allowed=allowed, reason=f"rule on {question.asset_id}"
        )
        return Answer(Outcome.ALLOW if allowed else Outcome.DENY, (verdict,), self.obligations if allowed else ())


class NeedsHipaa:
    """The golden loop's policy: a sensitive job needs hipaa."""

    id, version = "needs-hipaa", "1"

    def decide(self, question: Question) -> Answer:
        compliance = question.attributes["compliance"]
        assert isinstance(compliance, tuple)
        allowed = question.context.get("job.sensitive") is not True or "hipaa" in compliance
        reason = "fit for the job" if allowed else "a sensitive job needs hipaa"
        verdict = PolicyVerdict(id=self.id, version=self.version, allowed=allowed, reason=reason)
        return Answer(Outcome.ALLOW if allowed else Outcome.DENY, (verdict,))


def test_r1_sovereignty_is_a_constraint(rig, candidate):
    rig.asset("a", data_regions=("us",))
    rig.asset("b", data_regions=())
    decision = rig.route(data_regions=("eu",))
    assert decision.outcome == "unroutable"
    assert candidate(decision, "a").reasons == ("lacks data region eu",)
    assert candidate(decision, "b").reasons == ("lacks data region eu",)
    assert "lacks data region eu" in decision.reason
    assert decision.counterfactual is not None
    assert "with data region eu" in decision.counterfactual


def test_r2_weights_mean_what_they_say(rig, candidate):
    rig.asset("near", latency_ms=120)
    rig.asset("far", latency_ms=5000)
    decision = rig.route(weights={"latency": 0.4, "cost": 0.6})
    near, far = candidate(decision, "near"), candidate(decision, "far")
    assert near.terms["latency"] == 1.0
    assert far.terms["latency"] == 0.0
    assert near.terms["cost"] == far.terms["cost"] == 1.0
    assert near.score is not None
    assert far.score is not None
    assert near.score - far.score == pytest.approx(0.4)
    assert decision.weights["latency"] == pytest.approx(0.4)


def test_r2_an_unknown_weight_is_ignored_and_said(rig):
    rig.asset("a")
    decision = rig.route(weights={"latency": 1, "colour": 9})
    assert decision.weights["latency"] == 1.0
    assert "unknown weights ignored: colour" in decision.reason


def test_r2_weights_that_are_all_zero_fall_back_to_the_default(rig):
    rig.asset("a")
    decision = rig.route(weights={"latency": 0.0})
    assert decision.weights["cost"] == pytest.approx(0.30)
    assert "default weights" in decision.reason


def test_r3_throughput_does_not_buy_a_slow_dear_target_the_job(rig):
    rig.asset("huge", latency_ms=5000, cost_usd_per_hour=500)
    rig.performance("huge", throughput_per_s=1e6)
    rig.asset("plain", latency_ms=100, cost_usd_per_hour=10)
    assert rig.route().target_id == "plain"


def test_r4_an_ill_target_is_not_chosen_while_a_healthy_one_is_eligible(rig, candidate):
    for name in ("failing", "full", "sick"):
        rig.asset(name, latency_ms=1, cost_usd_per_hour=0.1, reliability=1.0)
    rig.asset("healthy", latency_ms=900, cost_usd_per_hour=90, reliability=0.9)
    rig.performance("failing", error_rate=0.99)
    rig.performance("full", saturation=1.0)
    rig.incident("sick")
    decision = rig.route()
    assert decision.target_id == "healthy"
    assert decision.fallback_ids == ()
    assert candidate(decision, "failing").reasons == ("error rate 0.99, ill from 0.50",)
    assert candidate(decision, "full").reasons == ("saturation 1.00, ill from 0.95",)
    assert "open critical incident incident-of-sick" in candidate(decision, "sick").reasons[0]


def test_r4_only_ill_targets_left_is_unroutable_unless_degraded_is_allowed(make_rig):
    for allow, outcome in ((False, "unroutable"), (True, "routed")):
        rig = make_rig(allow_degraded=allow)
        rig.asset("a")
        rig.performance("a", error_rate=0.99)
        decision = rig.route()
        assert decision.outcome == outcome
        assert "error rate 0.99" in decision.reason
        assert ("degraded, forgiven" in decision.reason) is allow


def test_r5_cost_zero_is_cheapest_not_a_prize(rig, candidate):
    rig.asset("free", cost_usd_per_hour=0.0, latency_ms=900)
    rig.asset("paid", cost_usd_per_hour=10.0, latency_ms=100)
    decision = rig.route(weights={"cost": 0.3, "latency": 0.7})
    assert decision.target_id == "paid"
    assert candidate(decision, "free").terms["cost"] == 1.0
    assert candidate(decision, "free").score == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"max_cost_usd_per_hour": 0.0}, "10.00 USD/h, limit 0.00 USD/h"),
        ({"max_latency_ms": 0.0}, "100 ms, limit 0 ms"),
        ({"max_carbon_g_per_kwh": 0.0}, "50 gCO2eq/kWh, limit 0 gCO2eq/kWh"),
        ({"min_reliability": 1.0}, "reliability 0.99, limit reliability 1"),
    ],
)
def test_r5_a_limit_of_zero_is_a_limit(rig, limit, reason):
    rig.asset("a", carbon_g_per_kwh=50.0)
    decision = rig.route(**limit)
    assert decision.outcome == "unroutable"
    assert decision.candidates[0].reasons == (reason,)
    rig.asset("free", carbon_g_per_kwh=0.0, cost_usd_per_hour=0.0, latency_ms=0.0, reliability=1.0)
    assert rig.route("other", **limit).target_id == "free"


def test_r5_no_limit_on_reliability_of_zero(rig):
    rig.asset("a", reliability=0.0)
    assert rig.route(min_reliability=0.0).target_id == "a"


def test_r6_all_denied_is_a_decision_with_every_reason(make_rig, candidate):
    rig = make_rig(policy=Rules(denied=("a", "b")))
    rig.asset("a")
    rig.asset("b")
    rig.asset("c", capabilities=("walk",))
    decision = rig.route()
    assert decision.outcome == "unroutable"
    assert decision.target_id is None
    assert candidate(decision, "a").reasons[0] == "denied by policy rules@3: rule on a"
    assert candidate(decision, "b").reasons[0] == "denied by policy rules@3: rule on b"
    assert candidate(decision, "c").reasons[0] == "lacks capability run"
    assert not any(c.eligible for c in decision.candidates)
    assert {v.reason for v in decision.policies} == {"rule on a", "rule on b", "rule on c"}
    for said in ("rule on a", "rule on b", "lacks capability run"):
        assert said in decision.reason


def test_r7_obligations_are_in_the_record(make_rig):
    rig = make_rig(policy=Rules(obligations=("notify:ops", "max_cost:12")))
    rig.asset("a")
    assert rig.route().obligations == ("notify:ops", "max_cost:12")


@pytest.mark.parametrize(
    ("obligation", "reason"),
    [
        ("max_cost:5", "obligation max_cost:5 not met: cost is 10.00 USD/h"),
        ("keep_in_region:eu", "obligation keep_in_region:eu not met: region is us"),
        ("require_approval", "obligation require_approval not met: no approval of route-"),
    ],
)
def test_r7_an_obligation_that_cannot_be_met_denies(make_rig, obligation, reason):
    rig = make_rig(policy=Rules(obligations=(obligation,)))
    rig.asset("a", region="us")
    decision = rig.route()
    assert decision.outcome == "unroutable"
    assert decision.obligations == ()
    assert decision.candidates[0].reasons[0].startswith(reason)


def test_r7_a_policy_that_throws_denies_with_its_own_outcome(make_rig, candidate):
    rig = make_rig(policy=Rules(throws_on=("a",)))
    rig.asset("a", latency_ms=1)
    rig.asset("b", latency_ms=500)
    decision = rig.route()
    assert decision.target_id == "b"
    assert candidate(decision, "a").reasons[0].startswith("policy error rules@3: ")
    assert "rule engine is down" in candidate(decision, "a").reasons[0]


def test_r7_a_policy_that_always_throws_makes_jobs_unroutable_not_the_stream_stop(make_rig):
    rig = make_rig(policy=Rules(throws_on=("a",)))
    rig.asset("a")
    decision = rig.route()
    assert decision.outcome == "unroutable"
    assert "rule engine is down" in decision.reason


def test_r8_equal_candidates_are_told_apart_by_content_never_by_arrival(make_rig):
    names = [f"svc-{i}" for i in range(6)]
    targets = []
    for order in (names, names[::-1], names[3:] + names[:3]):
        rig = make_rig()
        for name in order:
            rig.asset(name)
        targets.append([(d.target_id, d.fallback_ids) for i in range(20) for d in [rig.route(f"job-{i}")]])
    assert targets[0] == targets[1] == targets[2]
    assert len({target for target, _ in targets[0]}) > 2, "equal targets share the jobs"


def test_r10_priority_changes_weights_and_is_said(rig):
    rig.asset("cheap", cost_usd_per_hour=1, latency_ms=500)
    rig.asset("fast", cost_usd_per_hour=10, latency_ms=100)
    weights = {"cost": 0.55, "latency": 0.45}
    chosen = {p: rig.route(f"job-{p}", priority=p, weights=weights) for p in Priority if p != "unknown"}
    assert {p: d.target_id for p, d in chosen.items()} == {
        "low": "cheap", "normal": "cheap", "high": "fast", "critical": "fast",
    }  # fmt: skip
    assert "priority critical weighs latency and reliability 2 times" in chosen[Priority.CRITICAL].reason


def test_r10_data_has_weight(rig, candidate):
    rig.asset("here", region="eu", cost_usd_per_hour=12)
    rig.asset("there", region="us", cost_usd_per_hour=10)
    light = rig.route("light", weights={"cost": 1.0}, data_gb=1, metadata={"data_region": "eu"})
    heavy = rig.route("heavy", weights={"cost": 1.0}, data_gb=100, metadata={"data_region": "eu"})
    assert light.target_id == "there"
    assert heavy.target_id == "here"
    assert "100 GB move from eu for 9.00 USD in 800 s" in candidate(heavy, "there").reasons
    unsaid = rig.route("unsaid", data_gb=100)
    assert "where its 100 GB are is not said" in unsaid.reason


def test_r10_a_deadline_must_hold_the_latency_and_the_transfer(rig, candidate):
    rig.asset("here", region="eu", latency_ms=900, cost_usd_per_hour=99)
    rig.asset("there", region="us", latency_ms=10)
    data = {"data_gb": 10, "metadata": {"data_region": "eu"}}
    decision = rig.route("tight", deadline_at=rig.at + 60_000, **data)
    assert decision.target_id == "here"
    assert candidate(decision, "there").reasons == ("needs 80.0 s, deadline in 60.0 s",)
    assert "needs 0.9 s of the 60.0 s to its deadline" in decision.reason
    assert rig.route("loose", deadline_at=rig.at + 90_000, **data).target_id == "there"


def test_r10_a_deadline_that_has_passed_refuses_all_and_ends_the_job(rig):
    rig.asset("a")
    decision = rig.route(deadline_at=rig.at - 5_000)
    assert decision.outcome == "unroutable"
    assert decision.candidates[0].reasons == ("the deadline passed 5.0 s ago",)
    assert rig.wait(1000) == []


def three_zones(rig):
    rig.asset("a1", zone="a", latency_ms=10)
    rig.asset("a2", zone="a", latency_ms=11)
    rig.asset("b1", zone="b", latency_ms=300)


@pytest.mark.parametrize("how", ["incident", "removed", "stale", "drained", "failed"])
def test_r11_the_job_pivots_outside_the_failure_domain(rig, how):
    three_zones(rig)
    first = rig.route()
    assert (first.outcome, first.target_id, first.revision) == ("routed", "a1", 1)
    rig.at += 1000
    revised = {
        "incident": lambda: rig.incident("a1"),
        "removed": lambda: rig.gone("a1"),
        "stale": lambda: rig.asset("a1", zone="a", latency_ms=10, state="stale"),
        "drained": lambda: rig.remediation("a1", "executing"),
        "failed": lambda: rig.outcome("a1", "failed", error="out of memory"),
    }[how]()
    assert [(d.outcome, d.target_id, d.revision) for d in revised] == [("pivoted", "b1", 2)]
    assert revised[0].id != first.id
    assert revised[0].reason.startswith("pivots from a1 (")
    assert rig.row().target_id == "b1"


def test_r11_only_the_jobs_of_the_failed_target_pivot(rig):
    three_zones(rig)
    rig.route("here")
    rig.route("there", weights={"latency": 1})
    rig.asset("c1", zone="c", latency_ms=1)
    rig.route("elsewhere")
    assert rig.row("elsewhere").target_id == "c1"
    assert {d.job_id for d in rig.incident("a1")} == {"here", "there"}


def test_r11_a_lesser_incident_does_not_move_a_job_but_growing_does(rig):
    three_zones(rig)
    rig.route()
    assert rig.incident("a1", "low") == []
    assert [d.target_id for d in rig.incident("a1", "high", "changed")] == ["b1"]


def test_r12_fallbacks_are_in_disjoint_failure_domains_first(rig):
    rig.asset("a1", zone="a", latency_ms=10)
    rig.asset("a2", zone="a", latency_ms=11)
    rig.asset("a3", zone="a", latency_ms=12)
    rig.asset("b1", zone="b", latency_ms=400)
    rig.asset("b2", zone="b", latency_ms=401)
    rig.asset("c1", zone="c", latency_ms=500)
    rig.asset("nowhere", zone=None, latency_ms=10.5)
    decision = rig.route()
    assert decision.target_id == "a1"
    assert decision.fallback_ids == ("b1", "c1", "nowhere")
    assert "fallbacks b1 in b, c1 in c, nowhere in an unknown domain" in decision.reason


def test_r12_the_failure_domain_is_the_declared_one_else_zone_region_cloud(rig):
    rig.asset("a", failure_domain="rack-1", zone="z", latency_ms=10)
    rig.asset("same-rack", failure_domain="rack-1", zone="y", latency_ms=11)
    rig.asset("by-region", zone=None, region="eu", latency_ms=300)
    rig.asset("by-cloud", zone=None, cloud="gcp", latency_ms=200)
    assert rig.route().fallback_ids == ("by-cloud", "by-region", "same-rack")


def golden(make_rig, policy=None):
    rig = make_rig(policy=policy or NeedsHipaa())
    both = {"zone": None, "data_regions": ("us",), "capabilities": ("maestro-routing",)}
    alpha = {"latency_ms": 120, "reliability": 0.999, "cost_usd_per_hour": 28.0, "compliance": ("soc2", "hipaa")}
    beta = {"latency_ms": 160, "reliability": 0.992, "cost_usd_per_hour": 18.0, "compliance": ("soc2",)}
    rig.asset("svc-alpha", cloud="aws", region="us-east-1", **alpha, **both)
    rig.asset("svc-beta", cloud="gcp", region="us-central1", **beta, **both)
    rig.performance("svc-alpha", latency_ms_p95=110, error_rate=0.11, saturation=0.82, cost_usd_per_hour=28.0)
    rig.performance("svc-beta", latency_ms_p95=150, cost_usd_per_hour=18.0)
    return rig


WANTS = {"required_capabilities": ("maestro-routing",), "compliance": ("soc2",), "max_latency_ms": 500.0}
SENSITIVE = {**WANTS, "metadata": {"sensitive": True}}


@pytest.mark.parametrize("regions", [(), ("us-east-1",)])
def test_golden_loop_before_the_incident_the_job_goes_to_alpha(make_rig, regions):
    decision = golden(make_rig).route(regions=regions, **SENSITIVE)
    assert (decision.outcome, decision.target_id) == ("routed", "svc-alpha")
    assert "110 ms measured" in decision.reason


@pytest.mark.parametrize("regions", [(), ("us-east-1",)])
def test_golden_loop_while_it_is_open_a_sensitive_job_is_unroutable(make_rig, candidate, regions):
    rig = golden(make_rig)
    rig.incident("svc-alpha")
    decision = rig.route(regions=regions, **SENSITIVE)
    assert decision.outcome == "unroutable"
    assert "denied by policy needs-hipaa@1: a sensitive job needs hipaa" in candidate(decision, "svc-beta").reasons
    assert "a sensitive job needs hipaa" in decision.reason
    assert "open critical incident" in decision.reason


def test_golden_loop_while_it_is_open_a_job_that_is_not_sensitive_goes_to_beta(make_rig):
    rig = golden(make_rig)
    rig.incident("svc-alpha")
    assert rig.route(**WANTS).target_id == "svc-beta"


def test_golden_loop_jobs_that_run_are_revised_and_the_sensitive_one_comes_back_after_it(make_rig):
    rig = golden(make_rig)
    rig.route("sensitive", **SENSITIVE)
    rig.at += 1000
    revised = rig.incident("svc-alpha")
    assert [(d.outcome, d.target_id, d.revision) for d in revised] == [("unroutable", None, 2)]
    rig.at += 2000
    back = rig.incident("svc-alpha", state="closed")
    assert [(d.outcome, d.target_id, d.revision) for d in back] == [("routed", "svc-alpha", 3)]


CEDAR = """
@id("allow-the-rest") @reason("nothing speaks against it")
permit (principal, action, resource);
@id("sensitive-needs-hipaa") @reason("a sensitive job needs hipaa")
forbid (principal, action == Action::"routing", resource)
when { context has sensitive && context.sensitive }
unless { resource.compliance.contains("hipaa") };
"""


def test_golden_loop_with_the_rule_in_cedar(make_rig, candidate):
    rig = golden(make_rig, PolicyGate(initial=CedarPolicySet({"rules.cedar": CEDAR}, "golden")))
    assert rig.route("before", **SENSITIVE).target_id == "svc-alpha"
    rig.incident("svc-alpha")
    refused = rig.route("sensitive", **SENSITIVE)
    assert refused.outcome == "unroutable"
    assert any("a sensitive job needs hipaa" in r for r in candidate(refused, "svc-beta").reasons)
    assert rig.route("plain", **WANTS).target_id == "svc-beta"
