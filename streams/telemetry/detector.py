"""The detector of one series: pure, O(1) state and work per sample. The layer and `maestro detect` both use it.

`observing` has the kernels that a table of series calls too; `Detector` wraps them for one series.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from schemas.records import AnomalyKind, Severity
from streams.kit.kernel import kernel
from streams.telemetry import rarity, trust
from streams.telemetry.incident import OPENED
from streams.telemetry.observing import absorb_late, observe, usable
from streams.telemetry.record import SeriesRecord
from streams.telemetry.scratch import READING, ReadingRecord, SettingsRecord, numbers
from streams.telemetry.settings import TelemetrySettings
from streams.telemetry.state import NORMAL, SeriesState

KINDS = (
    AnomalyKind.UNKNOWN,
    AnomalyKind.SPIKE,
    AnomalyKind.DROP,
    AnomalyKind.SHIFT,
    AnomalyKind.DRIFT,
    AnomalyKind.OSCILLATION,
    AnomalyKind.VARIANCE,
)
"""By incident code; UNKNOWN stands for NORMAL."""
SEVERITIES = (Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)


class Score(NamedTuple):
    """`score` >= 0 is for a threshold, in days (`rarity.days`).

    `kind` and `severity` are of the open incident; `alarm` = it opens now.
    """

    score: float
    kind: AnomalyKind | None
    severity: Severity | None
    alarm: bool


NO_SCORE = Score(0.0, None, None, False)


class Detector:
    """Works on `state`, in place; whoever shares a state copies it first."""

    def __init__(self, settings: TelemetrySettings | None = None, state: SeriesState | None = None) -> None:
        self.settings = settings or TelemetrySettings()
        self.state = state or SeriesState()
        self.numbers = numbers(self.settings)
        self.reading = cast(ReadingRecord, np.zeros(1, READING)[0])

    def step(self, at_ms: int, value: float) -> Score:
        """A value that is nan, infinite, beyond 1e30 or not newer than the last scores 0 and changes nothing."""
        if not usable(value) or (self.state.samples and at_ms <= self.state.last_at):
            return NO_SCORE
        score, change = self.observe(at_ms, value)
        s = self.state
        if s.kind == NORMAL:
            return Score(rarity.days(score), None, None, False)
        return Score(rarity.days(score), KINDS[s.kind], SEVERITIES[s.severity], change == OPENED)

    def observe(self, at: int, x: float) -> tuple[float, int]:
        """As the kernel."""
        return observe(self.state.record, self.numbers, self.reading, at, x)

    def absorb_late(self, at: int, x: float) -> None:
        """As the kernel."""
        absorb_late(self.state.record, self.numbers, at, x)

    def score(self, at: NDArray[np.int64], x: NDArray[np.float64]) -> Scores:
        """Many steps at once, each as `step`; `at` in ms, both in order of arrival."""
        size = len(at)
        found = Scores(np.zeros(size), np.zeros(size, np.int8), np.zeros(size, np.int8), np.zeros(size, np.bool_))
        at, x = np.ascontiguousarray(at, np.int64), np.ascontiguousarray(x, np.float64)
        s, c, m = self.state.record, self.numbers, self.reading
        _score_all(s, c, m, at, x, found.score, found.kind, found.severity, found.alarm)
        return found

    def confidence(self) -> float:
        """0-1, of the open incident or the last one (`trust.confidence`)."""
        s = self.state
        return trust.confidence(s.samples - s.age)


class AnomalyDetector(Detector):
    """The seed's name for the detector that the layer points at one series after another (`state`)."""


class Scores(NamedTuple):
    """As `Score`, an array a field: kinds and severities by code, `kind` = `state.NORMAL` while no incident is open."""

    score: NDArray[np.float64]
    kind: NDArray[np.int8]
    severity: NDArray[np.int8]
    alarm: NDArray[np.bool_]


def score_series(at: NDArray[np.int64], x: NDArray[np.float64], settings: TelemetrySettings | None = None) -> Scores:
    """A whole series in order of arrival, `at` in ms; each row as `Detector.step` would have it."""
    return Detector(settings).score(at, x)


@kernel
def _score_all(
    s: SeriesRecord,
    c: SettingsRecord,
    m: ReadingRecord,
    at: NDArray[np.int64],
    x: NDArray[np.float64],
    score: NDArray[np.float64],
    kind: NDArray[np.int8],
    severity: NDArray[np.int8],
    alarm: NDArray[np.bool_],
) -> None:
    for i in range(len(at)):
        if not usable(x[i]) or (s.samples and at[i] <= s.last_at):
            continue
        rare, change = observe(s, c, m, at[i], x[i])
        score[i] = rarity.days(rare)
        kind[i] = s.kind
        severity[i] = s.severity if s.kind != NORMAL else 0
        alarm[i] = change == OPENED
