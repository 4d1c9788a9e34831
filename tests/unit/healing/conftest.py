"""A bench for the healing layer: events in, statuses out, with the partition driver that live and replay use."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from schemas.records import (
    ActionOutcome,
    Anomaly,
    AnomalyKind,
    AnomalyState,
    Approval,
    AutonomyMode,
    Capability,
    Direction,
    Endpoint,
    ModeRule,
    Pause,
    Performance,
    PolicyRecord,
    PolicyVerdict,
    RegisteredAsset,
    Remediation,
    Severity,
)
from streams.healing.engine import HealingLayer
from streams.healing.ports import ResponseStrategy
from streams.healing.settings import HealingSettings
from streams.kit import ids
from streams.kit.layer import Emission, Event
from streams.kit.partition import Partition
from streams.policy.port import Answer, Outcome, PolicyHook, Question

T0 = 1_700_000_000_000
S = 1_000


class AllowAll:
    id, version = "allow-all", "1"

    def decide(self, question: Question) -> Answer:
        verdict = PolicyVerdict(id=self.id, version=self.version, allowed=True, reason="allowed in tests")
        return Answer(Outcome.ALLOW, (verdict,))


class Deny:
    """Denies what `matches` says (default: everything); keeps the questions."""

    id, version = "deny", "7"

    def __init__(self, matches: Callable[[Question], bool] = lambda q: True) -> None:
        self.matches, self.asked = matches, list[Question]()

    def decide(self, question: Question) -> Answer:
        self.asked.append(question)
        denied = self.matches(question)
        reason = "change freeze" if denied else "fine"
        verdict = PolicyVerdict(id=self.id, version=self.version, allowed=not denied, reason=reason)
        return Answer(Outcome.DENY if denied else Outcome.ALLOW, (verdict,))


class Oblige:
    id, version = "oblige", "2"

    def __init__(self, *obligations: str) -> None:
        self.obligations = obligations

    def decide(self, question: Question) -> Answer:
        verdict = PolicyVerdict(id=self.id, version=self.version, allowed=True, reason="allowed with duties")
        return Answer(Outcome.ALLOW, (verdict,), self.obligations)


def asset(asset_id: str, **fields: object) -> RegisteredAsset:
    return RegisteredAsset.model_validate({"id": asset_id, "kind": "microservice", "tenant": "acme", **fields})


def control() -> tuple[Endpoint, ...]:
    return (Endpoint(type="control", url="http://127.0.0.1:1/control"),)


class Bench:
    """Drives one healing partition. Times are seconds after T0; each call returns the remediations that it caused."""

    asset = staticmethod(asset)
    control = staticmethod(control)
    AllowAll, Deny, Oblige = AllowAll, Deny, Oblige
    T0, S = T0, S

    def __init__(
        self,
        settings: HealingSettings | None = None,
        policy: PolicyHook | None = None,
        strategies: tuple[ResponseStrategy, ...] | None = None,
    ) -> None:
        self.settings = settings or HealingSettings()
        self.layer = HealingLayer(self.settings, policy or AllowAll(), strategies)
        self.partition = Partition(self.layer, self.layer.new_view())
        self.told: list[Remediation] = []
        self.spending: list[Emission] = []
        self.now_s = 0.0

    def _event(self, topic: str, key: str, value: object, at_s: float, cause: str) -> Event:
        return Event(topic, key, value, T0 + round(at_s * S), cause)  # type: ignore[arg-type]

    def _take(self, emissions: list[Emission]) -> list[Remediation]:
        records = [e.value for e in emissions if isinstance(e.value, Remediation)]
        self.spending += [e for e in emissions if e.topic == "spending"]
        assert len(records) == sum(e.topic != "spending" for e in emissions)
        self.told += records
        return records

    def view(self, topic: str, key: str, value: object, at_s: float | None = None) -> list[Remediation]:
        event = self._event(
            topic,
            key,
            value,
            self.now_s if at_s is None else at_s,
            f"{topic}-{key}-{self.now_s if at_s is None else at_s}",
        )
        before = self.advance(at_s) if at_s is not None else []
        self.layer.see(self.partition.view, event)
        return before + self._take(self.partition.on_view(event))

    def register(self, *assets: RegisteredAsset) -> None:
        for a in assets:
            self.view("assets", a.id, a)

    def performance(self, asset_id: str, **figures: float) -> None:
        record = Performance(asset_id=asset_id, at=T0, window_s=300, samples=30, **figures)  # type: ignore[arg-type]
        self.view("performance", asset_id, record)

    def anomaly(self, asset_id: str = "svc-alpha", at_s: float = 0.0, **fields: object) -> list[Remediation]:
        base: dict[str, object] = {
            "incident_id": f"inc-{asset_id}", "state": AnomalyState.OPENED, "asset_id": asset_id,
            "metric": "latency_ms", "kind": AnomalyKind.SPIKE, "severity": Severity.CRITICAL, "score": 12.5,
            "direction": Direction.UP, "value": 420.0, "expected": 110.0, "slope_per_s": 0.0, "confidence": 0.95,
            "at": T0 + round(at_s * S), "started_at": T0 + round(at_s * S), "cause_id": "signal-1",
            "reason": "420 ms against 110",
        } | fields  # fmt: skip
        base.setdefault("id", ids.derive("anomaly", str(base["incident_id"]), str(base["state"]), int(str(base["at"]))))
        record = Anomaly.model_validate(base)
        self.now_s = max(self.now_s, at_s)
        event = self._event("anomalies", asset_id, record, at_s, record.id)
        return self._take(self.partition.on_event(event))

    def close(self, asset_id: str = "svc-alpha", at_s: float = 0.0, **fields: object) -> list[Remediation]:
        return self.anomaly(asset_id, at_s, state=AnomalyState.CLOSED, severity=Severity.LOW, **fields)

    def outcome(
        self, order: Remediation, at_s: float, *, succeeded: bool = True, detail: str = "done"
    ) -> list[Remediation]:
        record = ActionOutcome(
            id=ids.derive("outcome", order.action_id), action_id=order.action_id, incident_id=order.incident_id,
            asset_id=order.asset_id, strategy=order.strategy, succeeded=succeeded, fencing_epoch=order.fencing_epoch,
            detail=detail, cause_id=order.id, at=T0 + round(at_s * S),
        )  # fmt: skip
        self.now_s = max(self.now_s, at_s)
        return self._take(
            self.partition.on_event(self._event("action-outcomes", order.asset_id, record, at_s, record.id))
        )

    def advance(self, to_s: float) -> list[Remediation]:
        self.now_s = max(self.now_s, to_s)
        return self._take(self.partition.advance(T0 + round(to_s * S)))

    def policy(self, record_id: str, at_s: float, **body: object) -> list[Remediation]:
        record = PolicyRecord.model_validate(
            {"id": record_id, "kind": next(iter(body)), "version": "1", "at": T0 + round(at_s * S), **body}
        )
        return self.view("policies", record_id, record, at_s)

    def pause(self, holder: str, at_s: float, scope: str = "*", **fields: object) -> list[Remediation]:
        pause = Pause.model_validate({"scope": scope, "holder": holder, **fields})
        return self.policy(f"pause-{holder}", at_s, pause=pause)

    def approve(
        self, action_id: str, at_s: float, *, approved: bool = True, expires_s: float | None = None
    ) -> list[Remediation]:
        expires = None if expires_s is None else T0 + round(expires_s * S)
        body = Approval(action_id=action_id, approved=approved, by="ada", expires_at=expires)
        return self.policy(f"approval-{action_id}", at_s, approval=body)

    def mode(self, mode: AutonomyMode, at_s: float = 0.0, **scope: str) -> None:
        rule = ModeRule.model_validate({"mode": mode, **scope})
        self.policy(f"mode-{sorted(scope.items())}", at_s, mode=rule)

    def restart_worker(self) -> None:
        """As after kill -9: only the bytes of the table survive, and the views are read again."""
        saved = {key: self.layer.encode_row(row) for key, row in self.partition.rows.items()}
        rows = {key: self.layer.decode_row(data) for key, data in saved.items()}
        self.partition = Partition(self.layer, self.partition.view, rows, self.partition.clock)

    def golden(self) -> Bench:
        """The two assets of the seed's golden run."""
        cap = "maestro-routing"
        self.register(
            asset("svc-alpha", cloud="aws", region="us-east-1", compliance=("soc2", "hipaa"), data_regions=("us",),
                  capabilities=(Capability(name=cap, latency_ms=120, reliability=0.999),)),
            asset("svc-beta", cloud="gcp", region="us-central1", compliance=("soc2",),
                  capabilities=(Capability(name=cap, latency_ms=160, reliability=0.992),)),
        )  # fmt: skip
        return self

    @staticmethod
    def statuses(records: list[Remediation]) -> list[str]:
        return [f"{r.strategy}:{r.status.value}" for r in records]


@pytest.fixture
def make_bench() -> type[Bench]:
    return Bench


@pytest.fixture
def bench() -> Bench:
    return Bench().golden()
