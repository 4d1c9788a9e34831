"""What a series should read now: a slowly forgetting level, or a level by time of day where that predicts better.

Both predictors run side by side and are judged on the sample before they learn it; the season takes over when its mean
absolute error is clearly the smaller (enter 0.8, leave 1.0 of the other). Scales are EW mean absolute deviations, never
sums of squares, and have a floor from the size of the series' own steps, so that a constant or coarse series is not
measured against zero.
"""

from __future__ import annotations

import math

from streams.kit.kernel import kernel
from streams.telemetry import tails
from streams.telemetry.record import BUCKETS, SeriesRecord, SettingsRecord

MIN_SEASON_SAMPLES = 40
SEASON_ENTER, SEASON_LEAVE = 0.8, 1.0
SEASON_RATE = 0.3
"""Weight of the newest day in a bucket."""
CONSTANT_FLOOR = 0.005
"""Share of the value that counts as one deviation while a series has never changed: no other scale is known."""
STEP_FLOOR = 0.5
TINY = 1e-100
FAST = 0.3
"""EW rate per sample of the local level, which a jump is measured from."""
WHITE = 2.0 / (2.0 - FAST)
"""Variance of a jump over that of the residual for white noise."""


@kernel
def seasonal_level(s: SeriesRecord, c: SettingsRecord, at: int) -> float:
    """Interpolated level at this time of the season, without the offset; nan where the season is not known yet."""
    h = (at % c.season_ms) / c.season_ms * BUCKETS - 0.5
    j = int(h + 1.0) - 1
    after = j + 1 if j + 1 < BUCKETS else 0
    before = j if j >= 0 else BUCKETS - 1
    if s.visits[before] == 0 or s.visits[after] == 0:
        return math.nan
    low = s.season[before]
    return float(low + (h - j) * (s.season[after] - low))


@kernel
def persistence(s: SeriesRecord) -> float:
    """Lag-1 autocorrelation of the residuals as an AR(1), 0-0.95, from how much of them a jump is.

    A jump is measured from an EW mean with rate a = 0.3, so J = (jump / residual scale)^2 of an AR(1) with phi is
    (2 / (2 - a)) (1 - phi) / (1 - (1 - a) phi).
    """
    if s.level_scale <= 0.0:
        return 0.0
    share = (s.jump_scale / s.level_scale) ** 2
    if share >= WHITE:
        return 0.0
    return min((WHITE - share) / (WHITE - (1.0 - FAST) * share), 0.95)


@kernel
def floor_of(s: SeriesRecord, scale_floor: float) -> float:
    """Least scale that a deviation is measured against; > 0."""
    floor = STEP_FLOOR * s.change if s.change > 0.0 else CONSTANT_FLOOR * abs(s.level)
    if floor < scale_floor:
        floor = scale_floor
    return floor if floor > TINY else TINY


@kernel
def learn_season(s: SeriesRecord, c: SettingsRecord, at: int, x: float) -> None:
    """Bucket mean: a plain mean at first, later the newest season weighs SEASON_RATE."""
    j = int((at % c.season_ms) / c.season_ms * BUCKETS)
    visits = s.visits[j]
    rate = SEASON_RATE * s.interval_ms * BUCKETS / c.season_ms
    plain = 1.0 / (visits + 1.0)
    if rate > 0.5:
        rate = 0.5
    s.season[j] += (plain if plain > rate else rate) * (x - s.offset - s.season[j])
    if visits < 255:
        s.visits[j] = visits + 1


@kernel
def judge_season(s: SeriesRecord, flat: float, seasonal: float, rate: float) -> None:
    """Which predictor does better? Switching re-anchors what is measured against it."""
    s.season_samples += 1
    plain = 1.0 / s.season_samples
    k = plain if plain > rate else rate
    if s.season_samples == 1:
        s.season_error = s.flat_error
    s.season_error += k * (abs(seasonal) - s.season_error)
    s.offset += rate * seasonal
    if s.season_samples < MIN_SEASON_SAMPLES:
        return
    ratio = s.season_error / s.flat_error if s.flat_error > 0.0 else 1.0
    if not s.seasonal and ratio < SEASON_ENTER:
        _switch(s, 1, seasonal, s.season_error, ratio)
    elif s.seasonal and ratio > SEASON_LEAVE:
        _switch(s, 0, flat, s.flat_error, ratio)


@kernel
def _switch(s: SeriesRecord, seasonal: int, residual: float, error: float, ratio: float) -> None:
    s.seasonal = seasonal
    s.fast = residual
    s.slow = 0.0
    s.level_scale = error
    s.slow_scale *= ratio
    s.slow_q = tails.PRIOR_Q
    s.slow_e = tails.PRIOR_E
