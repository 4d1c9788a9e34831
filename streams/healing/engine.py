"""The healing engine: `SelfHealingOrchestrator` decides, `HealingLayer` is its place in the topology.

An incident:

                  +---------------------------------------------------------------+
                  v                                                               | guard ends, pause lifted
    open --> diagnosing --> acting --> verifying --healthy for 30 s--> resolved   |
                  |  ^         |           |                               ^      |
                  |  +--retry--+           | not healthy in 60 s:          | incident closes
                  |  +---------------------+ the next strategy             |      |
                  |                                                        |      |
                  +--nothing left: a person is paged--> escalated ---------+      |
                  +--guard, mode, joined, symptom-----> suppressed ---------------+

`diagnosing` takes no time, unless an approval or a retry is waited for. All timers are the rows' own `due_at`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.records import ActionOutcome, Anomaly, Performance, PolicyRecord
from streams.healing import failback, intake, state, timers, verification
from streams.healing.desk import Desk
from streams.healing.draft import INOCULATING_KEY, PAUSED_KEY, Draft
from streams.healing.inoculation import experiment, score
from streams.healing.inoculation.rows import InoculationRow
from streams.healing.inoculation.watch import watch
from streams.healing.planning import diagnose, settle_approval
from streams.healing.ports import ResponseStrategy
from streams.healing.settings import HealingSettings
from streams.healing.state import AssetRow, HealingRow, IncidentRow, IncidentState, PoolRow
from streams.healing.strategies import page_strategy, shipped
from streams.kit.layer import Event, Step
from streams.kit.world import World
from streams.policy.port import PolicyHook

__all__ = ["HealingLayer", "SelfHealingOrchestrator"]


class SelfHealingOrchestrator:
    """Decides what to do about incidents. Stateless: rows, world and time come in, rows and remediations go out."""

    def __init__(
        self,
        settings: HealingSettings,
        policy: PolicyHook,
        strategies: Sequence[ResponseStrategy] | None = None,
        page: ResponseStrategy | None = None,
    ) -> None:
        self.settings = settings
        self._policy = policy
        self._strategies = tuple(strategies) if strategies is not None else shipped(settings)
        self._page = page if page is not None else page_strategy()

    @property
    def strategy_ids(self) -> tuple[str, ...]:
        """Those that may be chosen, in order of registration; paging is apart."""
        return tuple(strategy.id for strategy in self._strategies)

    def _desk(self, rows: Mapping[str, HealingRow], world: World, now: int, cause_id: str) -> Desk:
        draft = Draft(rows, now, cause_id)
        return Desk(self.settings, self._policy, self._strategies, self._page, world, draft)

    def on_anomaly(self, rows: Mapping[str, HealingRow], world: World, anomaly: Anomaly, now: int) -> Step[HealingRow]:
        desk = self._desk(rows, world, now, anomaly.id)
        intake.on_anomaly(desk, anomaly)
        return _finish(desk)

    def on_outcome(
        self, rows: Mapping[str, HealingRow], world: World, outcome: ActionOutcome, now: int
    ) -> Step[HealingRow]:
        desk = self._desk(rows, world, now, outcome.id)
        row = desk.draft.incident(outcome.incident_id)
        if row is not None:
            verification.on_outcome(desk, row, outcome)
        failback.on_outcome(desk, desk.draft.asset(outcome.asset_id), outcome)
        experiment.on_outcome(desk, outcome)
        return _finish(desk)

    def on_policy(
        self, rows: Mapping[str, HealingRow], world: World, record: PolicyRecord, now: int, cause_id: str
    ) -> Step[HealingRow]:
        """Approvals and pauses let waiting incidents go on; other policy records count from the next decision on.

        `cause_id` names this version of the record; its own id names what it is about.
        """
        desk = self._desk(rows, world, now, cause_id)
        if record.approval is not None:
            expires = record.approval.expires_at
            if expires is None or expires > now:
                _on_approval(desk, record.approval.action_id, record.approval.approved, record.approval.by)
                experiment.on_approval(desk, record.approval.action_id)
        if record.pause is not None:
            _on_pause(desk)
        return _finish(desk)

    def on_figures(
        self, rows: Mapping[str, HealingRow], world: World, figures: Performance, now: int, cause_id: str
    ) -> Step[HealingRow]:
        """Of no account unless faults are put on assets on purpose (`inoculation`)."""
        if not self.settings.inoculation.pools and INOCULATING_KEY not in rows:
            return Step()
        desk = self._desk(rows, world, now, cause_id)
        experiment.arm(desk, figures.asset_id)
        watch(desk, figures)
        return desk.draft.step()

    def on_pause_removed(
        self, rows: Mapping[str, HealingRow], world: World, now: int, cause_id: str
    ) -> Step[HealingRow]:
        """A policy record was withdrawn: it may have been a pause."""
        desk = self._desk(rows, world, now, cause_id)
        _on_pause(desk)
        return _finish(desk)

    def on_asset_removed(
        self, rows: Mapping[str, HealingRow], world: World, asset_id: str, now: int, cause_id: str
    ) -> Step[HealingRow]:
        desk = self._desk(rows, world, now, cause_id)
        intake.on_asset_removed(desk, asset_id)
        return _finish(desk)

    def on_timer(self, rows: Mapping[str, HealingRow], world: World, key: str, now: int) -> Step[HealingRow]:
        row = rows.get(key)
        desk = self._desk(rows, world, now, _cause_of(row))
        match row:
            case IncidentRow():
                timers.on_due(desk, row)
            case AssetRow():
                failback.on_due(desk, row)
            case InoculationRow():
                experiment.on_due(desk, row)
            case PoolRow():
                desk.draft.put_pool(row.model_copy(update={"storm_until": None}))
            case _:
                desk.draft.drop(key)
        return _finish(desk)


def _cause_of(row: HealingRow | None) -> str:
    """A timer's cause is the step that set it."""
    if isinstance(row, IncidentRow):
        return row.last_record_id or row.anomaly.id
    if isinstance(row, InoculationRow):
        return row.last_record_id or "timer"
    return row.drain.record_id if isinstance(row, AssetRow) and row.drain is not None else "timer"


