"""T9 for routing: every setting has a test of its effect; the last test here checks that none is missing."""

from __future__ import annotations

import inspect
import sys

import pytest
from pydantic import ValidationError

from schemas.records import Budget, PolicyRecord, PolicyVerdict
from streams.policy.cedar import CedarPolicySet
from streams.policy.port import Answer, Outcome
from streams.routing.settings import RoutingSettings


def two(rig, **job):
    """A cheap slow asset and a dear fast one; which is chosen?"""
    rig.asset("cheap", cost_usd_per_hour=1, latency_ms=500)
    rig.asset("fast", cost_usd_per_hour=10, latency_ms=100)
    return rig.route(**job)


def test_weights(make_rig):
    assert two(make_rig(weights={"cost": 2, "latency": 1})).target_id == "cheap"
    assert two(make_rig(weights={"cost": 1, "latency": 2})).target_id == "fast"
    for wrong in ({"colour": 1.0}, {"cost": 0.0}, {"cost": -1.0}, {"cost": float("nan")}):
        with pytest.raises(ValidationError, match="weights"):
            RoutingSettings(weights=wrong)


def test_tenant_weights(make_rig):
    of = {"frugal": {"cost": 1.0}, "hasty": {"latency": 1.0}}
    for tenant, target in (("frugal", "cheap"), ("hasty", "fast"), (None, "cheap"), ("other", "cheap")):
        decision = two(make_rig(tenant_weights=of, weights={"cost": 2, "latency": 1}), tenant=tenant)
        assert decision.target_id == target
        assert (f"weights of tenant {tenant}, version weights-" in decision.reason) is (tenant in of)
    assert two(make_rig(tenant_weights=of), tenant="frugal", weights={"latency": 1.0}).target_id == "fast"
    versions = {
        two(make_rig(tenant_weights={"t": {"cost": share, "latency": 1.0}}), tenant="t").reason.split("version ")[1]
        for share in (0.5, 0.6)
    }
    assert len(versions) == 2
    for wrong in ({"colour": 1.0}, {"cost": 0.0}, {"cost": -1.0}):
        with pytest.raises(ValidationError, match="tenant_weights of t"):
            RoutingSettings(tenant_weights={"t": wrong})


def test_spread_floor_share(make_rig, candidate):
    for floor, term in ((0.0, 0.0), (0.5, 0.8)):
        rig = make_rig(spread_floor_share=floor)
        rig.asset("a", latency_ms=90)
        rig.asset("b", latency_ms=100)
        assert candidate(rig.route(), "b").terms["latency"] == pytest.approx(term)


def test_reliability_spread_floor(make_rig, candidate):
    for floor, term in ((0.0, 0.0), (0.02, 0.5)):
        rig = make_rig(reliability_spread_floor=floor)
        rig.asset("a", reliability=0.99)
        rig.asset("b", reliability=0.98)
        assert candidate(rig.route(), "b").terms["reliability"] == pytest.approx(term)


def test_saturation_spread_floor(make_rig, candidate):
    for floor, term in ((0.0, 0.0), (0.4, 0.5)):
        rig = make_rig(saturation_spread_floor=floor)
        rig.asset("a")
        rig.asset("b")
        rig.performance("a", saturation=0.2)
        rig.performance("b", saturation=0.4)
        assert candidate(rig.route(), "b").terms["saturation"] == pytest.approx(term)


def test_unknown_term(make_rig, candidate):
    for how, term in (("worst", 0.0), ("neutral", 0.5)):
        rig = make_rig(unknown_term=how)
        rig.asset("a", latency_ms=100)
        rig.asset("b", latency_ms=200)
        rig.asset("c", latency_ms=None)
        decision = rig.route()
        assert candidate(decision, "c").terms["latency"] == term
        assert "latency not known" in candidate(decision, "c").reasons


