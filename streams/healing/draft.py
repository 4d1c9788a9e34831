"""One step in the making: the table's rows with this step's changes over them, and what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from schemas.records import Remediation
from streams.healing.commitments import account, standing
from streams.healing.inoculation.rows import InoculatingRow, InoculationRow, Phase
from streams.healing.state import (
    ActionRow,
    AssetRow,
    CooldownRow,
    HealingRow,
    HistoryRow,
    IncidentRow,
    PausedRow,
    PoolRow,
    SpendingRow,
)
from streams.kit.ids import row_key
from streams.kit.layer import Emission, Step

T = TypeVar("T", bound=HealingRow)


def incident_key(incident_id: str) -> str:
    return row_key("incident", incident_id)


def asset_key(asset_id: str) -> str:
    return row_key("asset", asset_id)


def pool_key(pool: str) -> str:
    return row_key("pool", pool)


def cooldown_key(asset_id: str, strategy: str) -> str:
    return row_key("cooldown", asset_id, strategy)


def history_key(strategy: str) -> str:
    return row_key("history", strategy)


def action_key(action_id: str) -> str:
    return row_key("action", action_id)


def inoculation_key(pool: str) -> str:
    return row_key("inoculation", pool)


PAUSED_KEY = row_key("paused")
SPENDING_KEY = row_key("spending")
INOCULATING_KEY = row_key("inoculating")


@dataclass(slots=True)
class Draft:
    """`rows` is never modified. `now` is event time ms; `cause_id` names what this step answers to."""

    rows: Mapping[str, HealingRow]
    now: int
    cause_id: str
    changes: dict[str, HealingRow | None] = field(default_factory=dict)
    emissions: list[Emission] = field(default_factory=list)
    to_diagnose: list[str] = field(default_factory=list)
    """Incidents that this step set free; diagnosed at its end."""

    def _get(self, key: str, kind: type[T]) -> T | None:
        row = self.changes[key] if key in self.changes else self.rows.get(key)
        return row if isinstance(row, kind) else None

    def put(self, key: str, row: HealingRow) -> None:
        self.changes[key] = row

    def drop(self, key: str) -> None:
        self.changes[key] = None

    def incident(self, incident_id: str) -> IncidentRow | None:
        return self._get(incident_key(incident_id), IncidentRow)

    def asset(self, asset_id: str) -> AssetRow:
        return self._get(asset_key(asset_id), AssetRow) or AssetRow(asset_id=asset_id)

    def pool(self, pool: str) -> PoolRow:
        return self._get(pool_key(pool), PoolRow) or PoolRow(pool=pool)

    def cooldown_until(self, asset_id: str, strategy: str) -> int | None:
        row = self._get(cooldown_key(asset_id, strategy), CooldownRow)
        return row.until_at if row is not None and row.until_at > self.now else None

    def history(self, strategy: str) -> HistoryRow:
        return self._get(history_key(strategy), HistoryRow) or HistoryRow()

    def action(self, action_id: str) -> ActionRow | None:
        return self._get(action_key(action_id), ActionRow)

    def paused(self) -> PausedRow:
        return self._get(PAUSED_KEY, PausedRow) or PausedRow()

    def inoculation(self, pool: str) -> InoculationRow | None:
        return self._get(inoculation_key(pool), InoculationRow)

    def inoculating(self) -> InoculationRow | None:
        """The experiment that is under way."""
        row = self._get(INOCULATING_KEY, InoculatingRow)
        return self.inoculation(row.pool) if row is not None else None

    def put_inoculation(self, row: InoculationRow) -> None:
        """An experiment is under way as long as its row is not idle."""
        self.put(inoculation_key(row.pool), row)
        if row.phase is not Phase.IDLE:
            self.put(INOCULATING_KEY, InoculatingRow(pool=row.pool))
        elif (active := self._get(INOCULATING_KEY, InoculatingRow)) is not None and active.pool == row.pool:
            self.drop(INOCULATING_KEY)

    def put_incident(self, row: IncidentRow) -> IncidentRow:
        self.put(incident_key(row.id), row)
        return row

    def put_asset(self, row: AssetRow) -> None:
        """What the asset commits of budgets follows from what stands of it."""
        row, before = standing(row), self.asset(row.asset_id).spends
        self.changes[asset_key(row.asset_id)] = None if row.forgettable else row
        if row.spends != before:
            account(self, row.asset_id, before, row.spends)

    def spending(self) -> SpendingRow:
        return self._get(SPENDING_KEY, SpendingRow) or SpendingRow()

    def put_spending(self, row: SpendingRow) -> None:
        self.changes[SPENDING_KEY] = row if row.by_scope else None

    def put_pool(self, row: PoolRow) -> None:
        empty = not (row.ill or row.acting or row.storm_until or row.last_failback_at)
        self.changes[pool_key(row.pool)] = None if empty else row

    def emit(self, record: Remediation) -> None:
        self.emissions.append(Emission("remediations", record.asset_id, record, record.at, record.cause_id))

    def step(self) -> Step[HealingRow]:
        kept = {key: row for key, row in self.changes.items() if row is not None or key in self.rows}
        return Step(kept, tuple(self.emissions))
