"""The period of a series, found from its own past: autocorrelation of a small history at ever coarser steps.

The history holds the means of 44 equal steps of time, at first as long as the sampling interval. Each time it is full,
two steps become one and the search goes on over twice the span, up to some weeks; then it starts again. So a period
between four samples and a week and a half is seen at some step as 4 to 22 steps, twice at least, for 44 bytes a series.
A period that is found here is on trial: `season` takes it only if it predicts better than the level.
"""

from __future__ import annotations

import math

import numpy as np

from streams.kit.kernel import kernel
from streams.telemetry.record import STEPS, SeriesRecord
from streams.telemetry.scratch import ReadingRecord
from streams.telemetry.state import NORMAL

BEGIN_SAMPLES = 10
"""Samples from which the sampling interval is known."""
MISSING = -128
LIMIT = 120.0
FINENESS = 1.0 / 16.0
"""Quantum of the history in mean absolute deviations of the series, as known when the search begins."""
LEAST_STEPS, EVERY_STEPS, LEAST_LAG = 28, 4, 4
LONGEST_MS = 7.5 * 86_400_000.0
LEAST_QUANTUM = 1e-37
"""A single float holds it."""
KNOWN_SHARE = 0.75
"""Of the steps, that must have a sample."""
STRONG, SWING = 0.6, 0.5
"""Autocorrelation of a period, and its height over the lowest before it: what merely persists has no such valley."""
AS_GOOD = 0.15
CLIP = 4.0
LAG_ERROR, SNAP_STEPS, SNAP_SHARE = 0.3, 0.6, 0.03
"""Error of the place of a peak, in steps; a period that close to one of clocks and calendars is taken to be that."""
MINUTE, HOUR = 60_000.0, 3_600_000.0
NATURAL_MS = (
    MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 20 * MINUTE, 30 * MINUTE,
    HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR, 6 * HOUR, 8 * HOUR, 12 * HOUR, 24 * HOUR, 168 * HOUR,
)  # fmt: skip


@kernel
def note(s: SeriesRecord, m: ReadingRecord, at: int, x: float) -> bool:
    """Adds a sample to the history. True if that showed a period: `m.period_ms`, `m.explained`."""
    if s.step_ms == 0:
        if s.samples >= BEGIN_SAMPLES and s.flat_error > 0.0:
            begin(s, at)
        return False
    if at < s.step_at + s.step_ms:
        s.step_sum += x - s.step_anchor
        s.step_count += 1
        return False
    return _close_step(s, m, at, x)


@kernel
def begin(s: SeriesRecord, at: int) -> None:
    """An empty history of the finest steps; none where samples are days apart."""
    s.step_ms = 0
    if s.interval_ms * LEAST_LAG > LONGEST_MS:
        return
    s.step_ms = max(int(s.interval_ms), 1)
    s.step_at = at
    s.step_sum = 0.0
    s.step_count = 0
    s.steps = 0
    s.step_anchor = s.level
    s.quantum = max(s.flat_error * FINENESS, LEAST_QUANTUM)


