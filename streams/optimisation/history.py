"""What work an asset had: a ring of means of five minutes, from which the period of its season is learned, if any.

    |...|...|...|  576 slots at most, two days  |...|...|..     event time ->
                                                       open

A period is at most half a ring, a day: a week is not seen. Values are 16-bit floats, NaN = no look in that slot; a ring
takes 1.2 kB at most, however long the series.
"""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from streams.optimisation.state import Ring

SLOT_MS, SLOTS = 300_000, 576
_MOST = 60_000.0
"""Units of work; a 16-bit float ends a little above."""
_NO_VALUE = struct.pack("<e", float("nan"))
_SEARCH_EVERY_SLOTS = 12
_LEVELS = 1_000
_LEAST_SLOTS, _LEAST_LIKENESS, _LEAST_DIP = 3, 0.5, 0.25
_MOST_MISSING = 0.25
_NEARLY_BEST = 0.95
"""Of lags that are nearly as like the shortest is the period: its multiples are as like."""
_CYCLES = 3


def remember(ring: Ring, at: int, work: float) -> Ring:
    """One look's work (units kept busy) at `at` ms; what is older than the open slot is left out."""
    epoch = at // SLOT_MS
    if ring.count and epoch <= ring.epoch:
        return replace(ring, total=ring.total + work, count=ring.count + 1) if epoch == ring.epoch else ring
    if not ring.count:
        return Ring(epoch, work, 1)
    gap = min(epoch - ring.epoch - 1, SLOTS)
    values = (ring.values + struct.pack("<e", min(_MOST, ring.total / ring.count)) + _NO_VALUE * gap)[-2 * SLOTS :]
    period = ring.period
    if ring.epoch // _SEARCH_EVERY_SLOTS != epoch // _SEARCH_EVERY_SLOTS:
        period = find_period(np.frombuffer(values, "<f2").astype(np.float64))
    return Ring(epoch, work, 1, values, period)


def find_period(values: NDArray[np.float64]) -> int:
    """Slots of the shortest lag at which the past is most like itself; 0 = none.

    The likeness is the autocorrelation, in whole numbers so that it is the same on every machine. A lag counts where it
    peaks after it had dipped: a slow series is like itself at short lags without having any season. What lies beyond
    the 2nd and 98th percentile is held to them: a burst of less than a fiftieth of the time is an outlier.
    """
    missing, n = np.isnan(values), len(values)
    if n < 2 * _LEAST_SLOTS + 2 or missing.sum() > _MOST_MISSING * n:
        return 0
    known = np.sort(values[~missing])
    low, high = float(known[len(known) // 50]), float(known[-1 - len(known) // 50])
    if high <= low:
        return 0
    filled = np.where(missing, known[len(known) // 2], values)
    whole = np.rint(np.clip((filled - low) / (high - low), 0, 1) * _LEVELS).astype(np.int64)
    whole -= int(whole.sum()) // n
    lags = np.arange(1, n // 2 + 1)
    alike = np.correlate(whole, whole, "full")[n : n + len(lags)] * n // (n - lags)
    return _peak(alike / max(1, int((whole * whole).sum())))


def _peak(alike: NDArray[np.float64]) -> int:
    """`alike[i]` is the likeness at lag i + 1."""
    dip = alike - np.minimum.accumulate(alike)
    before, after = np.append(-1.0, alike[:-1]), np.append(alike[1:], -1.0)
    peaks = np.flatnonzero((alike >= before) & (alike >= after) & (alike >= _LEAST_LIKENESS) & (dip >= _LEAST_DIP))
    peaks = peaks[peaks + 1 >= _LEAST_SLOTS]
    if not len(peaks):
        return 0
    best = float(alike[peaks].max())
    return int(peaks[alike[peaks] >= _NEARLY_BEST * best][0]) + 1


def season_ahead(ring: Ring, at: int) -> float | None:
    """Work at `at` (ms, in the future) by the middle of up to three earlier cycles; None = no season, or not known."""
    if not ring.period:
        return None
    slot = at // SLOT_MS - ring.epoch
    found = sorted(v for cycle in range(1, _CYCLES + 1) for v in _slot(ring, slot - cycle * ring.period))
    if not found:
        return None
    return (found[(len(found) - 1) // 2] + found[len(found) // 2]) / 2


def _slot(ring: Ring, slot: int) -> tuple[float, ...]:
    """The value of slot `slot`, counted from the open one (-1 = the newest that is closed), if it is known."""
    place = len(ring.values) // 2 + slot
    if slot >= 0 or place < 0:
        return ()
    value = struct.unpack_from("<e", ring.values, 2 * place)
    return value if value[0] == value[0] else ()
