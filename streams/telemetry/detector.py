"""The detector of one series: pure, O(1) state and work per sample. The layer and `maestro detect` both use it.

`observe` and `absorb_late` are the kernels that a table of series calls; `Detector` wraps them for one series.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from schemas.records import AnomalyKind, Severity
from streams.kit.kernel import kernel
from streams.telemetry import flapping, incident, rarity, reading, season, stamps
from streams.telemetry.incident import ACCEPTED, CHANGED, NONE, OPENED, RETURNED
from streams.telemetry.record import QUANTUM, RING, SeriesRecord
from streams.telemetry.scratch import READING, ReadingRecord, SettingsRecord, numbers
from streams.telemetry.settings import TelemetrySettings
from streams.telemetry.state import NO_TRIGGER, NORMAL, SeriesState

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
LARGEST_VALUE = 1e30
"""A reading beyond it is an error of the source, and its square would leave the range of a double."""
RING_LIMIT = 32_000.0
TRUST_SAMPLES = 12.0
SEASON_SAMPLES = 10
"""Samples from which the sampling interval is known well enough for a season."""


@kernel
def usable(x: float) -> bool:
    """Finite and believable."""
    return abs(x) <= LARGEST_VALUE


@kernel
def observe(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, at: int, x: float) -> tuple[float, int]:
    """A usable value with `at` after the last: its rarity, and what it did to the incident (`incident.NONE`...)."""
    n = s.samples
    if n == 0:
        _first(s, c, at, x)
        return 0.0, NONE
    gap = at - s.last_at
    if n < 10:
        s.interval_ms += (gap - s.interval_ms) / n
    else:
        s.interval_ms += 0.1 * (min(float(gap), 3.0 * s.interval_ms) - s.interval_ms)
    stamps.remember(s, at)
    s.last_at = at
    reading.take(s, c, m, at, x)
    score = rarity.score(s, at, x)
    v = m.residual / (m.level_scale * QUANTUM)
    s.ring[n % RING] = int(np.rint(min(max(v, -RING_LIMIT), RING_LIMIT)))
    change = _move(s, c, m, at, x, score) if s.kind == NORMAL else _follow(s, c, m, score)
    s.last_value = x
    season.search(s, c, m, at, x)
    if n == SEASON_SAMPLES:
        season.start(s, c.season_ms, s.first_at)
    return score, change


@kernel
def absorb_late(s: SeriesRecord, c: SettingsRecord, at: int, x: float) -> None:
    """A sample older than the newest, within the grace: the level and season learn it, nothing alerts backwards."""
    stamps.remember_late(s, at)
    if s.kind == NORMAL:
        s.level += max(1.0 / (s.samples + 1.0), 1.0 / c.memory_samples) * (x - s.level)
        season.learn(s, at, x)


@kernel
def _first(s: SeriesRecord, c: SettingsRecord, at: int, x: float) -> None:
    incident.forget_tails(s)
    rarity.score(s, at, x)
    s.level = x
    s.last_value = x
    s.first_at = at
    s.last_at = at
    stamps.remember(s, at)
    s.offset = x
    s.samples = 1


@kernel
def _move(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, at: int, x: float, score: float) -> int:
    """No incident is open: learns the sample, or opens one."""
    trigger = incident.due(s, c, m)
    if trigger == NO_TRIGGER:
        reading.learn(s, c, m, at, x)
        s.samples += 1
        flapping.note_state(s, False)
        return NONE
    s.samples += 1
    incident.open_as(s, trigger, m)
    _carry_on(s, m)
    _grade(s, c, m, score)
    flapping.note_state(s, True)
    return OPENED


@kernel
def _follow(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, score: float) -> int:
    """An incident is open: the baseline stands still."""
    s.samples += 1
    _carry_on(s, m)
    change = incident.follow(s, c, m)
    if change == RETURNED:
        incident.close(s, m.residual)
    elif change == ACCEPTED:
        incident.accept(s, m)
    elif _grade(s, c, m, score) and change == NONE:
        change = CHANGED
    return change


@kernel
def _carry_on(s: SeriesRecord, m: ReadingRecord) -> None:
    s.fast += reading.FAST * m.jump
    s.slow = m.slow
    s.activity = m.activity


@kernel
def _grade(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, score: float) -> bool:
    """Severity by the worst seen so far; where incidents recur, by how rare this one is. True if it rose."""
    p = incident.deviation_score(s, m)
    if s.openings >= 2.0:
        p = min(p, max(score, c.enter_score))
    if not p > s.worst:
        return False
    s.worst = p
    before = s.severity
    s.severity = int(p >= c.medium_score) + int(p >= c.high_score) + int(p >= c.critical_score)
    return s.severity > before


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
        """0-1, from the length of the history alone: 6 samples 0.33, 24 0.67, 100 0.89."""
        before = self.state.samples - self.state.age
        return before / (before + TRUST_SAMPLES) if before > 0 else 0.0


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
