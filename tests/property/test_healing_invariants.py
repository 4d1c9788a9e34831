"""Random histories of incidents, outcomes, pauses and crashes: what healing promises holds in all of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.records import (
    ActionOutcome,
    Anomaly,
    AnomalyKind,
    AnomalyState,
    Direction,
    Endpoint,
    Pause,
    PolicyRecord,
    PolicyVerdict,
    RegisteredAsset,
    Remediation,
    RemediationStatus,
    Severity,
)
from streams.healing.engine import HealingLayer
from streams.healing.settings import HealingSettings
from streams.healing.state import AT_WORK, IncidentRow
from streams.kit.ids import derive
from streams.kit.layer import Emission, Event
from streams.kit.partition import Partition
from streams.policy.port import Answer, Outcome, Question

T0 = 1_700_000_000_000
POOLS = {"web": 12, "db": 3}
ASSETS = [f"{pool}-{i}" for pool, size in POOLS.items() for i in range(size)]
SETTINGS = HealingSettings(storm_share=0.4, retention_s=7200)
CAP = {pool: max(1, int(size * SETTINGS.acting_share)) for pool, size in POOLS.items()}


ENDS = tuple(RemediationStatus(s) for s in ("verified", "escalated", "rolled_back", "failed", "suppressed"))


class FreezesRestarts:
    id, version = "freeze", "1"

    def decide(self, question: Question) -> Answer:
        allowed = not (question.action == "restart" and question.asset_id.endswith("1"))
        verdict = PolicyVerdict(id=self.id, version=self.version, allowed=allowed, reason="no restart of number one")
        return Answer(Outcome.ALLOW if allowed else Outcome.DENY, (verdict,))


moves = st.one_of(
    st.tuples(
        st.just("open"),
        st.sampled_from(ASSETS),
        st.sampled_from(["latency_ms", "saturation", "disk"]),
        st.sampled_from([AnomalyKind.SPIKE, AnomalyKind.ABSENCE]),
        st.sampled_from([Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL]),
    ),
    st.tuples(st.just("close"), st.integers(0, 30)),
    st.tuples(st.just("outcome"), st.integers(0, 5), st.booleans()),
    st.tuples(st.just("repeat"), st.integers(0, 30)),
    st.tuples(st.just("pause"), st.sampled_from(["*", "asset:web-1"]), st.booleans()),
    st.tuples(st.just("crash")),
    st.tuples(st.just("wait"), st.sampled_from([5, 31, 61, 301, 700])),
)


@dataclass
class Run:
    """Plays moves and checks each emission as it comes."""

    now: int = T0
    emissions: list[Emission] = field(default_factory=list)
    orders: list[Remediation] = field(default_factory=list)
    opened: list[Anomaly] = field(default_factory=list)
    running: dict[str, Remediation] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.layer = HealingLayer(SETTINGS, FreezesRestarts())
        self.partition = Partition(self.layer, self.layer.new_view())
        for i, asset_id in enumerate(ASSETS):
            record = RegisteredAsset(
                id=asset_id, tenant="t", labels={"pool": asset_id[:-1].split("-")[0]},
                fallback_ids=(ASSETS[(i + 1) % len(ASSETS)],),
                endpoints=(Endpoint(type="control", url="http://c"),) if i % 2 else (),
            )  # fmt: skip
            self.layer.see(self.partition.view, Event("assets", asset_id, record, T0, f"asset-{i}"))

    def take(self, emissions: list[Emission]) -> None:
        for emission in emissions:
            record = emission.value
            assert isinstance(record, Remediation)
            assert record.reason
            assert record.cause_id
            self._follow(record)
        self.emissions += emissions

    def _follow(self, record: Remediation) -> None:
        if record.status is RemediationStatus.EXECUTING:
            assert record.asset_id not in self.running, "two actions under way on one asset"
            self.running[record.asset_id] = record
            self.orders.append(record)
            scopes = {"*", f"asset:{record.asset_id}"}
            assert not scopes & self.paused, "an effect was ordered in spite of a pause"
            self._check_cap()
        elif record.status in ENDS:
            self._ended(record)

    def _ended(self, record: Remediation) -> None:
        running = self.running.get(record.asset_id)
        if running is not None and running.action_id == record.action_id and record.incident_id == running.incident_id:
            del self.running[record.asset_id]

    def _check_cap(self) -> None:
        acting: dict[str, set[str]] = defaultdict(set)
        for asset_id, order in self.running.items():
            if order.strategy != "page" and order.actions[0].type != "failback":
                acting[asset_id.split("-")[0]].add(asset_id)
        for pool, assets in acting.items():
            assert len(assets) <= CAP[pool], f"{len(assets)} acted on in {pool}"

    def play(self, move: tuple) -> None:
        self.now += 1000
        getattr(self, f"_{move[0]}")(*move[1:])

    def _event(self, topic: str, key: str, value: object, cause: str) -> Event:
        return Event(topic, key, value, self.now, cause)  # type: ignore[arg-type]

    def _open(self, asset_id: str, metric: str, kind: AnomalyKind, severity: Severity) -> None:
        incident = derive("incident", asset_id, metric, self.now)
        record = Anomaly(
            id=derive("anomaly", incident), incident_id=incident, state=AnomalyState.OPENED, asset_id=asset_id,
            metric=metric, kind=kind, severity=severity, score=5, direction=Direction.UP, value=None, expected=None,
            slope_per_s=0, confidence=1, at=self.now, started_at=self.now, cause_id="s", reason="r",
        )  # fmt: skip
        self.opened.append(record)
        self.take(self.partition.on_event(self._event("anomalies", asset_id, record, record.id)))

    def _close(self, index: int) -> None:
        if self.opened:
            opened = self.opened.pop(index % len(self.opened))
            ident = derive("anomaly", opened.id, "closed")
            record = opened.model_copy(update={"id": ident, "state": AnomalyState.CLOSED, "at": self.now})
            self.take(self.partition.on_event(self._event("anomalies", record.asset_id, record, ident)))

    def _repeat(self, index: int) -> None:
        if self.opened:
            again = self.opened[index % len(self.opened)]
            self.take(self.partition.advance(self.now))
            known = any(isinstance(r, IncidentRow) and r.id == again.incident_id for r in self.partition.rows.values())
            before = len(self.orders)
            self.take(self.partition.on_event(self._event("anomalies", again.asset_id, again, again.id)))
            assert len(self.orders) == before or not known

    def _outcome(self, index: int, succeeded: bool) -> None:
        if not self.orders:
            return
        order = self.orders[-1 - index % len(self.orders)]
        record = ActionOutcome(
            id=derive("outcome", order.action_id), action_id=order.action_id, incident_id=order.incident_id,
            asset_id=order.asset_id, strategy=order.strategy, succeeded=succeeded, fencing_epoch=order.fencing_epoch,
            detail="x", cause_id=order.id, at=self.now,
        )  # fmt: skip
        self.take(self.partition.on_event(self._event("action-outcomes", order.asset_id, record, record.id)))

    def _pause(self, scope: str, lifted: bool) -> None:
        self.take(self.partition.advance(self.now))
        body = Pause(scope=scope, holder="ada", lifted=lifted)
        record = PolicyRecord(id=f"pause-{scope}", kind="pause", version="1", pause=body, at=self.now)
        event = self._event("policies", record.id, record, f"{record.id}-{self.now}")
        (self.paused.discard if lifted else self.paused.add)(scope)
        self.layer.see(self.partition.view, event)
        self.take(self.partition.on_view(event))

    def _crash(self) -> None:
        rows = {k: self.layer.decode_row(self.layer.encode_row(r)) for k, r in self.partition.rows.items()}
        self.partition = Partition(self.layer, self.partition.view, rows, self.partition.clock)

    def _wait(self, seconds: int) -> None:
        self.now += seconds * 1000
        self.take(self.partition.advance(self.now))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(moves, min_size=1, max_size=60))
def test_promises_hold_in_every_history(history):
    run = Run()
    for move in history:
        run.play(move)
    for scope in sorted(run.paused):
        run.play(("pause", scope, True))
    run.now += 3_600_000
    run.take(run.partition.advance(run.now))
    at_work = [r for r in run.partition.rows.values() if isinstance(r, IncidentRow) and r.state in AT_WORK]
    assert at_work == [], "an incident never reaches an end"
    ids = [e.value.id for e in run.emissions if isinstance(e.value, Remediation)]
    assert len(set(ids)) == len(ids), "two records with one id"
    epochs: dict[str, int] = defaultdict(int)
    for order in run.orders:
        assert order.fencing_epoch > epochs[order.asset_id]
        epochs[order.asset_id] = order.fencing_epoch
    assert len({o.action_id for o in run.orders}) == len(run.orders), "one action was ordered twice"


@settings(max_examples=40, deadline=None)
@given(st.lists(moves, min_size=1, max_size=40))
def test_a_replay_is_identical_and_a_crash_changes_nothing(history):
    first, second = Run(), Run()
    for move in history:
        first.play(move)
        second.play(move)
        second._crash()
    assert first.emissions == second.emissions
    assert dict(first.partition.rows) == dict(second.partition.rows)


@settings(max_examples=40, deadline=None)
@given(st.lists(moves, min_size=1, max_size=40))
def test_after_a_day_memory_is_given_back(history):
    """Rows left are bounded by assets, pools and strategies, never by the number of incidents."""
    run = Run()
    for move in history:
        run.play(move)
    for scope in sorted(run.paused):
        run.play(("pause", scope, True))
    run._wait(4 * 86_400)
    kinds = [row.row for row in run.partition.rows.values()]
    assert "incident" not in kinds
    assert "cooldown" not in kinds
    assert "action" not in kinds
