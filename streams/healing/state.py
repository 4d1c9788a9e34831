"""What the healing table keeps, and its bytes. Everything that a guard needs is here, so it survives kill -9 (H4).

| row key | row |
|---|---|
| ["incident", incident] | `IncidentRow` the state machine of one incident |
| ["asset", asset] | `AssetRow` open incidents, lease, fencing epoch, budget, drain |
| ["pool", pool] | `PoolRow` the ill assets, assets acted on, storm |
| ["cooldown", asset, strategy] | `CooldownRow` |
| ["history", strategy] | `HistoryRow` successes and failures |
| ["action", action] | `ActionRow` whose approval is waited for |
| ["paused"] | `PausedRow` incidents held by a pause |
| ["spending"] | `SpendingRow` what stands of all that acting has committed of budgets, by scope |
| ["inoculation", pool] | `InoculationRow` the pool's experiments (`inoculation/`) |
| ["inoculating"] | `InoculatingRow` the pool with the experiment that is under way |
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from schemas.records import Action, Anomaly, PolicyVerdict, Record
from streams.healing.inoculation.rows import InoculatingRow, InoculationRow

VERSION = b"1"
"""First byte of a row. Raise it when saved rows of an older version would be misread, and say so in the changelog."""


class StateError(Exception):
    """A saved row can't be read: rebuild the table from its topics (delete the state folder and the changelog)."""


class IncidentState(StrEnum):
    OPEN = "open"
    DIAGNOSING = "diagnosing"
    ACTING = "acting"
    VERIFYING = "verifying"
    RESOLVED = "resolved"
    ESCALATED = "escalated"
    SUPPRESSED = "suppressed"


AT_WORK = (IncidentState.DIAGNOSING, IncidentState.ACTING, IncidentState.VERIFYING)


class IncidentRow(Record):
    """`due_at` is the one timer of the incident: a deadline, the end of a guard, or the end of its retention."""

    row: Literal["incident"] = "incident"
    anomaly: Anomaly
    pool: str
    state: IncidentState = IncidentState.OPEN
    is_open: bool = True
    strategy: str = ""
    actions: tuple[Action, ...] = ()
    policies: tuple[PolicyVerdict, ...] = ()
    obligations: tuple[str, ...] = ()
    watched_id: str = ""
    action_id: str = ""
    generation: int = 0
    """Number of the action within the incident: part of its action id, so that a retry is another action."""
    fencing_epoch: int = 0
    planned_action_id: str = ""
    tried: tuple[str, ...] = ()
    acted: bool = False
    """Whether an executor was ever ordered for this incident."""
    attempts: int = 0
    waits: int = 0
    strategy_started_at: int | None = None
    verify_from: int | None = None
    held_by: str = ""
    symptom_ids: tuple[str, ...] = ()
    """Incidents that wait for the healing of this one (`grouping`)."""
    last_record_id: str = ""
    due_at: int | None = None
    adds_micro_usd: int | None = 0
    """What the present plan adds to what is spent, an hour; None = it is not known."""
    adds_unregistered_micro_usd: int = 0

    @property
    def id(self) -> str:
        return self.anomaly.incident_id

    @property
    def asset_id(self) -> str:
        return self.anomaly.asset_id


class Lease(Record):
    incident_id: str
    expires_at: int


class Drain(Record):
    """An effect that stands (a failover, a throttle): what to undo once the asset has been healthy for long enough."""

    incident_id: str
    destination_id: str
    """Who has the asset's work meanwhile; empty = the asset keeps it."""
    strategy: str = "failover"
    actions: tuple[Action, ...]
    since_at: int
    record_id: str
    failbacks: int = 0
    failback_action_id: str = ""
    executing: bool = False
    doubtful: bool = False
    """Its order failed or was cut off, so that it may stand: nothing is concluded from it, but it is undone."""
    earlier: Drain | None = None
    """What stood before this one, and is undone with it."""

    def all(self) -> Iterator[Drain]:
        """This one, then what stood before it, the latest first."""
        yield self
        if self.earlier is not None:
            yield from self.earlier.all()

    def is_like(self, other: Drain) -> bool:
        """Whether undoing this one undoes the other as well."""
        return self._kind == other._kind

    @property
    def _kind(self) -> tuple[object, ...]:
        return (self.strategy, self.destination_id, tuple((a.type, a.target_id) for a in self.actions))


