"""The detector of one series: pure, O(1) state and work per sample. The layer and `maestro detect` both use it."""

from __future__ import annotations

import math
from typing import NamedTuple

from schemas.records import AnomalyKind, Severity
from streams.telemetry import baseline, incident, rarity, reading
from streams.telemetry.incident import ACCEPTED, CHANGED, NONE, OPENED, RETURNED
from streams.telemetry.settings import TelemetrySettings
from streams.telemetry.state import NORMAL, QUANTUM, RING, STAMPS, SeriesState

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
RING_LIMIT = 32_000
TRUST_SAMPLES = 12.0


class Score(NamedTuple):
    """`score` >= 0 is for a threshold; `kind` and `severity` are of the open incident; `alarm` = it opens now."""

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
        self.reading = reading.Reading()
        self._season_ms = self.settings.season_s * 1000.0

    def step(self, at_ms: int, value: float) -> Score:
        """A value that is nan, infinite, beyond 1e30 or not newer than the last scores 0 and changes nothing."""
        if not usable(value) or (self.state.samples and at_ms <= self.state.last_at):
            return NO_SCORE
        score, change = self.observe(at_ms, value)
        s = self.state
        if s.kind == NORMAL:
            return Score(score, None, None, False)
        return Score(score, KINDS[s.kind], SEVERITIES[s.severity], change == OPENED)

    def observe(self, at: int, x: float) -> tuple[float, int]:
        """A usable value with `at` after the last: its rarity, and what it did to the incident (`incident.NONE`...)."""
        s = self.state
        if s.samples == 0:
            self._first(at, x)
            return 0.0, NONE
        gap = at - s.last_at
        n = s.samples
        if n < 10:
            s.interval_ms += (gap - s.interval_ms) / n
        else:
            s.interval_ms += 0.1 * (min(gap, 3.0 * s.interval_ms) - s.interval_ms)
        s.last_at = at
        stamps = s.stamps
        stamps.append(at)
        if len(stamps) > STAMPS:
            del stamps[0]
        m = self.reading
        m.take(s, self.settings, at, x, self._season_ms)
        score = rarity.score(s, x, m.season_residual)
        change = self._move(at, x, score)
        s.last_value = x
        return score, change

    def absorb_late(self, at: int, x: float) -> None:
        """A sample older than the newest, within the grace: the level and season learn it, nothing alerts backwards."""
        s = self.state
        s.stamps.append(at)
        s.stamps.sort()
        if len(s.stamps) > STAMPS:
            del s.stamps[0]
        if s.kind == NORMAL:
            s.level += max(1.0 / (s.samples + 1.0), 1.0 / self.settings.memory_samples) * (x - s.level)
            baseline.learn_season(s, at, x, self._season_ms)

    def confidence(self) -> float:
        """0-1, from the length of the history alone: 6 samples 0.33, 24 0.67, 100 0.89."""
        before = self.state.samples - self.state.age
        return before / (before + TRUST_SAMPLES) if before > 0 else 0.0

    def _first(self, at: int, x: float) -> None:
        s = self.state
        rarity.score(s, x, None)
        s.level = s.last_value = x
        s.first_at = s.last_at = at
        s.stamps.append(at)
        baseline.learn_season(s, at, x, self._season_ms)
        s.samples = 1

    def _move(self, at: int, x: float, score: float) -> int:
        s, c, m = self.state, self.settings, self.reading
        v = m.residual / (m.level_scale * QUANTUM)
        s.ring[s.samples % RING] = RING_LIMIT if v > RING_LIMIT else -RING_LIMIT if v < -RING_LIMIT else round(v)
        if s.kind != NORMAL:
            return self._follow(score)
        trigger = incident.due(s, c, m)
        if trigger is None:
            reading.learn(s, c, m, at, x, self._season_ms)
            s.samples += 1
            s.state_bits = s.state_bits << 1 & incident.HISTORY_MASK
            return NONE
        s.samples += 1
        incident.open_as(s, trigger, m)
        s.fast += reading.FAST * m.jump
        s.slow, s.activity = m.slow, m.activity
        self._grade(score)
        incident.note_state(s, c)
        return OPENED

    def _follow(self, score: float) -> int:
        s, c, m = self.state, self.settings, self.reading
        s.samples += 1
        s.fast += reading.FAST * m.jump
        s.slow, s.activity = m.slow, m.activity
        change = incident.follow(s, c, m)
        if change == RETURNED:
            incident.close(s, m.residual)
        elif change == ACCEPTED:
            incident.accept(s)
        elif self._grade(score) and change == NONE:
            change = CHANGED
        return change

    def _grade(self, score: float) -> bool:
        """Severity by the worst seen so far; where incidents recur, by how rare this one is. True if it rose."""
        s, c = self.state, self.settings
        p = incident.deviation_score(s, self.reading)
        if s.openings >= 2.0:
            p = min(p, max(score, c.enter_score))
        if not p > s.worst:
            return False
        s.worst = p
        severity = (p >= c.medium_score) + (p >= c.high_score) + (p >= c.critical_score)
        rose = severity > s.severity
        s.severity = severity
        return rose


def usable(x: float) -> bool:
    return math.isfinite(x) and abs(x) <= LARGEST_VALUE


class AnomalyDetector(Detector):
    """The seed's name for the detector that the layer points at one series after another (`state`)."""
