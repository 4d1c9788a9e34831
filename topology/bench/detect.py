"""The detector alone, one series after another: CPU us a sample, beside two floors of the same run.

The floors: the same samples copied by numpy, and the z-score of an exponential average, compiled, which is about the
least that anything called a detector does. 1 sample in 500 is 12 deviations off, as in `maestro bench telemetry`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.kit.kernel import kernel
from streams.telemetry.detector import score_series
from topology.bench.load import START_MS, values_of
from topology.bench.watched import load_average

SAMPLES = 200_000
TURNS = 5
STEP_MS = 10_000
WEIGHT = 0.02
Floats = NDArray[np.float64]


def figures() -> Iterator[dict[str, object]]:
    """Medians of turns; the first call of each, which compiles, is not measured."""
    at = START_MS + np.arange(SAMPLES, dtype=np.int64) * STEP_MS
    x = values_of(np.random.default_rng(1), np.zeros(SAMPLES, np.int64))
    sides: dict[str, Callable[[], object]] = {
        "detector": lambda: score_series(at, x),
        "exponential average": lambda: _average(x, np.zeros(SAMPLES)),
        "copy": lambda: (at.copy(), x.copy()),
    }
    took: dict[str, list[float]] = {name: [_cpu_s(run)][:0] for name, run in sides.items()}
    for _ in range(TURNS):
        for name, run in sides.items():
            took[name].append(_cpu_s(run) / SAMPLES * 1e6)
    ours = statistics.median(took["detector"])
    for name, us in took.items():
        median = statistics.median(us)
        yield {"side": name, "cpu_us": median, "ratio": median / ours, "load_average": load_average()}


def _cpu_s(run: Callable[[], object]) -> float:
    begun = time.process_time()
    run()
    return time.process_time() - begun


@kernel
def _average(x: Floats, score: Floats) -> Floats:
    mean, variance = x[0], 0.0
    for i in range(len(x)):
        off = x[i] - mean
        score[i] = abs(off) / np.sqrt(variance) if variance > 0.0 else 0.0
        mean += WEIGHT * off
        variance = (1.0 - WEIGHT) * (variance + WEIGHT * off * off)
    return score


def text(row: Mapping[str, Any]) -> str:
    return "{side:20} {cpu_us:9.4f} CPU us/sample, {ratio:7.4f} of the detector's".format(**row)
