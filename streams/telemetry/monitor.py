"""`HealthMonitor`: what a sample means, whether it comes in order, and when a series is overdue.

   |<-- grace_ms ->|
---+---------------+-----------> event time
 too late   late   last_at  new
"""

from __future__ import annotations

from typing import Annotated, cast

import numpy as np

from streams.kit.kernel import kernel
from streams.kit.metric_names import Meaning, meaning
from streams.telemetry import stamps
from streams.telemetry.record import SeriesRecord
from streams.telemetry.settings import TelemetrySettings
from streams.telemetry.timers import NEVER

MIN_INTERVALS = 5
"""Sampling intervals seen before a silence can mean anything."""
NEW, LATE, DUPLICATE, TOO_LATE = range(4)
"""Where a sample falls against those before it. LATE is within the grace: learned from, alerts nothing. DUPLICATE: that
time was seen, so it changes nothing, whatever its value. TOO_LATE is counted and dropped."""


class PatienceRecord:
    """`TelemetrySettings` about time, as numbers."""

    grace_ms: Annotated[int, "<i8"]
    intervals: Annotated[float, "<f8"]
    min_ms: Annotated[float, "<f8"]
    retire_ms: Annotated[int, "<i8"]


PATIENCE = np.dtype([("grace_ms", "<i8"), ("intervals", "<f8"), ("min_ms", "<f8"), ("retire_ms", "<i8")])


def patience(settings: TelemetrySettings) -> PatienceRecord:
    """What the kernels take."""
    record = np.zeros(1, PATIENCE)[0]
    record["grace_ms"] = round(settings.grace_s * 1000.0)
    record["intervals"] = settings.absence_intervals
    record["min_ms"] = settings.absence_min_s * 1000.0
    record["retire_ms"] = round(settings.retire_after_s * 1000.0)
    return cast(PatienceRecord, record)


@kernel
def order(s: SeriesRecord, p: PatienceRecord, at: int) -> int:
    """A late sample older than all remembered times cannot be told from a duplicate: it is TOO_LATE."""
    if s.samples == 0 or at > s.last_at:
        return NEW
    if stamps.is_remembered(s, at):
        return DUPLICATE
    if at < s.last_at - p.grace_ms or at < stamps.oldest(s):
        return TOO_LATE
    return LATE


@kernel
def absent_from(s: SeriesRecord, p: PatienceRecord) -> int:
    """When a silence is an absence, event time ms: overdue, and the grace gone in which late samples still come.

    NEVER while the interval is not known.
    """
    if s.samples <= MIN_INTERVALS:
        return NEVER
    usual = p.intervals * s.interval_ms
    return s.last_at + int(max(usual, p.min_ms)) + p.grace_ms


@kernel
def retire_at(s: SeriesRecord, p: PatienceRecord) -> int:
    """When a silent series is forgotten."""
    return s.last_at + p.retire_ms


@kernel
def look_at(s: SeriesRecord, p: PatienceRecord) -> int:
    """When a series that reports wants its timer."""
    return min(absent_from(s, p), retire_at(s, p))


@kernel
def is_overdue(s: SeriesRecord, p: PatienceRecord, at: int) -> bool:
    """Was the silence before a new sample at `at` an absence?"""
    return at - s.last_at >= 2.0 * s.interval_ms and at >= absent_from(s, p)


class HealthMonitor:
    """The seed's name for it: the kernels above with one set of settings."""

    def __init__(self, settings: TelemetrySettings) -> None:
        self.patience = patience(settings)
        self.retire_ms = round(settings.retire_after_s * 1000.0)
        self.recheck_ms = round(settings.absence_recheck_s * 1000.0)

    def meaning(self, metric: str, unit: str) -> Meaning:
        """Canonical name and unit, and the factor for the value."""
        return meaning(metric, unit)

    def order(self, s: SeriesRecord, at: int) -> int:
        """As the kernel."""
        return order(s, self.patience, at)
