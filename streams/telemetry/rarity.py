"""How rare a sample is in the whole life of its series: the score that a threshold is put on between alarms.

Five statistics, each divided by its own EW mean, so dimensionless: distance from the long level, step from the sample
before, fast against slow level, fast against slow pace of change, residual by time of day. Each becomes -log10 p by
an exponential tail over its own past (`tails`), and they are combined as a 2-norm. Unlike the baseline of incidents it
learns through incidents too: what recurs every day stops being rare. A score counts in full only if it is above the
decaying peak of those before it: one event, one high score.
"""

from __future__ import annotations

import math

from streams.kit.kernel import kernel
from streams.telemetry import tails
from streams.telemetry.record import SeriesRecord

WARM_SAMPLES = 50
FAR_RATE, TREND_FAST, TREND_SLOW, PACE_FAST, RATE = 0.0005, 0.03, 0.002, 0.03, 0.001
TAIL_RATE = 0.003
SETTLED_SAMPLES = 1_000
SETTLED_EXCESS_RATE = TAIL_RATE / (1.0 - tails.SHARE) * 0.5
LARGEST_Z = 1e9
PEAK_DECAY = 1.0 - 1.0 / 250.0
UNDER_PEAK = 0.01
"""Weight of a score under the peak: order is kept, nothing reaches a threshold."""


@kernel
def _tail(z: float, q: float, e: float, ready: bool, step: float, rate: float) -> tuple[float, float, float]:
    """-log10 p of z (0 until `ready`), and the tail that has learned it."""
    p = 0.0
    if z > LARGEST_Z:
        z = LARGEST_Z
    if z > q:
        if ready and e > 0.0:
            p = tails.AT_QUANTILE + (z - q) / e * tails.LOG10_E
            if p > tails.LARGEST:
                p = tails.LARGEST
        q += step * tails.SHARE
    else:
        q -= step * (1.0 - tails.SHARE)
        if q < 0.0:
            q = 0.0
    if z > q:
        e += rate * (z - q - e)
    return p, q, e


@kernel
def _paces(n: int) -> tuple[bool, float, float]:
    """Is there history enough; learning steps of the quantile and of the mean excess after `n` samples."""
    if n > SETTLED_SAMPLES:
        return True, 3.0 * TAIL_RATE, SETTLED_EXCESS_RATE
    step = max((n + 1.0) ** -0.7, 3.0 * TAIL_RATE)
    return n > WARM_SAMPLES, step, max(1.0 / (1.0 + (1.0 - tails.SHARE) * n), SETTLED_EXCESS_RATE)


@kernel
def score(s: SeriesRecord, x: float, season_residual: float) -> float:
    """>= 0; scores `x` against the past, then learns it. `s.last_value` is still the sample before; nan = no season."""
    n = s.samples
    if n == 0:
        s.far_level = x
        s.trend_fast = x
        s.trend_slow = x
        return 0.0
    k = 1.0 / (n + 1.0)
    kr = k if k > RATE else RATE
    ready, step, rate = _paces(n)
    d = abs(x - s.far_level)
    p, s.far_q, s.far_e = _tail(d / s.far_scale if s.far_scale > 0.0 else 0.0, s.far_q, s.far_e, ready, step, rate)
    total = p * p
    kf = k if k > FAR_RATE else FAR_RATE
    s.far_level += kf * (x - s.far_level)
    s.far_scale += kf * (d - s.far_scale)
    total += _steps(s, abs(x - s.last_value), n, ready, step, rate)
    s.trend_fast += (k if k > TREND_FAST else TREND_FAST) * (x - s.trend_fast)
    d = abs(s.trend_fast - s.trend_slow)
    p, s.trend_q, s.trend_e = _tail(
        d / s.trend_scale if s.trend_scale > 0.0 else 0.0, s.trend_q, s.trend_e, ready, step, rate
    )
    total += p * p
    s.trend_slow += (k if k > TREND_SLOW else TREND_SLOW) * (x - s.trend_slow)
    s.trend_scale += kr * (d - s.trend_scale)
    if s.season_error > 0.0 and not math.isnan(season_residual):
        p, s.season_q, s.season_e = _tail(
            abs(season_residual) / s.season_error, s.season_q, s.season_e, ready, step, rate
        )
        total += p * p
    return _above_peak(s, math.sqrt(total))


@kernel
def _steps(s: SeriesRecord, d: float, n: int, ready: bool, step: float, rate: float) -> float:
    """Squares of the scores of the step itself and of the pace of steps."""
    scale = s.step_scale
    p, s.step_q, s.step_e = _tail(d / scale if scale > 0.0 else 0.0, s.step_q, s.step_e, ready, step, rate)
    total = p * p
    k = 1.0 / n
    s.pace += (k if k > PACE_FAST else PACE_FAST) * (d - s.pace)
    z = abs(math.log((s.pace + 1e-3 * scale) / (scale * 1.001))) if scale > 0.0 and n > 30 else 0.0
    p, s.pace_q, s.pace_e = _tail(z, s.pace_q, s.pace_e, ready, step, rate)
    s.step_scale += (k if k > RATE else RATE) * (d - scale)
    return total + p * p


@kernel
def _above_peak(s: SeriesRecord, raw: float) -> float:
    peak = s.peak * PEAK_DECAY
    s.peak = raw if raw > peak else peak
    return raw if raw > peak else UNDER_PEAK * raw
