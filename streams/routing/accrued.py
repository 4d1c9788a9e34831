"""What jobs and healing have spent of a budget's period, as far as this partition has seen it; never more than once.

    start ............. since ................. at ................ end
      |---- counted ----|-- at the rates since --|---- booked ------|

A row `["accrued", scope]` is brought up to date before what the jobs of its scope spend changes, and when healing's
part does. Amounts are exact: whole micro-USD, and a rest in micro-USD ms an hour. A new period begins with nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.periods import HOUR_MS, Period
from streams.kit import ids
from streams.kit.ledger import MICRO, micro_usd
from streams.policy.modes import utc

if TYPE_CHECKING:
    from streams.routing.bookings import BookedRow, Booking
    from streams.routing.budgets import Limit


@dataclass(frozen=True, slots=True)
class AccruedRow:
    """Of the period from `start` what was spent until `since` (ms), and healing's micro-USD an hour from then on."""

    scope: str
    start: int
    since: int
    jobs_micro_usd: int = 0
    jobs_rest: int = 0
    healing_micro_usd: int = 0
    healing_rest: int = 0
    healing_rate: int = 0


def accrued_key(scope: str) -> str:
    return ids.row_key("accrued", scope)


def brought(row: AccruedRow | None, scope: str, booked: BookedRow | None, limit: Limit, at: int) -> AccruedRow:
    """The row at `at` (ms): what was booked all the while since, `booked`, is spent. None = it begins now."""
    start, _ = period_of(limit).bounds(at)
    if row is None:
        return AccruedRow(scope, start, at, healing_rate=limit.healing_micro_usd)
    since, same = max(row.since, start), row.start == start
    jobs = _between(booked, since, at) + (row.jobs_micro_usd * HOUR_MS + row.jobs_rest if same else 0)
    healing = row.healing_rate * max(0, at - since)
    healing += row.healing_micro_usd * HOUR_MS + row.healing_rest if same else 0
    return AccruedRow(
        scope, start, max(since, at), *divmod(jobs, HOUR_MS), *divmod(healing, HOUR_MS), limit.healing_micro_usd
    )


def committed(
    row: AccruedRow | None, scope: str, booked: BookedRow | None, limit: Limit, at: int
) -> tuple[int, int, int]:
    """(start of the period in ms, micro-USD of it by jobs, by healing): spent, and booked to its end."""
    now = brought(row, scope, booked, limit, at)
    _, end = period_of(limit).bounds(at)
    jobs = now.jobs_micro_usd + _between(booked, at, end) // HOUR_MS
    return now.start, jobs, now.healing_micro_usd + limit.healing_micro_usd * (end - at) // HOUR_MS


def period_refusal(
    row: AccruedRow | None, scope: str, booked: BookedRow | None, own: Booking | None, limit: Limit, shares: int,
    cost_usd_per_hour: float, at: int, until: int,
) -> str:  # fmt: skip
    """Why a job from `at` until `until` would take the scope over what a period of these has; empty = it would not.

    `own` is what the job itself has booked now, which it gives up.
    """
    _, jobs, healing = committed(row, scope, booked, limit, at)
    begun = at
    while begun < until:
        start, end = period_of(limit).bounds(begun)
        if begun > at:
            jobs, healing = _between(booked, start, end) // HOUR_MS, limit.healing_micro_usd * (end - start) // HOUR_MS
        if own is not None:
            jobs -= math.floor(own.units) * max(0, min(own.until, end) - begun) // HOUR_MS
        whole = limit.usd_per_hour * MICRO * (end - start) / HOUR_MS
        share = math.floor(max(0.0, whole - healing) / shares)
        needs = micro_usd(cost_usd_per_hour) * (min(until, end) - begun) / HOUR_MS
        if jobs + needs > share:
            of = _of(whole, healing, shares)
            return (
                f"budget {limit.name} of {scope} from {utc(start)} to {utc(end)}: {jobs / MICRO:,.2f} of "
                f"{share / MICRO:,.2f}{of} USD spent or booked, {max(0, share - jobs) / MICRO:,.2f} left, "
                f"needs {needs / MICRO:,.2f}"
            )
        begun = end
    return ""


def _of(whole: float, healing: int, shares: int) -> str:
    """What a share is a share of."""
    less = f" less {healing / MICRO:,.2f} by healing" if healing else ""
    over = f" over {shares} partitions" if shares != 1 else ""
    return f" (of {whole / MICRO:,.2f}{less}{over})" if less or over else ""


def period_of(limit: Limit) -> Period:
    assert limit.period is not None
    return limit.period


def _between(booked: BookedRow | None, start: int, end: int) -> int:
    """What is booked between two times (ms), micro-USD ms an hour."""
    ends = booked.ends if booked is not None else ()
    return sum(math.floor(units) * max(0, min(until, end) - start) for until, units in ends)
