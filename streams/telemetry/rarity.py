"""How rare a sample is in the whole life of its series: the score that a threshold is put on between alarms.

Five views of a sample, none with a unit: the rank of its value among all values seen (`values`), and four statistics,
each a distance in its own mean: the step from the sample before, the distance from the local level, fast against slow
level, the distance from the level at this time of day. Each becomes -log10 p by its own past (`tail`); they are
combined as a 2-norm, where step and local level, which see nearly the same, share a weight. Unlike the baseline of
incidents all this learns through incidents too: what recurs every day stops being rare.

A score counts in full only above the decaying peak of those before it: one event, one high score. The interval of the
samples is taken out: of two series the one that is sampled ten times as often has ten times as many rare samples.
"""

from __future__ import annotations

import math

from streams.kit.kernel import kernel
from streams.telemetry import tail, values
from streams.telemetry.record import HOURS, SeriesRecord
from streams.telemetry.tail import DAY, LOCAL, STEP, TREND

RATE = 0.0007
"""Least rate per sample at which the mean of a statistic is learned."""
LOCAL_RATE, TREND_FAST, TREND_SLOW = 0.1, 0.03, 0.002
DAY_RATE = 0.1
"""Least weight of the newest day in a level by time of day."""
DAY_MS = 86_400_000
DAYS_LIMIT = 32_767.0
"""Values are at most 32 bins apart."""
GOLDEN = 0.6180339887498949
PAIR = 0.8
"""Weight of the step and of the local level; two that always agreed would have 0.71."""
PEAK_SAMPLES = 300.0
"""Samples at the reference interval over which a peak decays; fewer, by the root, where samples are further apart."""
REFERENCE_INTERVAL_MS = 300_000.0
UNDER_PEAK = 0.01
"""Weight of a score under the peak: order is kept, nothing reaches a threshold."""
ONE_A_DAY, PER_TENFOLD = 3.0, 2.5
"""An ordinary series has a peak of 3 once a day, and one tenth as often for each 2.5 above it: means over six labelled
sets outside their anomalies (docs/adr/0008), each set within a factor of 3 of it."""
RAREST = 60.0


@kernel
def score(s: SeriesRecord, at: int, x: float) -> float:
    """>= 0; scores `x` against the past, then learns it. `s.last_value` is still the sample before."""
    n = s.samples
    if n == 0:
        s.anchor = x
        s.local_level = x
        s.trend_fast = x
        s.trend_slow = x
        return _time_of_day(s, at, 0.0)
    p = values.learn(s, x)
    total = p * p
    tail.count_sample(s)
    bins = 1.0 / s.value_width if s.value_width > 0.0 else 0.0
    k = 1.0 / (n + 1.0)
    rate = k if k > RATE else RATE
    p = PAIR * tail.learn(s, STEP, abs(x - s.last_value) * bins, max(1.0 / n, RATE))
    total += p * p
    p = PAIR * tail.learn(s, LOCAL, abs(x - s.local_level) * bins, rate)
    total += p * p
    s.local_level += (k if k > LOCAL_RATE else LOCAL_RATE) * (x - s.local_level)
    s.trend_fast += (k if k > TREND_FAST else TREND_FAST) * (x - s.trend_fast)
    p = tail.learn(s, TREND, abs(s.trend_fast - s.trend_slow) * bins, rate)
    total += p * p
    s.trend_slow += (k if k > TREND_SLOW else TREND_SLOW) * (x - s.trend_slow)
    p = _time_of_day(s, at, (x - s.anchor) * bins)
    return _above_peak(s, math.sqrt(total + p * p))


@kernel
def days(score: float) -> float:
    """The score of `score` in days: about how long an ordinary series has no sample that scores as high.

    A threshold of 7 alarms about once a week where nothing is wrong, 0.5 twice a day.
    """
    if score <= 0.0:
        return 0.0
    return float(10.0 ** ((min(score, RAREST) - ONE_A_DAY) / PER_TENFOLD))


@kernel
def _time_of_day(s: SeriesRecord, at: int, y: float) -> float:
    """-log10 p of the distance from the level at this time of day, which then learns it; 0 on the first day."""
    hour = at % DAY_MS * HOURS // DAY_MS
    if not s.days_known >> hour & 1:
        s.days_known |= 1 << hour
        s.days[hour] = _thousandths(y, 0.5)
        return 0.0
    level = s.days[hour] / 1000.0
    recent = min(s.interval_ms * (DAY_RATE * HOURS / DAY_MS), 0.5)
    learned = level + max(1.0 / (2.0 + s.samples / HOURS), recent) * (y - level)
    s.days[hour] = _thousandths(learned, s.samples * GOLDEN % 1.0)
    if at - s.first_at <= DAY_MS:
        return 0.0
    since = max(s.samples - DAY_MS / s.interval_ms, 0.0)
    return tail.learn(s, DAY, abs(y - level), max(1.0 / (1.0 + since), RATE))


@kernel
def _thousandths(y: float, share: float) -> int:
    """Of a bin; rounded up from `share` on, so that steps far below one are learned all the same, on average."""
    return int(min(max(math.floor(1000.0 * y + share), -DAYS_LIMIT), DAYS_LIMIT))


@kernel
def _above_peak(s: SeriesRecord, raw: float) -> float:
    often = REFERENCE_INTERVAL_MS / s.interval_ms
    samples = PEAK_SAMPLES * math.sqrt(often)
    peak = s.peak * (1.0 - 1.0 / samples) if samples > 1.0 else 0.0
    s.peak = raw if raw > peak else peak
    return max(raw - math.log10(often), 0.0) if raw > peak else UNDER_PEAK * raw
