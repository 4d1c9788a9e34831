"""A mode, a pause, its end and an approval count within a second, and remediations name the versions they used.

Incidents of assets never ill before come in, one each 20 ms; each record here is published among them. The last
remediation by the old state tells how late it was. Healing has one partition (ADR 3), so one of two workers heals.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from schemas.records import (
    Anomaly,
    AnomalyKind,
    AnomalyState,
    Asset,
    AutonomyMode,
    Capability,
    Direction,
    DiscoveryEvent,
    ModeRule,
    Op,
    Remediation,
    RemediationStatus,
    Severity,
)
from streams.kit import ids
from topology.client import governance
from topology.client.publisher import Publisher

from .watching import Watch

PARTITIONS = 1
ROUNDS = 3
WATCHED_S = 1.3
INCIDENT_EVERY_S = 0.02
WITHIN_S = 1.0
ASSETS = 1_400
APPROVED = 8
SOURCE, SCOPE = "test", "test/pool"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def register(publisher: Publisher) -> None:
    """A pool in which each may stand in for each other."""
    said = {"source": SOURCE, "scope": SCOPE, "snapshot_id": "s1", "at": now_ms()}
    publisher.publish("discovery-events", DiscoveryEvent(op=Op.SNAPSHOT_BEGIN, **said), SCOPE)
    for number in range(ASSETS):
        offered = (Capability(name="render", latency_ms=100.0, reliability=0.99),)
        asset = Asset(id=f"svc-{number}", kind="microservice", tenant="acme", capabilities=offered)
        publisher.publish("discovery-events", DiscoveryEvent(op=Op.UPSERT, asset_id=asset.id, asset=asset, **said))
    publisher.publish("discovery-events", DiscoveryEvent(op=Op.SNAPSHOT_COMPLETE, **said), SCOPE)
    publisher.flush()


def incident(asset_id: str) -> Anomaly:
    at = now_ms()
    return Anomaly(
        id=ids.derive("anomaly", asset_id, "opened", at),
        incident_id=f"incident-{asset_id}",
        state=AnomalyState.OPENED,
        asset_id=asset_id,
        metric="latency_ms",
        kind=AnomalyKind.SPIKE,
        severity=Severity.CRITICAL,
        score=12.5,
        direction=Direction.UP,
        value=420.0,
        expected=110.0,
        slope_per_s=0.0,
        confidence=0.95,
        at=at,
        started_at=at,
        cause_id="signal-1",
        reason="420 ms against 110",
    )


@dataclass
class Incidents:
    publisher: Publisher
    count: int = 0

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.count < ASSETS, "more incidents than assets"
            self.publisher.publish("anomalies", incident(f"svc-{self.count}"))
            self.publisher.flush()
            self.count += 1
            time.sleep(INCIDENT_EVERY_S)


def used(record: Remediation) -> dict[str, str]:
    return {verdict.id: verdict.version for verdict in record.policies}


def lags(watch: Watch, began_s: float, is_new: Callable[[Remediation], bool]) -> tuple[float, float]:
    """(seconds until the last remediation by the old state, until the first by the new one)."""
    asked = (RemediationStatus.AWAITING_APPROVAL, RemediationStatus.SUPPRESSED)
    after = [(at - began_s, is_new(r)) for at, _, r in watch.seen if at > began_s and r.status in asked]
    old = max((at for at, new in after if not new), default=0.0)
    return old, min((at for at, new in after if new), default=99.0)


def approved_lags(watch: Watch, publisher: Publisher) -> tuple[float, float]:
    """Some actions that wait are approved: (0, seconds until the last of them goes on)."""
    newest = {record.action_id: record.status for _, _, record in watch.seen}
    waiting = [action_id for action_id, status in newest.items() if status is RemediationStatus.AWAITING_APPROVAL]
    chosen = set(waiting[-APPROVED:])
    assert len(chosen) == APPROVED
    began_s = time.monotonic()
    for action_id in sorted(chosen):
        record = governance.approval(action_id, "ada", approved=True, expires_at=None, reason="", at=now_ms())
        publisher.publish("policies", record)
    publisher.flush()
    time.sleep(WATCHED_S)
    first: dict[str, float] = {}
    for at, _, record in watch.seen:
        if record.action_id in chosen and record.status is RemediationStatus.EXECUTING:
            assert "approved by ada" in " ".join(v.reason for v in record.policies)
            first.setdefault(record.action_id, at - began_s)
    return 0.0, max(first.get(action_id, 99.0) for action_id in chosen)


@pytest.mark.timeout(240)
def test_modes_pauses_and_approvals_count_in_every_worker_within_a_second(live: Any, record_property: Any) -> None:
    live.fields["healing"] = {"storm_share": 1.0, "acting_share": 1.0}
    for name in ("one", "two"):  # one after the other: the first compiles the kernels for both
        live.start(name)
        live.ready(name)
    live.wait(lambda: live.owners("healing") == [0, 1], "one of the workers heals, the other stands by")
    publisher = Publisher(live.broker)
    register(publisher)
    live.wait(lambda: len(live.values("assets")) >= ASSETS, "the pool is registered")
    rule = ModeRule(mode=AutonomyMode.APPROVE)
    publisher.publish("policies", governance.mode(rule, author="ada", reason="", at=now_ms()))
    publisher.flush()
    time.sleep(1.0)
    incidents, found = Incidents(publisher), []
    with Watch(live.broker, "remediations", Remediation, PARTITIONS) as watch:
        incidents.run(WATCHED_S)
        for _ in range(ROUNDS):
            mode = governance.mode(rule, author="ada", reason="", at=now_ms())
            pause = governance.pause("ada", "*", lifted=False, until=None, reason="", at=now_ms())
            lifted = governance.pause("ada", "*", lifted=True, until=None, reason="", at=now_ms() + 1)
            for what, record, is_new in (
                ("mode", mode, lambda r, m=mode: used(r).get(m.id) == m.version),
                ("pause", pause, lambda r, p=pause: used(r).get(p.id) == p.version),
                ("lifted", lifted, lambda r, p=pause: p.id not in used(r)),
            ):
                began_s = time.monotonic()
                publisher.publish("policies", record)
                publisher.flush()
                incidents.run(WATCHED_S)
                found.append((what, *lags(watch, began_s, is_new)))
            found.append(("approval", *approved_lags(watch, publisher)))
    record_property("lags_s", found)
    print("\n".join(f"{what}: old until {old:.3f} s, all new from {new:.3f} s" for what, old, new in found))
    assert all(old < WITHIN_S and new < WITHIN_S for _, old, new in found), found
    assert live.stop() == [0, 0], live.logs()
