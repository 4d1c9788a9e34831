"""Labelled synthetic series for the kind of an anomaly: other noise, onsets, intervals and seasons than one shape has.

`labelled(seed, snr)` has six events of eight kinds; `quiet(seed, family)` has none: whatever opens there is false.
A seed and the arguments make the series; SNR is the size of an event in standard deviations of the noise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

KINDS = ("spike", "drop", "shift_up", "shift_down", "drift_up", "drift_down", "oscillation", "variance")
FAMILIES = ("gauss", "laplace", "t3", "lognormal", "ar", "counts", "season")
DAY_MS = 86_400_000
WARM_SAMPLES = 1000
START_MS = 1_700_000_000_000
Array = NDArray[np.float64]


class Event(NamedTuple):
    """Rows start (inclusive) to end (exclusive)."""

    start: int
    end: int
    kind: str


class Labelled(NamedTuple):
    """`at` in ms, one row a sample; missing samples have no row."""

    at: NDArray[np.int64]
    x: Array
    events: list[Event]


def noise(r: np.random.Generator, family: str, size: int) -> Array:
    """Standard deviation 1 (t3: of its bulk), mean 0; `counts` comes as standardised Poisson, still on its lattice."""
    if family == "laplace":
        return r.laplace(0.0, 1.0 / np.sqrt(2.0), size)
    if family == "t3":
        return r.standard_t(3, size) / 1.3
    if family == "lognormal":
        e = np.exp(0.5 * r.standard_normal(size))
        return (e - np.exp(0.125)) / np.sqrt((np.exp(0.25) - 1.0) * np.exp(0.25))
    if family == "counts":
        mean = float(r.choice([6.0, 25.0, 100.0]))
        return (r.poisson(mean, size) - mean) / np.sqrt(mean)
    e = r.standard_normal(size)
    if family == "ar":
        phi = float(r.choice([0.3, 0.6, 0.9]))
        for i in range(1, size):
            e[i] = phi * e[i - 1] + e[i] * np.sqrt(1.0 - phi * phi)
    return e


def season(r: np.random.Generator, at: NDArray[np.int64], swing: float) -> Array:
    """A day's shape that is no sine: a plateau in working hours, or a sawtooth twice a day."""
    hours = (at % DAY_MS) / 3_600_000.0
    if r.random() < 0.5:
        return swing * (np.tanh(hours - 8.0) - np.tanh(hours - 19.0)) / 2.0
    return swing * np.abs((hours / 12.0 + r.random()) % 1.0 - 0.5) * 2.0


def effect(r: np.random.Generator, kind: str, snr: float) -> tuple[Array, float]:
    """What an event adds to each of its samples, and what the noise is multiplied by."""
    sign = -1.0 if kind in ("drop", "shift_down", "drift_down") else 1.0
    if kind in ("spike", "drop"):
        size = int(r.integers(1, 4))
        return sign * snr * np.linspace(1.0, r.uniform(0.8, 1.4), size), 1.0
    length = int(r.integers(80, 260))
    i = np.arange(length)
    if kind.startswith("shift"):
        onset = float(r.choice([0.0, 0.7, 1.5]))
        return sign * snr * (1.0 - np.exp(-(i + 1.0) / onset) if onset else np.ones(length)), 1.0
    if kind.startswith("drift"):
        ramp = min(length, int(r.integers(80, 260)))
        return sign * snr * np.minimum(1.0, (i + 1.0) / ramp) ** float(r.choice([1.0, 1.0, 1.5])), 1.0
    if kind == "variance":
        return np.zeros(length), float(max(3.0, snr / 2.0))
    period, form = float(r.uniform(3.0, 28.0)), int(r.integers(0, 3))
    turns = i / period
    waves = (1.3 * np.sin(2 * np.pi * turns), np.where(turns % 1.0 < 0.5, 1.0, -1.0), 3.0 * (turns % 1.0) - 1.5)
    return snr * waves[form], 1.0


def labelled(seed: int, snr: float, events: int = 6) -> Labelled:
    """About 4,500 samples every 10 s to 5 min, jittered, some missing."""
    r = np.random.default_rng(seed + 7_000_000)
    family = str(r.choice(FAMILIES))
    step_ms = int(r.choice([10_000, 30_000, 60_000, 300_000, 300_000]))
    size = WARM_SAMPLES + events * int(r.integers(480, 640))
    at = START_MS + np.arange(size, dtype=np.int64) * step_ms + (r.uniform(0, 0.3, size) * step_ms).astype(np.int64)
    e = noise(r, family, size)
    x = e.copy()
    slots = np.linspace(WARM_SAMPLES, size - 60, events + 1).astype(int)
    found = []
    for start, end, kind in zip(slots[:-1], slots[1:], r.permutation(KINDS)[:events], strict=False):
        added, times = effect(r, str(kind), snr)
        first = int(r.integers(start + 20, max(start + 21, end - len(added) - 120)))
        rows = slice(first, first + len(added))
        x[rows] = times * x[rows] + added
        found.append(Event(first, first + len(added), str(kind)))
    if family == "season" and step_ms == 300_000:
        x = x + season(r, at, float(r.choice([4.0, 10.0])))
    if family == "counts":
        x = np.round(10.0 * x) / 10.0
    kept = r.random(size) > float(r.choice([0.0, 0.01, 0.05]))
    gap = int(r.integers(200, size - 100))
    kept[gap : gap + int(r.integers(0, 40))] = False
    rows_before = np.concatenate(([0], np.cumsum(kept)))
    x = x * float(r.choice([1e-3, 1.0, 4e4])) + float(r.choice([0.0, 20.0, -3.0]))
    moved = [Event(int(rows_before[f.start]), int(rows_before[f.end]), f.kind) for f in found]
    return Labelled(at[kept], x[kept], [f for f in moved if f.end > f.start])


def quiet(seed: int, family: str, days: int = 14) -> Labelled:
    """Five-minute samples of one family of noise and nothing else."""
    r = np.random.default_rng(seed + 8_000_000)
    at = START_MS + np.arange(days * 288, dtype=np.int64) * 300_000
    x = noise(r, family, len(at))
    if family == "season":
        x = x + season(r, at, 6.0)
    return Labelled(at, 50.0 + x, [])
