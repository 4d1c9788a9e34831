"""Capacity that jobs have booked on their targets, and what is left of it for one more.

A job books units of its target's capacity when it is sent there; its outcome, its move elsewhere or the end of
`booking_ttl_s` frees them. Jobs are split over partitions by their id, a target's capacity is not: each partition may
fill its share, ceil(capacity / partitions), and sees no other's bookings. So a target is never overbooked by more than
partitions - 1 units, and what a partition decides depends on its own log alone (docs/adr/0017).

A tenant's quota of active jobs is booked in the same way and the same shares, one unit a job, in rows of tenants.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from schemas.records import JobRequest
from streams.kit import ids
from streams.routing.settings import RoutingSettings

if TYPE_CHECKING:
    from streams.routing.state import JobRow

_STEP_MS: Final = 60_000
"""Ends are rounded up to whole minutes, so that a row has few of them however many jobs its target has."""


@dataclass(frozen=True, slots=True)
class Booking:
    """Units of one target, or of one tenant's quota, until a time (ms)."""

    target_id: str
    units: float
    until: int

    def of(self, name: str, at: int) -> float:
        """The units, if it is of that name and lasts at that time (ms)."""
        return self.units if self.target_id == name and self.until > at else 0.0


@dataclass(frozen=True, slots=True)
class BookedRow:
    """(until ms, units) of all bookings of one target or tenant in this partition, in order of time; never empty."""

    ends: tuple[tuple[int, float], ...]
    _whole: list[float] = field(default_factory=list, init=False, repr=False, compare=False)
    """The sum over all ends, once it was asked for: each decision asks several targets, and changes one of them."""

    def units(self, at: int) -> float:
        """What is booked at that time (ms)."""
        if self.ends[0][0] <= at:
            return math.fsum(units for until, units in self.ends if until > at)
        if not self._whole:
            self._whole.append(math.fsum(units for _, units in self.ends))
        return self._whole[0]


def booked_key(target_id: str) -> str:
    return ids.row_key("booked", target_id)


def quota_key(tenant: str) -> str:
    return ids.row_key("quota", tenant)


def quota_of(row: JobRow | None) -> Booking | None:
    """What a job takes of its tenant's quota: only while it is active, only if the tenant had one when it was sent."""
    if row is None or row.request.tenant is None or row.phase.value != "active" or row.quota_until <= 0:
        return None
    return Booking(row.request.tenant, 1.0, row.quota_until)


def booking_of(row: JobRow | None) -> Booking | None:
    """What a job holds: only while it is active, only where its target has a limit."""
    if row is None or row.target_id is None or row.phase.value != "active" or row.booked_units <= 0:
        return None
    return Booking(row.target_id, row.booked_units, row.booked_until)


def changed(row: BookedRow | None, booking: Booking, sign: int) -> BookedRow | None:
    """The row with the booking added (1) or taken away (-1); None = nothing is left."""
    ends = row.ends if row is not None else ()
    place = bisect_left(ends, booking.until, key=_until)
    there = place < len(ends) and ends[place][0] == booking.until
    units = (ends[place][1] if there else 0.0) + sign * booking.units
    now = ((booking.until, units),) if units > 1e-9 else ()  # sums of fractions
    left = (*ends[:place], *now, *ends[place + there :])
    return BookedRow(left) if left else None


_until: Final = itemgetter(0)


def units_of(job: JobRequest, settings: RoutingSettings) -> float:
    """How much a job books: `metadata.units`, else the setting."""
    units = job.metadata.get("units")
    if isinstance(units, int | float) and not isinstance(units, bool) and 0 <= units < math.inf:
        return float(units)
    return settings.job_units


def until(at: int, settings: RoutingSettings) -> int:
    """When a booking made at `at` (ms) ends at the latest."""
    return -(-(at + round(settings.booking_ttl_s * 1000)) // _STEP_MS) * _STEP_MS
