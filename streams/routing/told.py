"""What this partition's jobs spend of each scope that has a budget, told to the other layers on `spending`.

    spends 3 ──► told 3 ── spends 5, 4, 6 within spending_told_s ──► a timer ──► told 6

A row `["told", scope]` has what was told last. The key that it is told under has the id of a job that spent something
then (row `["teller"]`, while anything is spent): a job id belongs to one partition, so no two tell under one key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from schemas.records import PolicyRecord, Spending
from streams.kit import ids
from streams.kit.layer import Emission, Event
from streams.kit.ledger import MICRO
from streams.routing.fleet import ROUTING, Fleet

if TYPE_CHECKING:
    from streams.routing.ledger import Ledger

TOPIC: Final = "spending"


@dataclass(frozen=True, slots=True)
class TellerRow:
    """By what name a scope that was never told is told: the job that was the first to spend since nobody did."""

    job_id: str


@dataclass(frozen=True, slots=True)
class ToldRow:
    """`micro_usd` an hour, told at `at` (ms) because of `cause_id`; at `due_at` what it is by then is told."""

    scope: str
    teller: str
    micro_usd: int
    at: int
    cause_id: str
    due_at: int | None = None


def told_key(scope: str) -> str:
    return ids.row_key("told", scope)


def teller_key() -> str:
    return ids.row_key("teller")


def tell_spent(ledger: Ledger, fleet: Fleet, at: int, cause_id: str, every_ms: int) -> None:
    """Tells of the scopes whose spending this step changed; who was told within the interval has a timer."""
    if fleet.budgets and ledger.respent:
        _tell(ledger, (s for s in sorted(ledger.respent) if s in fleet.budgets), at, cause_id, every_ms)


def tell_budgets(ledger: Ledger, fleet: Fleet, event: Event, at: int, every_ms: int) -> None:
    """A new budget counts the jobs that run already, and what was not told while there was none."""
    if isinstance(event.value, PolicyRecord) and event.value.budget is not None:
        scope = event.value.budget.scope
        if scope in fleet.budgets:
            _tell(ledger, (scope,), at, event.cause_id, every_ms)


def tell_due(ledger: Ledger, fleet: Fleet, row: ToldRow, at: int) -> None:
    """The interval is over."""
    ledger.put_told(replace(row, due_at=None))
    if row.scope in fleet.budgets:
        _tell(ledger, (row.scope,), at, row.cause_id, 0)


def _tell(ledger: Ledger, scopes: Iterable[str], at: int, cause_id: str, every_ms: int) -> None:
    for scope in scopes:
        spent, row = ledger.spent(scope, at), ledger.told(scope)
        teller = row.teller if row is not None else ledger.teller()
        if teller is None or spent == (row.micro_usd if row is not None else 0):
            continue
        cause = cause_id or (row.cause_id if row is not None else teller)
        if row is not None and at < row.at + every_ms:
            if row.due_at is None:
                ledger.put_told(replace(row, cause_id=cause, due_at=row.at + every_ms))
            continue
        ledger.put_told(ToldRow(scope, teller, spent, at, cause))
        record = Spending(
            layer=ROUTING, scopes=(scope,), micro_usd_per_hour=spent, cause_id=cause, at=at,
            reason=f"jobs of {scope} in the partition of {teller} spend {spent / MICRO:,.2f} USD/h",
        )  # fmt: skip
        ledger.emit(Emission(TOPIC, ids.row_key(ROUTING, teller, scope), record, at, cause))
