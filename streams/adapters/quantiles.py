"""Quantiles of a histogram's buckets: linear inside the bucket, as Prometheus' `histogram_quantile` does it.

The figures are estimates, as good as the buckets are narrow. `least` and `most`, where the sender tells them, narrow
the outermost buckets; without them the open end of the last bucket gives its lower bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from streams.adapters.points import Bucket


def quantile(share: float, buckets: Sequence[Bucket], least: float | None = None, most: float | None = None) -> float:
    """The value under which `share` (0-1) of the observations are. ValueError if there are none."""
    count = sum(n for _, _, n in buckets)
    if count <= 0:
        raise ValueError("no observations")
    rank = share * count
    for lower, upper, n in buckets:
        if rank <= n or (lower, upper) == buckets[-1][:2]:
            low, high = _ends(lower, upper, least, most)
            return low + (high - low) * min(1.0, rank / n)
        rank -= n
    raise AssertionError("the last bucket answers")


def _ends(lower: float, upper: float, least: float | None, most: float | None) -> tuple[float, float]:
    """The bucket's ends, finite, and no wider than where observations can be."""
    low = lower if least is None else max(lower, least)
    high = upper if most is None else min(upper, most)
    if math.isinf(low):
        low = min(0.0, high)
    if math.isinf(high):
        high = low
    return (low, high) if low <= high else (high, high)