class Commitment(Record):
    """Micro-USD an hour of the budgets of `scopes`. `undone`: while its drain stands, else while the lease does."""

    incident_id: str
    strategy: str
    scopes: tuple[str, ...]
    micro_usd: int
    unregistered_micro_usd: int = 0
    undone: bool


class AssetRow(Record):
    row: Literal["asset"] = "asset"
    asset_id: str
    pool: str = ""
    open_ids: tuple[str, ...] = ()
    healthy_since: int = 0
    """When the last open incident closed; meaningful while `open_ids` is empty."""
    lease: Lease | None = None
    epoch: int = 0
    acted_at: tuple[int, ...] = ()
    drain: Drain | None = None
    failback_at: int | None = None
    spends: tuple[Commitment, ...] = ()
    """What acting on it has committed of budgets (`commitments`), one of a strategy."""

    @property
    def standing(self) -> Drain | None:
        """The latest effect that stands for certain: one on top that is doubtful does not take it away."""
        return next((d for d in self.drain.all() if not d.doubtful), None) if self.drain is not None else None

    @property
    def forgettable(self) -> bool:
        """The epoch must outlive everything else: an executor refuses an older one."""
        return not (self.open_ids or self.lease or self.epoch or self.drain)


class PoolRow(Record):
    row: Literal["pool"] = "pool"
    pool: str
    ill: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """asset id -> its open incidents"""
    acting: dict[str, int] = Field(default_factory=dict)
    """asset id -> when its share of the cap expires, event time ms"""
    storm_until: int | None = None
    last_failback_at: int | None = None


class CooldownRow(Record):
    row: Literal["cooldown"] = "cooldown"
    until_at: int


class HistoryRow(Record):
    row: Literal["history"] = "history"
    successes: float = 0.0
    failures: float = 0.0
    at: int = 0
    """When the counts were last brought up to date; they fade from then on."""


class ActionRow(Record):
    row: Literal["action"] = "action"
    incident_id: str
    asset_id: str
    is_failback: bool = False


class PausedRow(Record):
    row: Literal["paused"] = "paused"
    incident_ids: tuple[str, ...] = ()


class SpendingRow(Record):
    """Scope -> (micro-USD an hour, of it what the registry does not show yet) of what stands; never of nothing."""

    row: Literal["spending"] = "spending"
    by_scope: dict[str, tuple[int, int]] = Field(default_factory=dict)


HealingRow = (
    IncidentRow
    | AssetRow
    | PoolRow
    | CooldownRow
    | HistoryRow
    | ActionRow
    | PausedRow
    | InoculationRow
    | InoculatingRow
    | SpendingRow
)
_ROWS: TypeAdapter[HealingRow] = TypeAdapter(Annotated[HealingRow, Field(discriminator="row")])


def encode_row(row: HealingRow) -> bytes:
    return VERSION + _ROWS.dump_json(row)


def decode_row(data: bytes) -> HealingRow:
    if data[:1] != VERSION:
        raise StateError(f"healing row of version {data[:1]!r}, this release reads {VERSION!r}; {StateError.__doc__}")
    try:
        return _ROWS.validate_json(data[1:])
    except ValidationError as error:
        raise StateError(f"healing row is damaged: {error}; {StateError.__doc__}") from error


def due_at(row: HealingRow) -> int | None:
    """When the row wants its timer, event time ms."""
    match row:
        case IncidentRow() | InoculationRow():
            return row.due_at
        case AssetRow():
            return row.failback_at
        case PoolRow():
            return row.storm_until
        case CooldownRow():
            return row.until_at
        case _:
            return None
