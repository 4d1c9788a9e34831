"""What active jobs spend, as sums over jobs, and the budgets that limit it: of a tenant (`tenant:x`) and of all (`*`).

A job spends what its target costs it, USD an hour with the moving of its data, from its decision until its outcome, its
move or the end of `booking_ttl_s`. It is counted as capacity is: by each partition for its own jobs, in rows
`["spent", scope]`, in whole micro-USD an hour, whether there is a budget or not. Each partition may spend its share,
limit / partitions, rounded down: all together never spend more than the limit (docs/adr/0017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from schemas.periods import Period
from streams.kit import ids
from streams.kit.ledger import MICRO, micro_usd
from streams.routing.bookings import Booking

if TYPE_CHECKING:
    from streams.routing.state import JobRow

ALL: Final = "*"
_TENANT: Final = "tenant:"


@dataclass(frozen=True, slots=True)
class Limit:
    """The budget that counts for a scope, of several the lowest. `name`: its record, `id@version`.

    `healing_micro_usd`: what healing has committed of it, an hour. `period`: over which it is an average (`accrued`).
    """

    usd_per_hour: float
    name: str
    healing_micro_usd: int = 0
    period: Period | None = field(default=None, compare=False)


Limits = Mapping[str, Limit]
"""By scope."""
NO_LIMITS: Final[Limits] = MappingProxyType({})


def spent_key(scope: str) -> str:
    return ids.row_key("spent", scope)


def scope_of(key: str) -> str | None:
    """The scope of a row of what is spent; None = the row is of something else."""
    kind, *names = ids.row_parts(key)
    return names[0] if kind == "spent" and names else None


def scopes_of(tenant: str | None) -> tuple[str, ...]:
    """The scopes whose budgets bind a job, the narrowest first."""
    return (f"{_TENANT}{tenant}", ALL) if tenant else (ALL,)


def tenant_of(scope: str) -> str | None:
    return scope.removeprefix(_TENANT) if scope.startswith(_TENANT) else None


def spends_of(row: JobRow | None) -> tuple[Booking, ...]:
    """What a job spends of each scope: only while it is active."""
    if row is None or row.phase.value != "active" or row.spent_micro_usd <= 0:
        return ()
    return tuple(Booking(scope, float(row.spent_micro_usd), row.spent_until) for scope in scopes_of(row.request.tenant))


def refusal(scope: str, limit: Limit, shares: int, spent: float, cost_usd_per_hour: float) -> str:
    """Why a job would take the scope over its budget; empty = it would not. `spent` by others, in micro-USD an hour."""
    share = math.floor(max(0.0, limit.usd_per_hour * MICRO - limit.healing_micro_usd) / shares)
    if spent + micro_usd(cost_usd_per_hour) <= share:
        return ""
    left = max(0.0, share - spent)
    return (
        f"budget {limit.name} of {scope}: {spent / MICRO:,.2f} of {share / MICRO:,.2f}{_whole(limit, shares)} USD/h "
        f"spent, {left / MICRO:,.2f} left, needs {cost_usd_per_hour:,.2f}"
    )


def _whole(limit: Limit, shares: int) -> str:
    """What a share is a share of."""
    less = f" less {limit.healing_micro_usd / MICRO:,.2f} spent by healing" if limit.healing_micro_usd else ""
    over = f" over {shares} partitions" if shares != 1 else ""
    return f" (of {limit.usd_per_hour:,.2f}{less}{over})" if less or over else ""
