"""Capacity that jobs have booked on their targets, and what is left of it for one more.

A job books units of its target's capacity when it is sent there; its outcome, its move elsewhere or the end of
`booking_ttl_s` frees them. Jobs are split over partitions by their id, a target's capacity is not: each partition may
fill its share, ceil(capacity / partitions), and sees no other's bookings. So a target is never overbooked by more than
partitions - 1 units, and what a partition decides depends on its own log alone (docs/adr/0017).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemas.records import JobRequest, Priority
from streams.kit import ids
from streams.routing.settings import RoutingSettings

if TYPE_CHECKING:
    from streams.routing.state import JobRow

_STEP_MS: Final = 60_000
"""Ends are rounded up to whole minutes, so that a row has few of them however many jobs its target has."""


@dataclass(frozen=True, slots=True)
class Booking:
    """Units of one target until a time (ms)."""

    target_id: str
    units: float
    until: int


@dataclass(frozen=True, slots=True)
class BookedRow:
    """(until ms, units) of all bookings of one target in this partition, in order of time; never empty."""

    ends: tuple[tuple[int, float], ...]

    def units(self, at: int) -> float:
        return math.fsum(units for until, units in self.ends if until > at)


def booked_key(target_id: str) -> str:
    return ids.row_key("booked", target_id)


def booking_of(row: JobRow | None) -> Booking | None:
    """What a job holds: only while it is active, only where its target has a limit."""
    if row is None or row.target_id is None or row.phase.value != "active" or row.booked_units <= 0:
        return None
    return Booking(row.target_id, row.booked_units, row.booked_until)


def changed(row: BookedRow | None, booking: Booking, sign: int) -> BookedRow | None:
    """The row with the booking added (1) or taken away (-1); None = nothing is left."""
    ends = dict(row.ends) if row is not None else {}
    ends[booking.until] = ends.get(booking.until, 0.0) + sign * booking.units
    left = tuple(sorted((until, units) for until, units in ends.items() if units > 1e-9))  # sums of fractions
    return BookedRow(left) if left else None


def units_of(job: JobRequest, settings: RoutingSettings) -> float:
    """How much a job books: `metadata.units`, else the setting."""
    units = job.metadata.get("units")
    if isinstance(units, int | float) and not isinstance(units, bool) and 0 <= units < math.inf:
        return float(units)
    return settings.job_units


def until(at: int, settings: RoutingSettings) -> int:
    """When a booking made at `at` (ms) ends at the latest."""
    return -(-(at + round(settings.booking_ttl_s * 1000)) // _STEP_MS) * _STEP_MS


@dataclass(frozen=True, slots=True)
class Room:
    """What one decision may know of bookings: `row` looks one up, `own` is what the job itself holds now."""

    row: Callable[[str], BookedRow | None]
    shares: int = 1
    own: Booking | None = None

    def refusal(self, target_id: str, capacity: float, job: JobRequest, at: int, settings: RoutingSettings) -> str:
        """Why the job does not fit; empty = it fits. `capacity` in units, NaN = no limit is known."""
        wanted = units_of(job, settings)
        if math.isnan(capacity) or wanted == 0:
            return ""
        share = float(math.ceil(capacity / self.shares))
        kept = self._kept(share, job, settings)
        row = self.row(booked_key(target_id))
        booked = row.units(at) if row is not None else 0.0
        if self.own is not None and self.own.target_id == target_id and self.own.until > at:
            booked -= self.own.units
        if booked + wanted <= share - kept + 1e-9:
            return ""
        of = f"{share:g}" if self.shares == 1 else f"{share:g} (of {capacity:g} over {self.shares} partitions)"
        reserve = f", {kept:g} kept for critical jobs" if kept else ""
        return f"{booked:g} of {of} units of capacity booked{reserve}, needs {wanted:g}"

    def _kept(self, share: float, job: JobRequest, settings: RoutingSettings) -> float:
        """Of a single unit nothing is kept: nobody else could ever have it."""
        if job.priority is Priority.CRITICAL or share < 2:
            return 0.0
        return float(math.ceil(share * settings.critical_reserve_share))


EMPTY: Final = Room(lambda key: None)