def test_incumbent_bonus(make_rig, candidate):
    for bonus, target in ((0.0, "new"), (0.5, "old")):
        rig = make_rig(incumbent_bonus=bonus)
        rig.asset("old", latency_ms=100)
        rig.route()
        rig.asset("new", latency_ms=50)
        decision = rig.route(data_gb=1)
        assert decision.target_id == target
        said = any("has the job" in reason for reason in candidate(decision, "old").reasons)
        assert said is (bonus > 0)


def test_incident_penalty(make_rig, candidate):
    for penalty, target in ((0.0, "fast"), (1.0, "slow")):
        rig = make_rig(incident_penalty=penalty)
        rig.asset("fast", latency_ms=50)
        rig.asset("slow", latency_ms=100)
        rig.incident("fast", "medium")
        decision = rig.route()
        assert decision.target_id == target
        assert f"an open lesser incident takes {penalty:g} from its score" in candidate(decision, "fast").reasons


@pytest.mark.parametrize(("setting", "priority"), [("critical_boost", "critical"), ("high_boost", "high")])
def test_critical_boost_and_high_boost(make_rig, setting, priority):
    weights = {"cost": 0.6, "latency": 0.4}
    assert two(make_rig(**{setting: 1.0}), priority=priority, weights=weights).target_id == "cheap"
    assert two(make_rig(**{setting: 3.0}), priority=priority, weights=weights).target_id == "fast"


def test_low_cost_boost(make_rig):
    weights = {"cost": 0.4, "latency": 0.6}
    assert two(make_rig(low_cost_boost=1.0), priority="low", weights=weights).target_id == "fast"
    assert two(make_rig(low_cost_boost=3.0), priority="low", weights=weights).target_id == "cheap"


def test_latency_percentile(make_rig):
    for percentile, target in (("p50", "steady"), ("p95", "even")):
        rig = make_rig(latency_percentile=percentile, weights={"latency": 1})
        rig.asset("steady")
        rig.asset("even")
        rig.performance("steady", latency_ms_p50=50, latency_ms_p95=900)
        rig.performance("even", latency_ms_p50=200, latency_ms_p95=210)
        assert rig.route().target_id == target


def test_performance_ttl_s(make_rig):
    for ttl_s, said in ((60, "100 ms declared"), (600, "700 ms measured")):
        rig = make_rig(performance_ttl_s=ttl_s)
        rig.asset("a")
        rig.performance("a", latency_ms_p95=700)
        rig.wait(300)
        assert said in rig.route().candidates[0].reasons


@pytest.mark.parametrize(("setting", "low", "high"), [("egress_usd_per_gb", 0.0, 1.0), ("job_hours", 1000.0, 0.5)])
def test_egress_usd_per_gb_and_job_hours(make_rig, setting, low, high):
    for value, target in ((low, "there"), (high, "here")):
        rig = make_rig(**{setting: value}, weights={"cost": 1})
        rig.asset("here", region="eu", cost_usd_per_hour=12)
        rig.asset("there", region="us", cost_usd_per_hour=10)
        assert rig.route(data_gb=20, metadata={"data_region": "eu"}).target_id == target


def test_transfer_gbit_per_s(make_rig):
    for speed, outcome in ((0.1, "unroutable"), (10.0, "routed")):
        rig = make_rig(transfer_gbit_per_s=speed)
        rig.asset("there", region="us")
        job = {"data_gb": 10, "metadata": {"data_region": "eu"}, "deadline_at": rig.at + 60_000}
        assert rig.route(**job).outcome == outcome


def test_incident_severity(make_rig):
    for severity, outcome in (("medium", "unroutable"), ("high", "routed")):
        rig = make_rig(incident_severity=severity)
        rig.asset("a")
        rig.incident("a", "medium")
        assert rig.route().outcome == outcome


def test_saturation_limit_and_critical_saturation_limit(make_rig):
    for settings, normal, critical in (
        ({}, "unroutable", "routed"),
        ({"saturation_limit": 1.0}, "routed", "routed"),
        ({"critical_saturation_limit": 0.9}, "unroutable", "unroutable"),
    ):
        rig = make_rig(**settings)
        rig.asset("a")
        rig.performance("a", saturation=0.97)
        assert rig.route("n").outcome == normal
        assert rig.route("c", priority="critical").outcome == critical