def _finish(desk: Desk) -> Step[HealingRow]:
    """Incidents that this step set free are diagnosed last, one after the other: the first may take the lease."""
    for incident_id in desk.draft.to_diagnose:
        row = desk.draft.incident(incident_id)
        if row is not None and row.is_open and row.state is IncidentState.SUPPRESSED:
            diagnose(desk, row)
    watch(desk)
    return desk.draft.step()


def _on_approval(desk: Desk, action_id: str, approved: bool, by: str) -> None:
    waiting = desk.draft.action(action_id)
    if waiting is None:
        return
    if waiting.is_failback:
        failback.on_approval(desk, desk.draft.asset(waiting.asset_id), action_id, approved, by)
        return
    row = desk.draft.incident(waiting.incident_id)
    if row is not None and row.held_by == "approval" and row.action_id == action_id:
        settle_approval(desk, row, approved, by)


def _on_pause(desk: Desk) -> None:
    """Every incident that a pause holds is looked at again; one that is still held stays, without a new record."""
    waiting = desk.draft.paused().incident_ids
    if waiting:
        desk.draft.drop(PAUSED_KEY)
    for incident_id in waiting:
        row = desk.draft.incident(incident_id)
        if row is not None and row.is_open and row.held_by == "pause":
            diagnose(desk, row)


class HealingLayer:
    """`streams.kit.layer.Layer` over `SelfHealingOrchestrator`."""

    name: str = "healing"
    inputs: tuple[str, ...] = ("anomalies", "action-outcomes")
    views: tuple[str, ...] = ("assets", "performance", "policies", "spending")

    def __init__(
        self,
        settings: HealingSettings,
        policy: PolicyHook,
        strategies: Sequence[ResponseStrategy] | None = None,
    ) -> None:
        self.orchestrator = SelfHealingOrchestrator(settings, policy, strategies)

    def new_view(self) -> World:
        return World()

    def see(self, view: World, event: Event) -> None:
        view.see(event)

    def step(self, rows: Mapping[str, HealingRow], view: World, event: Event, now: int) -> Step[HealingRow]:
        match event.value:
            case Anomaly() as anomaly:
                return self.orchestrator.on_anomaly(rows, view, anomaly, now)
            case ActionOutcome() as outcome:
                return self.orchestrator.on_outcome(rows, view, outcome, now)
            case _:
                return Step()

    def on_view(self, rows: Mapping[str, HealingRow], view: World, event: Event, now: int) -> Step[HealingRow]:
        if isinstance(event.value, Performance):
            return self.orchestrator.on_figures(rows, view, event.value, now, event.cause_id)
        if isinstance(event.value, PolicyRecord):
            return self.orchestrator.on_policy(rows, view, event.value, now, event.cause_id)
        if event.topic == "assets" and event.value is None:
            return self.orchestrator.on_asset_removed(rows, view, event.key, now, event.cause_id)
        if event.topic == "policies":
            return self.orchestrator.on_pause_removed(rows, view, now, event.cause_id)
        return Step()

    def due_at(self, row: HealingRow) -> int | None:
        return state.due_at(row)

    def on_timer(self, rows: Mapping[str, HealingRow], view: World, key: str, now: int) -> Step[HealingRow]:
        return self.orchestrator.on_timer(rows, view, key, now)

    def resilience(self, rows: Mapping[str, HealingRow]) -> dict[tuple[str, str], float]:
        """(tenant, pool) -> score, as of its last experiment. May be asked from another thread."""
        return score.of_pools(list(rows.values()))

    def encode_row(self, row: HealingRow) -> bytes:
        return state.encode_row(row)

    def decode_row(self, data: bytes) -> HealingRow:
        return state.decode_row(data)