@kernel
def _close_step(s: SeriesRecord, m: ReadingRecord, at: int, x: float) -> bool:
    if at - s.step_at > s.step_ms * (STEPS // 2):
        begin(s, at)
        return False
    _push(s, s.step_sum / s.step_count if s.step_count else math.nan)
    found = False
    if s.steps >= LEAST_STEPS and s.steps % EVERY_STEPS == 0 and s.kind == NORMAL:
        found = find(s, m)
    if s.steps == STEPS:
        _widen(s, at)
    while at >= s.step_at + s.step_ms:
        _push(s, math.nan)
        if s.steps == STEPS:
            _widen(s, at)
    s.step_sum = x - s.step_anchor
    s.step_count = 1
    return found


@kernel
def _push(s: SeriesRecord, mean: float) -> None:
    q = MISSING
    if not math.isnan(mean):
        while abs(mean) > LIMIT * s.quantum:
            s.quantum *= 2.0
            for i in range(s.steps):
                if s.history[i] != MISSING:
                    s.history[i] = int(np.rint(s.history[i] / 2.0))
        q = int(np.rint(mean / s.quantum))
    s.history[s.steps] = q
    s.steps += 1
    s.step_at += s.step_ms


@kernel
def _widen(s: SeriesRecord, at: int) -> None:
    """Two steps become one; after the coarsest the search starts again, so that a period that sets in is found too."""
    if s.step_ms * (STEPS // 2) > LONGEST_MS:
        begin(s, at)
        return
    for i in range(STEPS // 2):
        one, two = s.history[2 * i], s.history[2 * i + 1]
        if one == MISSING or two == MISSING:
            s.history[i] = two if one == MISSING else one
        else:
            s.history[i] = int(np.rint((int(one) + int(two)) / 2.0))
    s.steps = STEPS // 2
    s.step_ms *= 2
    _centre(s)


@kernel
def _centre(s: SeriesRecord) -> None:
    """The history around 0 again: a byte a step is fine as long as the level stays near the anchor."""
    lowest, highest = 127, -127
    for i in range(s.steps):
        if s.history[i] != MISSING:
            lowest, highest = min(lowest, s.history[i]), max(highest, s.history[i])
    middle = (lowest + highest) // 2
    s.step_anchor += middle * s.quantum
    for i in range(s.steps):
        if s.history[i] != MISSING:
            s.history[i] -= middle


@kernel
def find(s: SeriesRecord, m: ReadingRecord) -> bool:
    """Fills `m.period_ms` (0 = none) and `m.explained`: the variance that it explains, in the metric's unit^2."""
    m.period_ms = 0.0
    power = _detrended(s, m)
    if not power > 0.0:
        return False
    n, best = s.steps, 0.0
    lags = m.lags
    for lag in range(1, n // 2 + 2):
        lags[lag] = _autocorrelation(m, n, lag)
    chosen, lowest = 0, 1.0
    for lag in range(2, n // 2 + 1):
        r = lags[lag]
        peak = lag >= LEAST_LAG and r >= lags[lag - 1] and r >= lags[lag + 1]
        if peak and r >= STRONG and r - lowest >= SWING and r > best + (AS_GOOD if chosen else 0.0):
            best, chosen = r, lag
        lowest = min(lowest, r)
    if chosen == 0:
        return False
    m.period_ms = _refined(s, m, chosen, n // 2)
    m.explained = best * power * s.quantum * s.quantum
    return m.period_ms <= LONGEST_MS


@kernel
def _detrended(s: SeriesRecord, m: ReadingRecord) -> float:
    """The history less its straight line, clipped, in `m.window`; nan where missing. Mean square, 0 = too little."""
    w, n = m.window, s.steps
    known = 0
    st = sy = stt = sty = 0.0
    for i in range(n):
        w[i] = math.nan
        if s.history[i] != MISSING:
            w[i] = float(s.history[i])
            known += 1
            st += i
            sy += w[i]
            stt += i * i
            sty += i * w[i]
    if known < KNOWN_SHARE * n:
        return 0.0
    slope = (known * sty - st * sy) / (known * stt - st * st)
    deviation = 0.0
    for i in range(n):
        w[i] -= (sy - slope * st) / known + slope * i
        if not math.isnan(w[i]):
            deviation += abs(w[i]) / known
    power = 0.0
    for i in range(n):
        if not math.isnan(w[i]):
            w[i] = min(max(w[i], -CLIP * deviation), CLIP * deviation)
            power += w[i] * w[i] / known
    return power


@kernel
def _autocorrelation(m: ReadingRecord, n: int, lag: int) -> float:
    w = m.window
    xx = yy = xy = 0.0
    for i in range(n - lag):
        x, y = w[i], w[i + lag]
        if not (math.isnan(x) or math.isnan(y)):
            xx += x * x
            yy += y * y
            xy += x * y
    return xy / math.sqrt(xx * yy) if xx > 0.0 and yy > 0.0 else 0.0


@kernel
def _vertex(m: ReadingRecord, lag: int) -> float:
    """Where the parabola through the peak at `lag` and its neighbours is highest."""
    left, middle, right = m.lags[lag - 1], m.lags[lag], m.lags[lag + 1]
    bend = left - 2.0 * middle + right
    return lag + 0.5 * (left - right) / bend if bend < 0.0 else float(lag)


@kernel
def _refined(s: SeriesRecord, m: ReadingRecord, lag: int, longest: int) -> float:
    """Period in ms: by the last of the peaks at its multiples, and as clocks and calendars have it if that is near."""
    steps, times = _vertex(m, lag), 1
    while int(np.rint((times + 1) * steps)) <= longest:
        near = int(np.rint((times + 1) * steps))
        for other in (near - 1, near + 1):
            if other <= longest and m.lags[other] > m.lags[near]:
                near = other
        if m.lags[near] < 0.5 * STRONG:
            break
        times += 1
        steps = _vertex(m, near) / times
    m.error_ms = LAG_ERROR / times * s.step_ms
    for natural in NATURAL_MS:
        away = abs(natural / s.step_ms - steps)
        if away * times <= SNAP_STEPS and away <= SNAP_SHARE * steps:
            m.error_ms = 0.0
            return natural
    return steps * s.step_ms
