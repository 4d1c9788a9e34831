"""A routing layer on one partition, driven by short words: what the registry, telemetry and users say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from schemas.records import (
    Anomaly,
    AnomalyKind,
    AnomalyState,
    Candidate,
    Capability,
    Constraints,
    Direction,
    JobOutcome,
    JobRequest,
    JobResult,
    Performance,
    PolicyRecord,
    Record,
    RegisteredAsset,
    Remediation,
    RemediationStatus,
    RoutingDecision,
    Severity,
)
from streams.kit.layer import Emission, Event
from streams.kit.machine import Machine
from streams.kit.partition import machine_of
from streams.policy.port import PolicyHook
from streams.routing.engine import RoutingLayer
from streams.routing.fleet import Fleet
from streams.routing.settings import RoutingSettings
from streams.routing.state import JobRow, Row, job_key


@dataclass
class Rig:
    settings: RoutingSettings = field(default_factory=RoutingSettings)
    policy: PolicyHook | None = None

    def __post_init__(self) -> None:
        self.layer = RoutingLayer(self.settings, self.policy)
        self.view: Fleet = self.layer.new_view()
        self.partition: Machine[Row, Fleet] = machine_of(self.layer, self.view)
        self.at = 1_000_000
        self.decided: list[RoutingDecision] = []
        self.spending: list[Emission] = []

    # --- what the world says -------------------------------------------------------------------------------------

    def asset(self, asset_id: str, **fields: Any) -> list[RoutingDecision]:
        """Capability "run" at 100 ms, reliability 0.99, 10 USD/h, in a zone of its own, unless said otherwise."""
        figures = {"latency_ms": 100.0, "reliability": 0.99}
        figures |= {name: fields.pop(name) for name in ("latency_ms", "reliability") if name in fields}
        names = fields.pop("capabilities", ("run",))
        fields.setdefault("cost_usd_per_hour", 10.0)
        fields.setdefault("zone", f"zone-{asset_id}")
        fields.setdefault("version_hash", f"{sorted(fields.items())}{figures}{names}"[:500])
        record = RegisteredAsset(
            id=asset_id, capabilities=tuple(Capability(name=n, **figures) for n in names), **fields
        )
        return self.seen("assets", asset_id, record)

    def gone(self, asset_id: str) -> list[RoutingDecision]:
        return self.seen("assets", asset_id, None)

    def performance(self, asset_id: str, **fields: Any) -> list[RoutingDecision]:
        fields.setdefault("at", self.at)
        record = Performance(asset_id=asset_id, window_s=300, samples=30, **fields)
        return self.seen("performance", asset_id, record)

    def incident(
        self, asset_id: str, severity: str = "critical", state: str = "opened", incident_id: str | None = None
    ) -> list[RoutingDecision]:
        name = incident_id or f"incident-of-{asset_id}"
        record = Anomaly(
            id=f"{name}-{state}-{severity}",
            incident_id=name,
            state=AnomalyState(state),
            asset_id=asset_id,
            metric="latency_ms",
            kind=AnomalyKind.SPIKE,
            severity=Severity(severity),
            score=9,
            direction=Direction.UP,
            value=420,
            expected=110,
            slope_per_s=0,
            confidence=1,
            at=self.at,
            started_at=self.at,
            cause_id="signal",
            reason="420 ms after 110 ms",
        )
        return self.seen("anomalies", asset_id, record)

    def remediation(self, asset_id: str, status: str, strategy: str = "failover") -> list[RoutingDecision]:
        record = Remediation(
            id=f"remediation-{strategy}-{status}-{asset_id}",
            incident_id=f"incident-of-{asset_id}",
            asset_id=asset_id,
            strategy=strategy,
            status=RemediationStatus(status),
            cause_id="incident",
            reason="because",
            at=self.at,
        )
        return self.seen("remediations", asset_id, record)

    def policy_record(self, record: PolicyRecord) -> list[RoutingDecision]:
        return self.seen("policies", record.id, record)

    def seen(self, topic: str, key: str, value: Record | None) -> list[RoutingDecision]:
        event = Event(topic, key, value, self.at, f"{topic}:{key}:{self.at}")
        self.layer.see(self.view, event)
        return self._took(self.partition.on_view(event))

    # --- what users say ------------------------------------------------------------------------------------------

    def request(self, job_id: str = "job", **fields: Any) -> JobRequest:
        limits = {name: fields.pop(name) for name in list(fields) if name in Constraints.model_fields}
        fields.setdefault("required_capabilities", ("run",))
        fields.setdefault("at", self.at)
        return JobRequest(id=job_id, constraints=Constraints(**limits), **fields)

    def submit(self, job: JobRequest) -> list[RoutingDecision]:
        return self._took(self.partition.on_event(Event("job-requests", job.id, job, self.at, job.id)))

    def route(self, job_id: str = "job", **fields: Any) -> RoutingDecision:
        decisions = self.submit(self.request(job_id, **fields))
        assert len(decisions) == 1, decisions
        return decisions[0]

    def outcome(
        self, target_id: str, outcome: str, job_id: str = "job", error: str | None = None
    ) -> list[RoutingDecision]:
        result = JobOutcome(job_id=job_id, target_id=target_id, outcome=JobResult(outcome), error=error, at=self.at)
        return self._took(self.partition.on_event(Event("job-outcomes", job_id, result, self.at, f"outcome:{self.at}")))

    # --- time and state ------------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> list[RoutingDecision]:
        self.at += round(seconds * 1000)
        return self._took(self.partition.advance(self.at))

    def row(self, job_id: str = "job") -> JobRow | None:
        row = self.partition.rows.get(job_key(job_id))
        assert row is None or isinstance(row, JobRow)
        return row

    def _took(self, emissions: list[Emission]) -> list[RoutingDecision]:
        self.spending += [e for e in emissions if e.topic == "spending"]
        decisions = [e.value for e in emissions if e.topic != "spending"]
        assert all(isinstance(d, RoutingDecision) for d in decisions)
        self.decided += decisions  # type: ignore[arg-type]
        return decisions  # type: ignore[return-value]


@pytest.fixture
def make_rig() -> Callable[..., Rig]:
    """`make_rig(policy=hook, retry_s=5)`: a rig with these settings."""

    def make(policy: PolicyHook | None = None, **settings: Any) -> Rig:
        return Rig(RoutingSettings(**settings), policy)

    return make


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def candidate() -> Callable[[RoutingDecision, str], Candidate]:
    def of(decision: RoutingDecision, asset_id: str) -> Candidate:
        return next(c for c in decision.candidates if c.asset_id == asset_id)

    return of
