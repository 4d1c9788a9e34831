"""The season: the level by phase of a period, and whether it predicts better than the level alone.

Both predictors run side by side and are judged on the sample before they learn it; the season takes over when its mean
absolute error is clearly the smaller (enter 0.8, leave 1.0 of the other), and smaller than that of the same season half
a period away: a level that wanders is followed by anything that learns. The period is `season_s` of the settings at
first and what `period` finds later; one that does not prove itself in three periods is given up again.
"""

from __future__ import annotations

import math

import numpy as np

from streams.kit.kernel import kernel
from streams.telemetry import period, tails
from streams.telemetry.record import BUCKETS, SeriesRecord
from streams.telemetry.scratch import ReadingRecord, SettingsRecord

MIN_SEASON_SAMPLES = 40
SEASON_ENTER, SEASON_LEAVE = 0.8, 1.0
SEASON_RATE = 0.3
"""Weight of the newest season in a bucket."""
LEAST_BUCKETS = 4
SAME_PERIOD = 0.08
MOST_TIMES, TELLING_TIMES = 12, 4
"""Multiples of a period up to which it is the same; from which the multiple may have a shape of its own (a week)."""
FINER = 0.7
OTHER_SPAN = 1.4
TRIAL_PERIODS, TRIAL_SAMPLES = 3, 120
BETTER = 1.2
"""By how much another period must explain more variance than the season in use does."""
ABSOLUTE = 0.64
"""(mean |z|)^2 of a Gaussian of variance 1."""
FOLDED_VISITS = 3


@kernel
def start(s: SeriesRecord, period_ms: int, at: int) -> None:
    """An empty season, on trial. At most a bucket for each sample of a period, so that each is visited every time."""
    s.season_ms = period_ms
    s.season_at = at - at % period_ms
    s.other_error = 0.0
    s.doubt = 0
    s.season_samples = 0
    s.buckets = int(min(float(BUCKETS), period_ms / max(s.interval_ms, 1.0)))
    for j in range(BUCKETS):
        s.visits[j] = 0
        s.season[j] = 0.0


@kernel
def expected(s: SeriesRecord, at: int) -> float:
    """Interpolated level at this time of the season; nan where the season is not known yet."""
    if s.buckets < LEAST_BUCKETS or at - s.first_at <= s.season_ms:
        return math.nan
    return _at_phase(s, ((at - s.season_at) % s.season_ms) / s.season_ms)


@kernel
def _at_phase(s: SeriesRecord, phase: float) -> float:
    h = phase * s.buckets - 0.5
    j = int(h + 1.0) - 1
    after = j + 1 if j + 1 < s.buckets else 0
    before = j if j >= 0 else s.buckets - 1
    if s.visits[before] == 0 or s.visits[after] == 0:
        return math.nan
    low = float(s.season[before])
    return low + (h - j) * (float(s.season[after]) - low) + s.offset


@kernel
def learn(s: SeriesRecord, at: int, x: float) -> None:
    """Bucket mean: a plain mean at first, later the newest season weighs SEASON_RATE."""
    if s.buckets < LEAST_BUCKETS:
        return
    j = int(((at - s.season_at) % s.season_ms) / s.season_ms * s.buckets)
    visits = s.visits[j]
    rate = SEASON_RATE * s.interval_ms / s.season_ms * s.buckets
    plain = 1.0 / (visits + 1.0)
    if rate > 0.5:
        rate = 0.5
    s.season[j] += (plain if plain > rate else rate) * (x - s.offset - s.season[j])
    if visits < 255:
        s.visits[j] = visits + 1


@kernel
def judge(s: SeriesRecord, c: SettingsRecord, at: int, flat: float, seasonal: float, rate: float) -> None:
    """Which predictor does better? Switching re-anchors what is measured against it."""
    s.season_samples += 1
    plain = 1.0 / s.season_samples
    k = plain if plain > rate else rate
    if s.season_samples == 1:
        s.season_error = s.flat_error
    s.season_error += k * (abs(seasonal) - s.season_error)
    other = _at_phase(s, (((at - s.season_at) % s.season_ms) / s.season_ms + 0.5) % 1.0)
    if not math.isnan(other):
        s.other_error += k * (abs(seasonal + expected(s, at) - other) - s.other_error)
    s.offset += rate * seasonal
    if s.season_samples < MIN_SEASON_SAMPLES:
        return
    ratio = s.season_error / s.flat_error if s.flat_error > 0.0 else 1.0
    if not s.seasonal and ratio < SEASON_ENTER and s.season_error < SEASON_ENTER * s.other_error:
        _switch(s, 1, seasonal, s.season_error, ratio)
    elif s.seasonal and ratio > SEASON_LEAVE:
        leave(s, flat)
    elif not s.seasonal and s.season_ms != c.season_ms:
        trial = max(TRIAL_PERIODS * s.season_ms / max(s.interval_ms, 1.0), TRIAL_SAMPLES)
        if s.season_samples > trial:
            start(s, c.season_ms, at)


