"""The eight metrics that decide here, their names and units, and the buckets of their histograms."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from streams.kit.metric_names import meaning


class Metric(IntEnum):
    """The number is what rows store: never renumber."""

    LATENCY_MS = 0
    ERROR_RATE = 1
    SATURATION = 2
    UTILIZATION = 3
    THROUGHPUT_PER_S = 4
    COST_USD_PER_HOUR = 5
    QUEUE_DEPTH = 6
    ENERGY_W = 7


COUNT = len(Metric)
_PREFIXES = {
    "latency": Metric.LATENCY_MS, "responsetime": Metric.LATENCY_MS, "error": Metric.ERROR_RATE,
    "saturation": Metric.SATURATION, "utilization": Metric.UTILIZATION, "utilisation": Metric.UTILIZATION,
    "cpuutilization": Metric.UTILIZATION, "throughput": Metric.THROUGHPUT_PER_S, "cost": Metric.COST_USD_PER_HOUR,
    "queue": Metric.QUEUE_DEPTH, "energy": Metric.ENERGY_W, "power": Metric.ENERGY_W,
}  # fmt: skip
_ENDINGS = {
    Metric.LATENCY_MS: ("", "ms", "p50", "p90", "p95", "p99", "mean", "avg", "p95ms", "msp95"),
    Metric.ERROR_RATE: ("rate", "ratio", "share"),
    Metric.SATURATION: ("",),
    Metric.UTILIZATION: ("",),
    Metric.THROUGHPUT_PER_S: ("", "pers"),
    Metric.COST_USD_PER_HOUR: ("", "usdperhour", "perhour", "hourly"),
    Metric.QUEUE_DEPTH: ("depth", "length"),
    Metric.ENERGY_W: ("", "w", "watts"),
}


@lru_cache(maxsize=65_536)
def canonical(name: str, unit: str) -> tuple[Metric, float] | None:
    """The metric that a name means and the factor to its unit; None = not one that decides here.

    `latency.p95`, `latency_ms` and `Latency` are one metric; case and separators do not matter.
    """
    plain = "".join(c for c in name.lower() if c.isalnum())
    for prefix, metric in _PREFIXES.items():
        if plain.startswith(prefix) and plain[len(prefix) :] in _ENDINGS[metric]:
            return metric, meaning(metric.name.lower(), unit).factor
    return None


SCALES: NDArray[np.float64] = np.array([1e3, 1e6, 1e6, 1e6, 1e3, 1e6, 1e3, 1e3])
"""Sums are whole numbers of 1/scale: adding in any order and grouping gives the same, to the last bit."""
LIMITS: NDArray[np.float64] = np.array([1e10, 1.0, 1e3, 1e3, 1e10, 1e6, 1e10, 1e10])
"""A greater value is held at its limit: sums stay within 64 bits."""

BINS = 250
_FIRST_EDGE, BIN_RATIO = 1e-3, 1.1


def _edges() -> NDArray[np.float64]:
    edges = [_FIRST_EDGE]
    for _ in range(BINS - 2):
        edges.append(edges[-1] * BIN_RATIO)
    return np.array(edges)


EDGES: NDArray[np.float64] = _edges()
"""Upper edges of bins 0 .. BINS-2, 10 % apart as in [VPA] (there 5 %); the last bin is open. By multiplication alone,
so that they are the same on every machine."""
UPPER: tuple[float, ...] = (*EDGES.tolist(), float("inf"))