def test_error_rate_limit(make_rig):
    for limit, outcome in ((0.2, "unroutable"), (0.5, "routed")):
        rig = make_rig(error_rate_limit=limit)
        rig.asset("a")
        rig.performance("a", error_rate=0.3)
        assert rig.route().outcome == outcome


def test_allow_degraded(make_rig):
    for allow, outcome in ((False, "unroutable"), (True, "routed")):
        rig = make_rig(allow_degraded=allow)
        rig.asset("a")
        rig.incident("a")
        assert rig.route().outcome == outcome
        rig.remediation("a", "executing")
        assert rig.route("drained").outcome == "unroutable", "being drained is not forgiven"


class DeniesAllBut:
    id, version = "but", "1"

    def __init__(self, allowed):
        self.allowed, self.asked = allowed, 0

    def decide(self, question):
        self.asked += 1
        allowed = question.asset_id == self.allowed
        verdict = PolicyVerdict(id=self.id, version=self.version, allowed=allowed, reason="so it is")
        return Answer(Outcome.ALLOW if allowed else Outcome.DENY, (verdict,))


def test_policy_asks_max(make_rig):
    for most, outcome in ((5, "unroutable"), (50, "routed")):
        hook = DeniesAllBut("last")
        rig = make_rig(policy=hook, policy_asks_max=most)
        for i in range(10):
            rig.asset(f"svc-{i}", latency_ms=10)
        rig.asset("last", latency_ms=900)
        decision = rig.route()
        assert decision.outcome == outcome
        assert hook.asked <= most
        assert ("stopped after 5 questions to the policy" in decision.reason) is (most == 5)


def test_soft_share_max(make_rig):
    soft = '@id("a")\n@weight("0.6")\nprefer { asset.id == "svc-b" };\n@id("b")\n@weight("0.2")\nprefer { true };'
    policy = CedarPolicySet({"a.cedar": '@id("p")\npermit (principal, action, resource);', "s.cel": soft})
    for most, target in ((0.0, "svc-a"), (0.2, "svc-a"), (0.5, "svc-b")):
        rig = make_rig(policy=policy, soft_share_max=most)
        rig.asset("svc-a", cost_usd_per_hour=9.0)
        rig.asset("svc-b", cost_usd_per_hour=9.5)
        decision = rig.route(weights={"cost": 1.0})
        assert decision.target_id == target
        shares = [decision.weights.get(name, 0.0) for name in ("soft.a", "soft.b", "cost")]
        assert shares == pytest.approx([0.75 * most, 0.25 * most, 1 - most])
        assert (f"soft terms ask for 0.8 of the score and have {most:g}" in decision.reason) is (most > 0)


def test_fallbacks_max(make_rig):
    for most in (0, 2):
        rig = make_rig(fallbacks_max=most)
        for i in range(6):
            rig.asset(f"svc-{i}")
        assert len(rig.route().fallback_ids) == most


def test_candidates_listed(make_rig):
    rig = make_rig(candidates_listed=5)
    for i in range(8):
        rig.asset(f"svc-{i}", latency_ms=100 + i * 10, zone="one")
    rig.asset("far", zone="two", latency_ms=9_000)
    rig.asset("unfit", capabilities=())
    decision = rig.route()
    listed = [c.asset_id for c in decision.candidates]
    assert len(listed) == 5
    assert {decision.target_id, *decision.fallback_ids} <= set(listed), "the chosen are always listed"
    assert decision.fallback_ids[0] == "far"
    assert "5 of 10 candidates are listed: of all, 1 fail capability" in decision.reason


def test_pivot_within_domain(make_rig):
    for allowed, outcome in ((True, "pivoted"), (False, "unroutable")):
        rig = make_rig(pivot_within_domain=allowed)
        rig.asset("a1", zone="a")
        rig.asset("a2", zone="a")
        rig.route()
        decision = rig.incident(rig.row().target_id)[0]
        assert decision.outcome == outcome
        if allowed:
            assert "nothing known to be outside failure domain a is eligible" in decision.reason


