"""One sample measured against the history before it. Nothing here changes the series.

Three statistics, each in mean absolute deviations of its own past: the jump from the level of the last few samples (of
one sample, or the smaller of two in a row to one side, which noise with heavy tails seldom has), the
slow mean of residuals (a level that moved), and the activity (mean jump against its usual size).
"""

from __future__ import annotations

import math

from streams.kit.kernel import kernel
from streams.telemetry import baseline, season, tails
from streams.telemetry.record import QUANTUM, RING, SeriesRecord
from streams.telemetry.scratch import ReadingRecord, SettingsRecord

FAST = baseline.FAST
PAIR_LESS = 0.5
"""Taken off the score of a pair: its tail is lent from single jumps, and it is one test more a sample."""
SLOW, ACTIVE = 0.06, 0.1
"""EW rates per sample of the slow residual and the activity."""
CLIP = 4.0
"""A jump counts for at most this many deviations in activity and scale."""
SHORT = 64
"""Up to this many samples a scale is itself uncertain: z is shrunk as Student's t is to the normal (Wallace 1959)."""
STEADY = 1.2
"""Up to this ratio of residual to jump scale the level stands still, and a distance from it counts as a jump does."""
SLOW_FLOOR, ACTIVITY_FLOOR = 0.2, 0.02
HOLD = 0.2
"""Share of the usual learning rate while the slow residual is above its 98 % quantile: no drift teaches itself."""
SLOW_CLIP = 3.0
SLOW_REACH = 5.0
"""A residual counts for at most this many deviations in the slow mean: a single outlier is no level."""
SLOW_PACE = 0.1
"""Successive slow residuals are nearly one observation; their tail learns at a tenth of the pace."""
SAME = 1e-9
STEP_RATE, STEP_CLIP = 0.05, 4.0
"""A step counts for at most this many usual ones in the floor: the first swings of an oscillation must not hide it."""


@kernel
def take(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, at: int, x: float) -> None:
    """Needs at least one sample of history."""
    m.flat = x - s.level
    m.season_residual = x - season.expected(s, at)
    seasonal = s.seasonal and not math.isnan(m.season_residual)
    m.residual = m.season_residual if seasonal else m.flat
    floor = baseline.floor_of(s, m.least)
    m.jump = m.residual - s.fast
    m.jump_scale = s.jump_scale if s.jump_scale > floor else floor
    m.level_scale = s.level_scale if s.level_scale > floor else floor
    _standardise(s, m, floor)
    if s.samples < SHORT:
        freedom = s.samples - 1.0 if s.samples > 2 else 1.0
        m.jump_z = _shrunk(m.jump_z, freedom)
        m.slow_z = _shrunk(m.slow_z, freedom)
        m.pair_z = _shrunk(m.pair_z, freedom)
    m.jump_p = tails.sided_score(m.jump_z, s.jump_q, s.jump_e, m.jump_side > 0.0, s.lean)
    pair_p = tails.shaped_score(m.pair_z, s.pair_q, s.jump_e * s.pair_q / s.jump_q) - PAIR_LESS
    if pair_p > m.jump_p:
        m.jump_p = pair_p
    m.slow_p = tails.score(m.slow_z, s.slow_q, s.slow_e)
    m.activity_p = tails.score(m.activity_z, s.activity_q, s.activity_e)


@kernel
def _standardise(s: SeriesRecord, m: ReadingRecord, floor: float) -> None:
    size, scale = abs(m.jump), m.jump_scale
    m.jump_z = size / scale
    m.jump_side = m.jump
    if m.level_scale < STEADY * scale:
        away = abs(m.residual) / m.level_scale
        if away > m.jump_z:
            m.jump_z = away
            m.jump_side = m.residual
    m.pair_z = _pair(s, m, scale)
    far = SLOW_REACH * m.level_scale if s.change > 0.0 else math.inf
    away = m.residual - s.slow
    m.slow = s.slow + SLOW * min(max(away, -far), far)
    slow_floor = SLOW_FLOOR * floor
    m.slow_z = abs(m.slow) / (s.slow_scale if s.slow_scale > slow_floor else slow_floor)
    clipped = size if size < CLIP * scale else CLIP * scale
    m.activity = s.activity + ACTIVE * (clipped - s.activity)
    # Until the first step the scale is a share of the value: learning from it would bring in the offset.
    m.ratio = m.activity / scale - 1.0 if s.change > 0.0 else -1.0
    m.activity_z = m.ratio / (s.activity_scale if s.activity_scale > ACTIVITY_FLOOR else ACTIVITY_FLOOR)


@kernel
def _pair(s: SeriesRecord, m: ReadingRecord, scale: float) -> float:
    """The smaller of the last two distances from the local level before both, in its deviations; 0 if they are on two
    sides of it. As for a jump the distance from a level that stands still counts too."""
    last: float = s.ring[(s.samples - 1) % RING] * QUANTUM * m.level_scale
    before = (s.fast - FAST * last) / (1.0 - FAST)
    one, two = last - before, m.residual - before
    z = min(abs(one), abs(two)) / scale if one * two > 0.0 else 0.0
    if m.level_scale < STEADY * scale and last * m.residual > 0.0:
        away = min(abs(last), abs(m.residual)) / m.level_scale
        if away > z:
            return away
    return z


@kernel
def _shrunk(z: float, freedom: float) -> float:
    return math.sqrt(freedom * math.log1p(z * z / freedom))


@kernel
def learn(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, at: int, x: float) -> None:
    """A normal sample becomes part of what is normal; slowly while the level looks as if it were moving."""
    n = s.samples
    pace = HOLD if m.slow_p > tails.AT_QUANTILE or m.activity_p > tails.AT_QUANTILE else 1.0
    memory = pace / c.memory_samples
    rate = max(1.0 / (n + 1.0), memory)
    s.level += rate * m.flat
    s.flat_error += rate * (abs(m.flat) - s.flat_error)
    s.fast += FAST * m.jump
    if not math.isnan(m.season_residual):
        season.judge(s, c, at, m.flat, m.season_residual, memory)
    season.learn(s, at, x)
    step = abs(x - s.last_value)
    if step > SAME * abs(x):
        if s.change <= 0.0:
            s.jump_e = tails.PRIOR_JUMP_E
        s.change += pace * STEP_RATE * (min(step, STEP_CLIP * s.change) - s.change) if s.change > 0.0 else step
    _learn_scales(s, m, max(1.0 / n, memory))
    if n > 20:
        if m.jump_z > s.jump_q:
            s.lean = tails.leaned(s.lean, m.jump_side > 0.0)
        s.jump_q, s.jump_e = tails.learned(m.jump_z, s.jump_q, s.jump_e, n, pace)
        s.pair_q, _ = tails.learned(m.pair_z, s.pair_q, s.jump_e, n, pace)
        s.slow_q, s.slow_e = tails.learned(m.slow_z, s.slow_q, s.slow_e, n, SLOW_PACE)
        s.activity_q, s.activity_e = tails.learned(m.activity_z, s.activity_q, s.activity_e, n, SLOW_PACE)


@kernel
def _learn_scales(s: SeriesRecord, m: ReadingRecord, rate: float) -> None:
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
