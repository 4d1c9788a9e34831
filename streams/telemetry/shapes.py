"""Telling the kinds apart by shape: which template explains the recent residuals best.

Residuals are standardised against the baseline from before the incident, so the templates need no intercept: a step
(0, then constant) and a ramp (0, then rising), each at every change point. What neither explains is oscillation when
the magnitudes are alike, and variance when they are spread as noise is.

The work space `w` holds residuals in `w[start:RING]`, oldest first; `start` says how many there are.
"""

from __future__ import annotations

import math

import numpy as np

from streams.kit.kernel import kernel
from streams.telemetry.record import QUANTUM, RING, RING_LIMIT, SeriesRecord
from streams.telemetry.scratch import Window
from streams.telemetry.state import DRIFT, OSCILLATION, SHIFT, VARIANCE

CLEARLY = 0.75
"""Share of the energy since onset that a step or ramp must explain to outweigh a change of side."""
ALIKE = 0.78
"""(mean |v|)^2 / mean v^2: 1 for a square wave, 0.81 for a sine, 0.64 for Gaussian noise."""
HYSTERESIS = 0.05
PERIODIC_SAMPLES = 20


@kernel
def recent(s: SeriesRecord, w: Window, count: int) -> int:
    """Puts the last `count` (<= RING) residuals into `w`, in mean absolute deviations; 0 before the first sample."""
    end = s.samples % RING
    for i in range(RING - count, RING):
        w[i] = s.ring[(end + i) % RING] * QUANTUM
    return RING - count


@kernel
def measure_anew(s: SeriesRecord, moved: float, scale: float) -> None:
    """The recent residuals, which were in `scale`, as the baseline sees them whose level went up by `moved`.

    0 where they were beyond what the ring holds, as nothing is known of them then.
    """
    for i in range(RING):
        v = (s.ring[i] * scale - moved / QUANTUM) / s.level_scale
        s.ring[i] = int(np.rint(v)) if max(abs(s.ring[i]), abs(v)) < RING_LIMIT else 0


@kernel
def level_kind(w: Window, start: int, ramp_from: int, favour: float) -> tuple[int, float]:
    """SHIFT or DRIFT, and the share of energy that the better template explains. A ramp needs `ramp_from` samples.

    `favour` is energy that speaks for the ramp beforehand: a jump was seen at the onset, or none (`kinds.favour`).

    The template that begins `length` samples ago: its product with `w` is a running sum (step) or a running sum of
    those (ramp), its squared norm `length`, or the sum of the first `length` squares.
    """
    energy = step = ramp = total = risen = 0.0
    for length in range(1, RING - start + 1):
        y = w[RING - length]
        energy += y * y
        total += y
        risen += total
        step = max(step, total * total / length)
        if length >= ramp_from:
            ramp = max(ramp, risen * risen / (length * (length + 1.0) * (2.0 * length + 1.0) / 6.0))
    if energy <= 0.0:
        return SHIFT, 0.0
    return (DRIFT, ramp / energy) if favour + ramp > step else (SHIFT, step / energy)


@kernel
def ramp_samples(w: Window, least: int) -> int:
    """Length of the ramp that explains `w` (RING residuals) best; at least `least`."""
    total = risen = best = 0.0
    found = least
    for length in range(1, RING + 1):
        total += w[RING - length]
        risen += total
        share = risen * risen / (length * (length + 1.0) * (2.0 * length + 1.0) / 6.0)
        if length >= least and share >= best:
            best, found = share, length
    return found


@kernel
def mean(w: Window, start: int) -> float:
    total = 0.0
    for i in range(start, RING):
        total += w[i]
    return total / (RING - start)


@kernel
def swing_kind(w: Window, start: int, now: int) -> int:
    """OSCILLATION if the magnitudes are alike or the swings come back in time, else VARIANCE; `now` has the doubt."""
    size = RING - start
    power = magnitude = 0.0
    for i in range(start, RING):
        power += w[i] * w[i] / size
        magnitude += abs(w[i]) / size
    margin = HYSTERESIS if now == VARIANCE else -HYSTERESIS if now == OSCILLATION else 0.0
    if magnitude * magnitude > (ALIKE + margin) * power or is_periodic(w, start):
        return OSCILLATION
    return VARIANCE


@kernel
def is_periodic(w: Window, start: int) -> bool:
    """The autocorrelation swings below -0.4 and then above 0.6, which a merely persistent noise does not."""
    size = RING - start
    if size < PERIODIC_SAMPLES:
        return False
    middle = mean(w, start)
    power = 0.0
    for i in range(start, RING):
        power += (w[i] - middle) ** 2
    if power <= 0.0:
        return False
    swung = False
    for lag in range(1, size // 2):
        product = 0.0
        for i in range(start, RING - lag):
            product += (w[i] - middle) * (w[i + lag] - middle)
        r = product / power * size / (size - lag)
        swung = swung or r < -0.4
        if swung and r > 0.6:
            return True
    return False


@kernel
def slope(s: SeriesRecord, w: Window, count: int) -> tuple[float, float]:
    """Least-squares slope of the last `count` residuals, in the metric's unit per second, and its t statistic."""
    count = min(count, s.samples, RING)
    if count < 3 or s.interval_ms <= 0.0:
        return 0.0, 0.0
    start = recent(s, w, count)
    middle, centre = mean(w, start), start + (count - 1) / 2.0
    sxx = sxy = 0.0
    for i in range(start, RING):
        sxx += (i - centre) ** 2
        sxy += (i - centre) * w[i]
    b = sxy / sxx
    rest = 0.0
    for i in range(start, RING):
        rest += (w[i] - middle - b * (i - centre)) ** 2
    error = math.sqrt(rest / (count - 2) / sxx)
    per_s = b * s.level_scale * 1000.0 / s.interval_ms
    return per_s, min(max(b / error, -1e6), 1e6) if error > 0.0 else 0.0
