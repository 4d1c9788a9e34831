"""One sample of a spike below critical is no reason to act: it must last, become critical or turn into another kind."""

from __future__ import annotations

import pytest

from schemas.records import AnomalyKind, AnomalyState, AutonomyMode, RemediationStatus, Severity
from streams.healing.draft import asset_key, incident_key
from streams.healing.settings import HealingSettings

SEEN = {"history_s": 60.0, "history_samples": 600}
"""Telemetry each 100 ms: two and a half intervals are 250 ms."""
SPIKE = {"severity": Severity.HIGH, "kind": AnomalyKind.SPIKE, "evidence": SEEN}


def test_a_high_spike_that_is_over_after_two_samples_is_not_acted_on(bench):
    (told,) = bench.anomaly(**SPIKE)
    assert told.status is RemediationStatus.SUPPRESSED
    assert told.reason == (
        "held back until confirmed: one sample of a high spike of latency_ms on svc-alpha is no reason to act; "
        "looked at again in 0.25 s"
    )
    bench.restart_worker()
    assert bench.close(at_s=0.2, evidence=SEEN) == []
    assert bench.advance(1000) == []
    assert not any("cooldown" in key for key in bench.partition.rows)


def test_one_that_lasts_is_acted_on_250_ms_later(bench):
    bench.anomaly(**SPIKE)
    assert bench.advance(0.249) == []
    assert bench.statuses(bench.advance(0.25)) == ["failover:planned", "failover:executing"]


@pytest.mark.parametrize("change", [{"severity": Severity.CRITICAL}, {"kind": AnomalyKind.SHIFT}])
def test_one_that_becomes_critical_or_is_no_spike_any_more_is_acted_on_at_once(bench, change):
    bench.anomaly(**SPIKE)
    told = bench.anomaly(at_s=0.1, **{**SPIKE, "state": AnomalyState.CHANGED, **change})
    assert bench.statuses(told) == ["failover:planned", "failover:executing"]


@pytest.mark.parametrize("change", [{"severity": Severity.CRITICAL}, {"kind": AnomalyKind.SHIFT}, {"evidence": {}}])
def test_what_is_critical_or_lasting_or_of_unknown_rate_is_acted_on_at_once(bench, change):
    assert bench.statuses(bench.anomaly(**{**SPIKE, **change})) == ["failover:planned", "failover:executing"]


def test_confirmation_can_be_turned_off(make_bench):
    bench = make_bench(HealingSettings(confirm_intervals=0)).golden()
    assert bench.statuses(bench.anomaly(**SPIKE)) == ["failover:planned", "failover:executing"]


def test_moments_of_slowness_take_no_share_of_the_pool_from_a_server_that_is_killed(make_bench):
    """Of twenty servers two may be acted on at once: three that were slow for a moment took both places."""
    bench = make_bench()
    for number in range(20):
        bench.register(bench.asset(f"web-{number}", labels={"pool": "web"}, fallback_ids=("web-19",)))
    for number in range(3):
        bench.anomaly(f"web-{number}", 0, **SPIKE)
    for number in range(3):
        bench.close(f"web-{number}", 0.2, evidence=SEEN)
    assert bench.statuses(bench.anomaly("web-5", 0.3, evidence=SEEN)) == ["failover:planned", "failover:executing"]


def test_a_change_before_a_retry_does_not_put_off_what_was_acted_on(bench):
    """The failover failed and is tried again; that it is no longer critical meanwhile is no reason to wait anew."""
    order = bench.anomaly(evidence=SEEN)[-1]
    bench.outcome(order, 1, succeeded=False, detail="503 of the balancer")
    retry_s = (bench.partition.rows[incident_key("inc-svc-alpha")].due_at - bench.T0) / bench.S
    assert bench.anomaly(at_s=retry_s - 0.1, **SPIKE, state=AnomalyState.CHANGED) == []
    again = bench.advance(retry_s)
    assert bench.statuses(again) == ["failover:planned", "failover:executing"]
    assert again[-1].fencing_epoch == order.fencing_epoch + 1


def test_what_is_put_off_gives_the_lease_of_its_asset_back(bench):
    """Asked for an approval while it was critical, which came too late: nobody acts on the asset meanwhile."""
    bench.mode(AutonomyMode.APPROVE)
    assert bench.statuses(bench.anomaly(evidence=SEEN))[-1] == "failover:awaiting_approval"
    bench.anomaly(at_s=899.9, **SPIKE, state=AnomalyState.CHANGED)
    assert "held back until confirmed" in bench.advance(900)[-1].reason
    assert bench.partition.rows[asset_key("svc-alpha")].lease is None


def test_a_medium_one_that_becomes_high_waits_anew_and_is_told_once(bench):
    bench.anomaly(**{**SPIKE, "severity": Severity.MEDIUM})
    assert bench.anomaly(at_s=0.1, **SPIKE, state=AnomalyState.CHANGED) == []
    assert bench.advance(0.349) == []
    assert bench.statuses(bench.advance(0.35)) == ["failover:planned", "failover:executing"]
