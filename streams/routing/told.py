"""What this partition's jobs spend of each scope that has a budget, told to the other layers on `spending`.

    spends 3 ──► told 3 ── spends 5, 4, 6 within spending_told_s ──► a timer ──► told 6

A row `["told", scope]` has what was told last. The key that it is told under has the id of a job that spent something
then (row `["teller"]`, while anything is spent): a job id belongs to one partition, so no two tell under one key.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from schemas.records import PolicyRecord, Spending
from streams.kit import ids
from streams.kit.layer import Emission, Event
from streams.kit.ledger import MICRO
from streams.routing.fleet import ROUTING, Fleet

if TYPE_CHECKING:
    from streams.routing.budgets import Limit
    from streams.routing.ledger import Ledger

TOPIC: Final = "spending"


@dataclass(frozen=True, slots=True)
class TellerRow:
    """By what name a scope that was never told is told: the job that was the first to spend since nobody did."""

    job_id: str


@dataclass(frozen=True, slots=True)
class ToldRow:
    """`micro_usd` an hour, told at `at` (ms) because of `cause_id`; at `due_at` what it is by then is told.

    `period_start_at`: of the budget's period that was told of; its end is a time to tell of the next.
    """

    scope: str
    teller: str
    micro_usd: int
    at: int
    cause_id: str
    due_at: int | None = None
    period_start_at: int | None = None


def told_key(scope: str) -> str:
    return ids.row_key("told", scope)


def teller_key() -> str:
    return ids.row_key("teller")


def spent_elsewhere(event: Event) -> bool:
    """Whether another layer has told what it has committed."""
    return event.topic == TOPIC and not (isinstance(event.value, Spending) and event.value.layer == ROUTING)


def accrue_all(ledger: Ledger, fleet: Fleet) -> None:
    """A budget or what healing has committed is another from now on."""
    for scope in sorted(scope for scope, limit in fleet.budgets.items() if limit.period is not None):
        ledger.accrue(scope)


def tell_spent(ledger: Ledger, fleet: Fleet, at: int, cause_id: str, every_ms: int) -> None:
    """Tells of the scopes whose spending this step changed; who was told within the interval has a timer."""
    if fleet.budgets and ledger.respent:
        for scope in sorted(scope for scope in ledger.respent if scope in fleet.budgets):
            _tell(ledger, scope, fleet.budgets[scope], at, cause_id, every_ms)


def tell_budgets(ledger: Ledger, fleet: Fleet, event: Event, at: int, every_ms: int) -> None:
    """A new budget counts the jobs that run already, and what was not told while there was none."""
    if isinstance(event.value, PolicyRecord) and event.value.budget is not None:
        scope = event.value.budget.scope
        if scope in fleet.budgets:
            _tell(ledger, scope, fleet.budgets[scope], at, event.cause_id, every_ms)


def tell_due(ledger: Ledger, fleet: Fleet, row: ToldRow, at: int) -> None:
    """The interval, or the period, is over."""
    ledger.put_told(replace(row, due_at=None))
    if row.scope in fleet.budgets:
        _tell(ledger, row.scope, fleet.budgets[row.scope], at, row.cause_id, 0)


def _tell(ledger: Ledger, scope: str, limit: Limit, at: int, cause_id: str, every_ms: int) -> None:
    spent, row = ledger.spent(scope, at), ledger.told(scope)
    start, of_period = ledger.committed(scope, limit, at) if limit.period is not None else (None, 0)
    teller = row.teller if row is not None else ledger.teller()
    before = (row.micro_usd, row.period_start_at) if row is not None else (0, start)
    if teller is None or (spent, start) == before:
        return
    cause = cause_id or (row.cause_id if row is not None else teller)
    if row is not None and at < row.at + every_ms:
        if row.due_at is None or row.due_at > row.at + every_ms:
            ledger.put_told(replace(row, cause_id=cause, due_at=row.at + every_ms))
        return
    ends_at = limit.period.bounds(at)[1] if limit.period is not None and spent else None
    ledger.put_told(ToldRow(scope, teller, spent, at, cause, ends_at, start))
    period = f" and have {of_period / MICRO:,.2f} USD of the period spent or booked" if start is not None else ""
    record = Spending(
        layer=ROUTING, scopes=(scope,), micro_usd_per_hour=spent, period_start_at=start, period_micro_usd=of_period,
        cause_id=cause, at=at,
        reason=f"jobs of {scope} in the partition of {teller} spend {spent / MICRO:,.2f} USD/h{period}",
    )  # fmt: skip
    ledger.emit(Emission(TOPIC, ids.row_key(ROUTING, teller, scope), record, at, cause))
