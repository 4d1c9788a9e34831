"""What active jobs spend, as sums over jobs, and the budgets that limit it: of a tenant (`tenant:x`) and of all (`*`).

A job spends what its target costs it, USD an hour with the moving of its data, from its decision until its outcome, its
move or the end of `booking_ttl_s`. It is counted as capacity is: by each partition for its own jobs, in rows
`["spent", scope]`, in whole micro-USD an hour, whether there is a budget or not. Each partition may spend its share,
limit / partitions, rounded down: all together never spend more than the limit (docs/adr/0017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from streams.kit import ids
from streams.routing.bookings import Booking

if TYPE_CHECKING:
    from streams.routing.state import JobRow

MICRO: Final = 1_000_000
MOST_MICRO_USD: Final = 2**53
"""9 thousand million USD an hour: more is absurd, and would be no whole number in a sum."""
ALL: Final = "*"
_TENANT: Final = "tenant:"


@dataclass(frozen=True, slots=True, order=True)
class Limit:
    """The budget that counts for a scope, of several the lowest. `name`: its record, `id@version`."""

    usd_per_hour: float
    name: str


Limits = Mapping[str, Limit]
"""By scope."""
NO_LIMITS: Final[Limits] = MappingProxyType({})


def spent_key(scope: str) -> str:
    return ids.row_key("spent", scope)


def scopes_of(tenant: str | None) -> tuple[str, ...]:
    """The scopes whose budgets bind a job, the narrowest first."""
    return (f"{_TENANT}{tenant}", ALL) if tenant else (ALL,)


def tenant_of(scope: str) -> str | None:
    return scope.removeprefix(_TENANT) if scope.startswith(_TENANT) else None


def micro_usd(cost_usd_per_hour: float) -> int:
    """Whole micro-USD an hour; what is not known is 0."""
    if not math.isfinite(cost_usd_per_hour):
        return 0
    return max(0, round(min(cost_usd_per_hour * MICRO, MOST_MICRO_USD)))


def spends_of(row: JobRow | None) -> tuple[Booking, ...]:
    """What a job spends of each scope: only while it is active."""
    if row is None or row.phase.value != "active" or row.spent_micro_usd <= 0:
        return ()
    return tuple(Booking(scope, float(row.spent_micro_usd), row.spent_until) for scope in scopes_of(row.request.tenant))


def refusal(scope: str, limit: Limit, shares: int, spent: float, cost_usd_per_hour: float) -> str:
    """Why a job would take the scope over its budget; empty = it would not. `spent` by others, in micro-USD an hour."""
    share = math.floor(limit.usd_per_hour * MICRO / shares)
    if spent + micro_usd(cost_usd_per_hour) <= share:
        return ""
    whole = "" if shares == 1 else f" (of {limit.usd_per_hour:,.2f} over {shares} partitions)"
    left = max(0.0, share - spent)
    return (
        f"budget {limit.name} of {scope}: {spent / MICRO:,.2f} of {share / MICRO:,.2f}{whole} USD/h spent, "
        f"{left / MICRO:,.2f} left, needs {cost_usd_per_hour:,.2f}"
    )
