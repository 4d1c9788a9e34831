"""Telling the kinds apart by shape: which template explains the recent residuals best.

Residuals are standardised against the baseline from before the incident, so the templates need no intercept: a step
(0, then constant) and a ramp (0, then rising), each at every change point. What neither explains is oscillation when
the magnitudes are alike, and variance when they are spread as noise is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.telemetry.state import DRIFT, NORMAL, OSCILLATION, QUANTUM, RING, SHIFT, VARIANCE, SeriesState

CLEARLY = 0.75
"""Share of the energy since onset that a step or ramp must explain to outweigh a change of side."""
ALIKE = 0.72
"""(mean |v|)^2 / mean v^2: 1 for a square wave, 0.81 for a sine, 0.64 for Gaussian noise."""
HYSTERESIS = 0.05
PERIODIC_SAMPLES = 20


def _templates(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    t = np.arange(size)
    steps = (t[None, :] >= t[:, None]).astype(float)
    ramps = np.maximum(0.0, t[None, :] - t[:, None] + 1.0)
    return (
        steps / np.linalg.norm(steps, axis=1)[:, None],
        ramps / np.linalg.norm(ramps, axis=1)[:, None],
    )


_STEPS, _RAMPS = _templates(RING)


def recent(s: SeriesState, count: int) -> NDArray[np.float64]:
    """The last `count` (<= RING) residuals in mean absolute deviations, oldest first; 0 before the first sample."""
    end = s.samples % RING
    ring = np.frombuffer(s.ring, dtype=np.int16).astype(np.float64) * QUANTUM
    return np.concatenate((ring[end:], ring[:end]))[RING - count :]


def level_kind(y: NDArray[np.float64], ramp_from: int = 8) -> tuple[int, float]:
    """SHIFT or DRIFT, and the share of energy that the better template explains. A ramp needs `ramp_from` samples."""
    size = len(y)
    energy = float(y @ y)
    if energy <= 0.0:
        return SHIFT, 0.0
    lead = RING - size
    padded = np.concatenate([np.zeros(lead), y]) if lead else y
    step = float(np.max((_STEPS[lead:] @ padded) ** 2))
    ramp = float(np.max((_RAMPS[lead : RING - ramp_from + 1] @ padded) ** 2)) if size >= ramp_from else 0.0
    return (DRIFT, ramp / energy) if ramp > step else (SHIFT, step / energy)


def ramp_samples(y: NDArray[np.float64], least: int = 8) -> int:
    """Length of the ramp that explains `y` (RING residuals) best; at least `least`."""
    starts = RING - least + 1
    return RING - int(np.argmax((_RAMPS[:starts] @ y) ** 2))


def swing_kind(v: NDArray[np.float64], now: int = NORMAL) -> int:
    """OSCILLATION if the magnitudes are alike or the swings come back in time, else VARIANCE; `now` has the doubt."""
    power = float(v @ v) / len(v)
    mean = float(np.mean(np.abs(v)))
    margin = HYSTERESIS if now == VARIANCE else -HYSTERESIS if now == OSCILLATION else 0.0
    if mean * mean > (ALIKE + margin) * power or is_periodic(v):
        return OSCILLATION
    return VARIANCE


def is_periodic(v: NDArray[np.float64]) -> bool:
    """The autocorrelation swings below -0.4 and then above 0.6, which a merely persistent noise does not."""
    size = len(v)
    if size < PERIODIC_SAMPLES:
        return False
    y = v - np.mean(v)
    lags = size // 2
    power = float(y @ y)
    if power <= 0.0:
        return False
    r = np.correlate(y, y, "full")[size - 1 : size - 1 + lags] / power * size / (size - np.arange(lags))
    below = np.flatnonzero(r < -0.4)
    return len(below) > 0 and bool(np.max(r[below[0] :]) > 0.6)


def slope(s: SeriesState, count: int) -> tuple[float, float]:
    """Least-squares slope of the last `count` residuals, in the metric's unit per second, and its t statistic."""
    count = min(count, s.samples, RING)
    if count < 3 or s.interval_ms <= 0.0:
        return 0.0, 0.0
    y = recent(s, count) * s.level_scale
    t = np.arange(count) - (count - 1) / 2.0
    sxx = float(t @ t)
    b = float(t @ y) / sxx
    rest = y - np.mean(y) - b * t
    error = float(np.sqrt(float(rest @ rest) / (count - 2) / sxx))
    per_s = b * 1000.0 / s.interval_ms
    return per_s, min(max(b / error, -1e6), 1e6) if error > 0.0 else 0.0
