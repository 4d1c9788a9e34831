"""The simulated fleet and the summary: faults stay until the right action, and the summary says what happened."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from schemas.records import (
    Anomaly,
    AnomalyKind,
    AnomalyState,
    Direction,
    Remediation,
    RemediationStatus,
    RoutingDecision,
    RoutingOutcome,
    Severity,
)
from topology.demo.control import ControlServer
from topology.demo.fleet import Fault, Fleet
from topology.demo.lines import Lines
from topology.demo.narrator import Heard
from topology.demo.script import FAULTS
from topology.demo.summary import quantile, summarise

AT = 1_790_000_000_000


def values(fleet: Fleet, asset_id: str) -> dict[str, float]:
    return {s.metric: s.value for s in fleet.signals(AT) if s.asset_id == asset_id}


def test_the_same_seed_gives_the_same_signals() -> None:
    assert Fleet(seed=3).signals(AT) == Fleet(seed=3).signals(AT)
    assert Fleet(seed=3).signals(AT) != Fleet(seed=4).signals(AT)


def test_a_slow_asset_stays_slow_until_an_action_that_ends_it() -> None:
    fleet = Fleet()
    well = values(fleet, "render-aws")["latency_ms"]
    fleet.break_down("render-aws", Fault.SLOW)
    assert values(fleet, "render-aws")["latency_ms"] > 3 * well
    assert not fleet.act("render-aws", "rebalance")
    assert values(fleet, "render-aws")["latency_ms"] > 3 * well
    assert fleet.act("render-aws", "failover")
    assert values(fleet, "render-aws")["latency_ms"] < 1.5 * well


def test_a_hung_asset_says_nothing_until_it_is_restarted() -> None:
    fleet = Fleet()
    fleet.break_down("checkout-gcp", Fault.HUNG)
    assert values(fleet, "checkout-gcp") == {}
    assert not fleet.act("checkout-gcp", "failover")
    assert fleet.act("checkout-gcp", "restart")
    assert values(fleet, "checkout-gcp")


def test_every_asset_says_that_it_is_simulated() -> None:
    assert all(a.labels["simulated"] == "true" and "simulated" in a.name for a in Fleet().assets())


@pytest.fixture
def control() -> Iterator[ControlServer]:
    server = ControlServer(Fleet())
    server.start()
    yield server
    server.stop()


def post(url: str, body: bytes) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_control_endpoint_really_acts_on_the_fleet(control: ControlServer) -> None:
    control.fleet.break_down("render-aws", Fault.SLOW)
    status, answer = post(control.url.format(id="render-aws"), b'{"action": "restart"}')
    assert (status, answer["fault_ended"]) == (200, True)
    assert control.fleet.members["render-aws"].fault is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"not json"])
def test_a_bad_order_is_refused_and_changes_nothing(control: ControlServer, body: bytes) -> None:
    control.fleet.break_down("render-aws", Fault.SLOW)
    assert post(control.url.format(id="render-aws"), body)[0] == 400
    assert control.fleet.members["render-aws"].fault is Fault.SLOW


def anomaly(asset_id: str) -> Anomaly:
    return Anomaly(
        id="a", incident_id="i", state=AnomalyState.OPENED, asset_id=asset_id, metric="latency_ms", score=9,
        kind=AnomalyKind.SPIKE, severity=Severity.CRITICAL, direction=Direction.UP, value=9, expected=1, slope_per_s=0,
        confidence=1, at=AT, started_at=AT, cause_id="c", reason="r",
    )  # fmt: skip


def remediation(asset_id: str, status: RemediationStatus) -> Remediation:
    return Remediation(
        id=f"r-{status}", incident_id="i", asset_id=asset_id, strategy="failover", status=status, cause_id="a",
        reason="r", at=AT,
    )  # fmt: skip


def decision(outcome: RoutingOutcome) -> RoutingDecision:
    return RoutingDecision(
        id="d", job_id="j", revision=2, outcome=outcome, target_id="b", registry_version="0", cause_id="a", reason="r",
        at=AT,
    )  # fmt: skip


def test_the_loop_counts_as_closed_only_with_every_step() -> None:
    target = FAULTS[0].asset_id
    heard = Heard(
        anomalies=[anomaly(target)],
        remediations=[remediation(target, s) for s in (RemediationStatus.SUCCEEDED, RemediationStatus.VERIFIED)],
        decisions=[decision(RoutingOutcome.PIVOTED)],
    )
    assert summarise(heard, FAULTS).closed
    for part, missing in (("anomalies", "found"), ("remediations", "healed"), ("decisions", "pivoted")):
        broken = Heard(anomalies=heard.anomalies, remediations=heard.remediations, decisions=heard.decisions)
        setattr(broken, part, [])
        summary = summarise(broken, FAULTS)
        assert not summary.closed
        assert any(missing in m for m in summary.missing)


def test_what_happens_to_an_asset_without_a_seeded_fault_does_not_count() -> None:
    steps = [remediation("host:x", s) for s in (RemediationStatus.SUCCEEDED, RemediationStatus.VERIFIED)]
    heard = Heard(anomalies=[anomaly("host:x")], remediations=steps, decisions=[decision(RoutingOutcome.PIVOTED)])
    assert not summarise(heard, FAULTS).closed


def test_quantiles_are_of_real_values() -> None:
    assert quantile([5, 1, 3], 0.5) == 3
    assert quantile([5, 1, 3], 0.99) == 5
    assert quantile([], 0.5) != quantile([], 0.5)


def silent(metric: str) -> Anomaly:
    return anomaly("checkout-gcp").model_copy(
        update={"metric": metric, "kind": AnomalyKind.ABSENCE, "reason": f"{metric} has not reported for 13 s"}
    )


def test_what_goes_off_together_is_one_line() -> None:
    lines = Lines()
    told = list(lines.of([silent("latency_ms"), silent("error_rate")]))
    assert len(told) == 1
    assert "latency_ms, error_rate" in told[0]
    assert told[0].endswith(": has not reported for 13 s")
    assert next(lines.of([silent("latency_ms")])).endswith(": latency_ms has not reported for 13 s")


def test_what_was_held_back_for_the_same_reason_is_told_once() -> None:
    lines = Lines()
    joins = remediation("checkout-gcp", RemediationStatus.SUPPRESSED)
    assert [len(list(lines.of([joins]))) for _ in range(3)] == [1, 0, 0]
    assert len(list(lines.of([joins.model_copy(update={"reason": "another"})]))) == 1
    # Of what was done, each is told.
    assert [len(list(lines.of([remediation("checkout-gcp", RemediationStatus.EXECUTING)]))) for _ in range(2)] == [1, 1]
