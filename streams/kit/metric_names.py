"""Names and units as they are meant: aliases to the contract's metric names, units to one unit a dimension.

Latency is in ms, shares in 0-1, sizes in bytes. What is not known is kept as it came: a wrong guess is worse than none.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

CANONICAL_UNITS = {
    "latency_ms": "ms",
    "error_rate": "1",
    "saturation": "1",
    "utilization": "1",
    "throughput_per_s": "1/s",
    "cost_usd_per_hour": "USD/h",
    "queue_depth": "1",
    "energy_w": "W",
}
ALIASES = {
    "latency": "latency_ms",
    "latency.ms": "latency_ms",
    "error.rate": "error_rate",
    "errors.rate": "error_rate",
    "utilisation": "utilization",
    "cpu.utilization": "utilization",
    "cpu.utilisation": "utilization",
    "throughput": "throughput_per_s",
    "cost": "cost_usd_per_hour",
    "cost.usd_per_hour": "cost_usd_per_hour",
    "queue.depth": "queue_depth",
    "energy": "energy_w",
    "power_w": "energy_w",
}
SHARES = frozenset({"error_rate", "saturation", "utilization"})
_MS = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "msec": 1.0, "s": 1e3, "sec": 1e3, "seconds": 1e3, "min": 6e4}
_SHARE = {"%": 0.01, "percent": 0.01, "pct": 0.01, "ratio": 1.0, "1": 1.0}
_WATTS = {"w": 1.0, "watt": 1.0, "watts": 1.0, "kw": 1e3}
_BYTES = {
    "b": 1.0, "byte": 1.0, "bytes": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
    "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30, "tib": 2.0**40,
}  # fmt: skip


class Meaning(NamedTuple):
    """value in `unit` = reported value x `factor`."""

    metric: str
    unit: str
    factor: float


def conversion(given: str, wanted: str) -> float | None:
    """Factor from one unit to another of the same dimension; None if that is not known of them."""
    for dimension in (_MS, _SHARE, _WATTS, _BYTES):
        if given.lower() in dimension and wanted.lower() in dimension:
            return dimension[given.lower()] / dimension[wanted.lower()]
    return None


@lru_cache(maxsize=65_536)
def meaning(metric: str, unit: str) -> Meaning:
    """Of a metric name and unit as they were reported."""
    name = metric.strip()
    name = ALIASES.get(name.lower(), name)
    given = unit.strip()
    low = given.lower()
    if "latency" in name.lower() and low in _MS:
        return Meaning(name, "ms", _MS[low])
    if name in SHARES and low in _SHARE:
        return Meaning(name, "1", _SHARE[low])
    if name == "energy_w" and low in _WATTS:
        return Meaning(name, "W", _WATTS[low])
    if low in _BYTES and name not in CANONICAL_UNITS:
        return Meaning(name, "bytes", _BYTES[low])
    return Meaning(name, given or CANONICAL_UNITS.get(name, ""), 1.0)
