"""One sample measured against the history before it. Nothing here changes the series.

Three statistics, each in mean absolute deviations of its own past: the jump from the level of the last few samples, the
slow mean of residuals (a level that moved), and the activity (mean jump against its usual size).
"""

from __future__ import annotations

import math

from streams.telemetry import baseline, tails
from streams.telemetry.settings import TelemetrySettings
from streams.telemetry.state import SeriesState

FAST, SLOW, ACTIVE = 0.3, 0.06, 0.1
"""EW rates per sample of the local level, the slow residual and the activity."""
CLIP = 4.0
"""A jump counts for at most this many deviations in activity and scale."""
SHORT = 64
"""Up to this many samples a scale is itself uncertain: z is shrunk as Student's t is to the normal (Wallace 1959)."""
STEADY = 1.2
"""Up to this ratio of residual to jump scale the level stands still, and a distance from it counts as a jump does."""
SLOW_FLOOR, ACTIVITY_FLOOR = 0.2, 0.02


class Reading:
    """Scratch values of one sample, in the metric's unit; reused, so that the hot path allocates nothing."""

    __slots__ = (
        "activity",
        "activity_p",
        "activity_z",
        "flat",
        "jump",
        "jump_p",
        "jump_scale",
        "jump_z",
        "level_scale",
        "ratio",
        "residual",
        "season_residual",
        "slow",
        "slow_p",
        "slow_z",
    )

    def __init__(self) -> None:
        self.flat = self.residual = self.jump = self.slow = self.activity = self.ratio = 0.0
        self.jump_scale = self.level_scale = 1.0
        self.jump_z = self.slow_z = self.activity_z = self.jump_p = self.slow_p = self.activity_p = 0.0
        self.season_residual: float | None = None

    def take(self, s: SeriesState, c: TelemetrySettings, at: int, x: float, season_ms: float) -> None:
        """Needs at least one sample of history."""
        self.flat = x - s.level
        known = baseline.seasonal_level(s, at, season_ms) if at - s.first_at > season_ms else None
        self.season_residual = None if known is None else x - known - s.offset
        self.residual = self.season_residual if s.seasonal and self.season_residual is not None else self.flat
        floor = baseline.floor_of(s, c.scale_floor)
        self.jump = self.residual - s.fast
        self.jump_scale = s.jump_scale if s.jump_scale > floor else floor
        self.level_scale = s.level_scale if s.level_scale > floor else floor
        self._standardise(s, floor)
        if s.samples < SHORT:
            self._shrink(s.samples - 1.0 if s.samples > 2 else 1.0)
        self.jump_p = tails.score(self.jump_z, s.jump_q, s.jump_e)
        self.slow_p = tails.score(self.slow_z, s.slow_q, s.slow_e)
        self.activity_p = tails.score(self.activity_z, s.activity_q, s.activity_e)

    def _standardise(self, s: SeriesState, floor: float) -> None:
        size, scale = abs(self.jump), self.jump_scale
        self.jump_z = size / scale
        if self.level_scale < STEADY * scale:
            away = abs(self.residual) / self.level_scale
            if away > self.jump_z:
                self.jump_z = away
        self.slow = s.slow + SLOW * (self.residual - s.slow)
        slow_floor = SLOW_FLOOR * floor
        self.slow_z = abs(self.slow) / (s.slow_scale if s.slow_scale > slow_floor else slow_floor)
        clipped = size if size < CLIP * scale else CLIP * scale
        self.activity = s.activity + ACTIVE * (clipped - s.activity)
        self.ratio = self.activity / scale - 1.0
        self.activity_z = self.ratio / (s.activity_scale if s.activity_scale > ACTIVITY_FLOOR else ACTIVITY_FLOOR)

    def _shrink(self, freedom: float) -> None:
        self.jump_z = math.sqrt(freedom * math.log1p(self.jump_z * self.jump_z / freedom))
        self.slow_z = math.sqrt(freedom * math.log1p(self.slow_z * self.slow_z / freedom))


def learn(s: SeriesState, c: TelemetrySettings, m: Reading, at: int, x: float, season_ms: float) -> None:
    """A normal sample becomes part of what is normal; slowly while the level looks as if it were moving."""
    n = s.samples
    memory = 1.0 / c.memory_samples
    if m.slow_p > tails.AT_QUANTILE or m.activity_p > tails.AT_QUANTILE:
        memory *= HOLD
    rate = max(1.0 / (n + 1.0), memory)
    s.level += rate * m.flat
    s.flat_error += rate * (abs(m.flat) - s.flat_error)
    s.fast += FAST * m.jump
    if m.season_residual is not None:
        baseline.judge_season(s, m.flat, m.season_residual, memory)
    baseline.learn_season(s, at, x, season_ms)
    step = abs(x - s.last_value)
    if step > SAME * abs(x):
        s.change += (STEP_RATE if s.change > 0.0 else 1.0) * (step - s.change)
    _learn_scales(s, m, max(1.0 / n, memory))
    if n > 20:
        s.jump_q, s.jump_e = tails.learned(m.jump_z, s.jump_q, s.jump_e, n)
        s.slow_q, s.slow_e = tails.learned(m.slow_z, s.slow_q, s.slow_e, n, SLOW_PACE)
        s.activity_q, s.activity_e = tails.learned(m.activity_z, s.activity_q, s.activity_e, n, SLOW_PACE)


def _learn_scales(s: SeriesState, m: Reading, rate: float) -> None:
    n = s.samples
    size = abs(m.jump)
    if n > 10 and size > CLIP * m.jump_scale:
        size = CLIP * m.jump_scale
    s.jump_scale += rate * (size - s.jump_scale)
    s.level_scale += rate * (abs(m.residual) - s.level_scale)
    s.slow = m.slow
    size = abs(m.slow)
    if n > SHORT and size > SLOW_CLIP * s.slow_scale:
        size = SLOW_CLIP * s.slow_scale
    s.slow_scale += rate * (size - s.slow_scale)
    s.activity = m.activity if n > 10 else s.jump_scale
    s.activity_scale += rate * (abs(m.ratio) - s.activity_scale)


HOLD = 0.2
"""Share of the usual learning rate while the slow residual is above its 98 % quantile: no drift teaches itself."""
SLOW_CLIP = 3.0
SLOW_PACE = 0.1
"""Successive slow residuals are nearly one observation; their tail learns at a tenth of the pace."""
SAME = 1e-9
STEP_RATE = 0.05
