"""`HealthMonitor`: what a sample means, whether it comes in order, and when a series is overdue.

   |<-- grace_s -->|
---+---------------+-----------> event time
 too late   late   last_at  new
"""

from __future__ import annotations

from enum import IntEnum

from streams.kit.metric_names import Meaning, meaning
from streams.telemetry import stamps
from streams.telemetry.settings import TelemetrySettings
from streams.telemetry.state import SeriesState

MIN_INTERVALS = 5
"""Sampling intervals seen before a silence can mean anything."""


class Order(IntEnum):
    """Where a sample falls against those before it."""

    NEW = 0
    LATE = 1
    """Within the grace: learned from, alerts nothing."""
    DUPLICATE = 2
    """That time was seen: changes nothing, whatever its value."""
    TOO_LATE = 3
    """Counted and dropped."""


class HealthMonitor:
    """Stateless but for its settings."""

    def __init__(self, settings: TelemetrySettings) -> None:
        self._grace_ms = round(settings.grace_s * 1000.0)
        self._intervals = settings.absence_intervals
        self._min_ms = settings.absence_min_s * 1000.0
        self._retire_ms = round(settings.retire_after_s * 1000.0)
        self.least_patience_ms = min(int(self._min_ms) + self._grace_ms, self._retire_ms)
        """No reporting series wants its timer sooner after its newest sample."""
        self.recheck_ms = round(settings.absence_recheck_s * 1000.0)

    def meaning(self, metric: str, unit: str) -> Meaning:
        """Canonical name and unit, and the factor for the value."""
        return meaning(metric, unit)

    def order(self, s: SeriesState, at: int) -> Order:
        """A late sample older than all remembered times cannot be told from a duplicate: it is TOO_LATE."""
        if s.samples == 0 or at > s.last_at:
            return Order.NEW
        if stamps.is_remembered(s.record, at):
            return Order.DUPLICATE
        if at < s.last_at - self._grace_ms or at < stamps.oldest(s.record):
            return Order.TOO_LATE
        return Order.LATE

    def absent_from(self, s: SeriesState) -> int | None:
        """When a silence is an absence, event time ms: overdue, and the grace gone in which late samples still come.

        None while the interval is not known.
        """
        if s.samples <= MIN_INTERVALS:
            return None
        patience = self._intervals * s.interval_ms
        return s.last_at + int(patience if patience > self._min_ms else self._min_ms) + self._grace_ms

    def look_at(self, s: SeriesState) -> int:
        """When a series that reports wants its timer."""
        absent_from = self.absent_from(s)
        return self.retire_at(s) if absent_from is None else min(absent_from, self.retire_at(s))

    def retire_at(self, s: SeriesState) -> int:
        """When a silent series is forgotten."""
        return s.last_at + self._retire_ms