def test_retry_s(make_rig):
    for retry_s, tries in ((10, 1), (100, 0)):
        rig = make_rig(retry_s=retry_s)
        rig.asset("a")
        rig.performance("a", saturation=1.0)
        rig.route()
        rig.performance("a", saturation=0.0)
        assert len(rig.wait(50)) == tries


def test_retry_min_s(make_rig):
    for retry_min_s, tries in ((1, 1), (10, 0)):
        rig = make_rig(retry_min_s=retry_min_s)
        rig.route()
        rig.wait(5)
        assert len(rig.asset("a")) == tries


def test_job_ttl_s(make_rig):
    for ttl_s, kept in ((50, False), (500, True)):
        rig = make_rig(job_ttl_s=ttl_s)
        rig.asset("a")
        rig.route("active")
        rig.route("waiting", clouds=("moon",))
        rig.wait(100)
        assert (rig.row("active") is not None) is kept
        assert (rig.row("waiting") is not None) is kept
        assert bool(rig.partition.rows) is kept


def test_done_kept_s(make_rig):
    for kept_s, decisions in ((50, 1), (500, 0)):
        rig = make_rig(done_kept_s=kept_s)
        rig.asset("a")
        rig.route()
        rig.outcome("a", "succeeded")
        rig.wait(100)
        assert len(rig.submit(rig.request())) == decisions


def test_attempts_max(make_rig):
    for most, outcome in ((2, "unroutable"), (3, "pivoted")):
        rig = make_rig(attempts_max=most)
        for name in "abcd":
            rig.asset(name)
        rig.route()
        for _ in range(2):
            rig.at += 1
            decision = rig.outcome(rig.row().target_id, "failed", error="boom")[0]
        assert decision.outcome == outcome
        if most == 2:
            assert "given up after 2 failed attempts" in decision.reason
            assert rig.wait(1_000) == [], "a job that was given up is not tried again"


def test_failed_target_rest_s(make_rig):
    for rest_s, decisions in ((20, 1), (2_000, 0)):
        rig = make_rig(failed_target_rest_s=rest_s)
        rig.asset("a")
        rig.route()
        assert rig.outcome("a", "failed")[0].outcome == "unroutable"
        assert len(rig.wait(100)) == decisions


def test_job_units(make_rig):
    for units, outcome in ((1.0, "unroutable"), (0.0, "routed")):
        rig = make_rig(job_units=units)
        rig.asset("a", capacity_units=1.0)
        rig.route("one")
        assert rig.route("two").outcome == outcome


def test_moved_max(make_rig):
    for most in (1, 2, 3):
        rig = make_rig(moved_max=most)
        rig.asset("a", latency_ms=1)
        for i in range(3):
            assert rig.route(f"job-{i}").target_id == "a"
        rig.asset("b")
        assert [d.job_id for d in rig.incident("a")] == ["job-0", "job-1", "job-2"][:most]


def test_retried_max(make_rig):
    for most in (0, 2, 3):
        rig = make_rig(retried_max=most)
        for i in range(3):
            rig.route(f"job-{i}")
        rig.wait(2)
        assert [d.job_id for d in rig.asset("a")] == ["job-0", "job-1", "job-2"][:most]


def test_woken_max(make_rig):
    for most, woken in ((16, ["two"]), (0, [])):
        rig = make_rig(woken_max=most)
        rig.asset("a", capacity_units=1.0)
        rig.route("one")
        rig.route("two")
        rig.at += 1
        assert [d.job_id for d in rig.outcome("a", "succeeded", "one")] == woken


def test_booking_ttl_s(make_rig):
    for ttl_s, outcome in ((60, "routed"), (3_600, "unroutable")):
        rig = make_rig(booking_ttl_s=ttl_s)
        rig.asset("a", capacity_units=1.0)
        rig.route("one")
        rig.wait(180)
        assert rig.route("two").outcome == outcome