@kernel
def leave(s: SeriesRecord, flat: float) -> None:
    """The level predicts again; `flat` is the distance from it. A period is searched anew, from the finest steps on."""
    _switch(s, 0, flat, s.flat_error, s.season_error / s.flat_error if s.flat_error > 0.0 else 1.0)
    s.step_ms = 0


@kernel
def _switch(s: SeriesRecord, seasonal: int, residual: float, error: float, ratio: float) -> None:
    s.seasonal = seasonal
    s.fast = residual
    s.slow = 0.0
    s.level_scale = error
    s.slow_scale *= ratio
    s.slow_q = tails.PRIOR_Q
    s.slow_e = tails.PRIOR_E


@kernel
def search(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, at: int, x: float) -> None:
    """Tries a period that the history shows, if it is another and promises more than the season in use."""
    if not period.note(s, m, at, x) or (s.season_ms > 0 and _refined(s, c, m, at)):
        return
    flat, seasonal = 1.0 * s.flat_error, 1.0 * s.season_error  # in double precision: their squares may be as large
    gained = (flat * flat - seasonal * seasonal) / ABSOLUTE
    if s.seasonal and m.explained < BETTER * gained:
        return
    if not _confirmed(s, m):
        return
    if s.seasonal:
        _switch(s, 0, x - s.level, s.flat_error, s.flat_error / s.season_error if s.season_error > 0.0 else 1.0)
    start(s, int(m.period_ms), at)
    s.doubt = _doubt(m)
    _fold(s)


@kernel
def _confirmed(s: SeriesRecord, m: ReadingRecord) -> bool:
    """Has another history shown this period too? Chance shows one now and then, but not the same again."""
    span = float(s.steps * s.step_ms)
    same = abs(m.period_ms - s.candidate_ms) < SAME_PERIOD * m.period_ms
    other = span > OTHER_SPAN * s.candidate_span_ms or span < s.candidate_span_ms
    if same and other:
        return True
    if not same:
        s.candidate_ms = m.period_ms
        s.candidate_span_ms = span
    return False


@kernel
def _doubt(m: ReadingRecord) -> int:
    return int(min(10_000.0 * m.error_ms / m.period_ms, 10_000.0))


@kernel
def _refined(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, at: int) -> bool:
    """Is the period found the one in use, or a multiple of it? Then at most that one becomes more exact."""
    times = max(int(np.rint(m.period_ms / s.season_ms)), 1)
    exact = m.period_ms / times
    if abs(exact - s.season_ms) > SAME_PERIOD * s.season_ms or times > MOST_TIMES:
        return False
    doubt = _doubt(m)
    if doubt >= FINER * s.doubt or (times > 1 and doubt == 0):  # an hour is not four times a quarter that was 14 min
        return times < TELLING_TIMES or (not s.seasonal and s.season_ms != c.season_ms)
    s.doubt = doubt
    phase = ((at - s.season_at) % s.season_ms) / s.season_ms
    s.season_ms = int(exact)
    s.season_at = at - int(phase * exact)
    return True


@kernel
def _fold(s: SeriesRecord) -> None:
    """The buckets as the history has them: means weighted by nearness of the phase, no wider than a step or bucket."""
    width = max(1.0 / s.buckets, s.step_ms / s.season_ms) if s.buckets > 0 else 1.0
    begun = s.step_at - s.steps * s.step_ms
    for j in range(s.buckets):
        total = weight = 0.0
        for i in range(s.steps):
            phase = ((begun + i * s.step_ms + s.step_ms // 2 - s.season_at) % s.season_ms) / s.season_ms
            away = abs(phase - (j + 0.5) / s.buckets)
            near = 1.0 - min(away, 1.0 - away) / width
            if near > 0.0 and s.history[i] != period.MISSING:
                total += near * s.history[i]
                weight += near
        if weight > 0.0:
            s.season[j] = s.step_anchor - s.offset + total / weight * s.quantum
            s.visits[j] = FOLDED_VISITS