def test_tenant_quotas(make_rig):
    for quotas, outcomes in (
        ({}, ["routed", "routed"]),
        ({"t": 1}, ["routed", "unroutable"]),
        ({"u": 0}, ["routed"] * 2),
    ):
        rig = make_rig(tenant_quotas=quotas)
        rig.asset("a")
        assert [rig.route(f"job-{i}", tenant="t").outcome for i in range(2)] == outcomes
    with pytest.raises(ValidationError, match="tenant_quotas of t: must be 0 or more"):
        RoutingSettings(tenant_quotas={"t": -1})


def test_critical_reserve_share(make_rig):
    for share, outcomes in ((0.0, ["routed", "routed"]), (0.5, ["routed", "unroutable"])):
        rig = make_rig(critical_reserve_share=share)
        rig.asset("a", capacity_units=2.0)
        assert [rig.route(f"job-{i}").outcome for i in range(2)] == outcomes


def test_reliability_prior_outcomes(make_rig):
    for prior, share in ((1.0, 0.5), (99.0, 0.99), (1e9, 1.0)):
        rig = make_rig(reliability_prior_outcomes=prior)
        failed_once(rig)
        assert f"reliability {share:.5g} after 1 outcome, declared 1" in rig.route("next").reason


def test_reliability_half_life_s(make_rig):
    for half_life_s, share, left in ((600.0, 1 - 0.5 / 9.5, "0.5"), (1e8, 0.9, "1")):
        rig = make_rig(reliability_prior_outcomes=9, reliability_half_life_s=half_life_s)
        failed_once(rig)
        rig.wait(600)
        assert f"reliability {share:.5g} after {left} outcome" in rig.route("next").reason


def failed_once(rig):
    """An asset that declares a reliability of 1, and failed one job."""
    rig.asset("a", reliability=1.0)
    rig.route("one")
    rig.at += 1
    rig.outcome("a", "failed", "one")


def back_after(rig, seconds):
    """Whether a job is back on the target that was ill, so long after that is well."""
    rig.asset("a", latency_ms=1)
    rig.asset("b")
    for job in ("x", "y"):
        rig.route(job)
    rig.incident("a")
    rig.wait(1)
    rig.incident("a", state="closed")
    rig.wait(seconds)
    return [rig.row(job).target_id for job in ("x", "y")]


def test_failback_mode(make_rig):
    for mode, targets in (("auto", ["a", "a"]), ("suggest", ["b", "b"]), ("observe", ["b", "b"])):
        assert back_after(make_rig(failback_mode=mode), 700) == targets


def test_failback_after_s(make_rig):
    for after_s, targets in ((30, ["a", "a"]), (600, ["b", "b"])):
        assert back_after(make_rig(failback_mode="auto", failback_after_s=after_s), 31) == targets


def test_failback_window_s(make_rig):
    for window_s, targets in ((10, ["a", "a"]), (300, ["a", "b"])):
        assert back_after(make_rig(failback_mode="auto", failback_window_s=window_s, moved_max=1), 620) == targets


def test_spending_told_s(make_rig):
    for every_s, told in ((0, 4), (10, 2)):
        rig = make_rig(spending_told_s=every_s)
        rig.asset("a")
        rig.policy_record(PolicyRecord(id="b", kind="budget", version="1", budget=budget_of_all(), at=rig.at))
        for i in range(4):
            rig.route(f"job-{i}")
        rig.wait(60)
        assert [e.value.micro_usd_per_hour for e in rig.spending][-1] == 40_000_000
        assert len(rig.spending) == told
    with pytest.raises(ValidationError, match="spending_told_s"):
        RoutingSettings(spending_told_s=-1)


def budget_of_all():
    return Budget(scope="*", limit_usd_per_hour=1_000)


def test_every_setting_has_a_test_of_its_effect():
    source = inspect.getsource(sys.modules[__name__])
    tests = [line.split("(")[0] for line in source.splitlines() if line.startswith("def test_")]
    missing = [name for name in RoutingSettings.model_fields if not any(name in test for test in tests)]
    assert missing == []


def test_every_setting_says_its_source():
    assert [n for n, f in RoutingSettings.model_fields.items() if "Source:" not in (f.description or "")] == []
