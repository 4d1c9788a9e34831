"""Buckets of the wire to (lower, upper, count), without the empty ones. ValueError says what contradicts itself."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from itertools import pairwise

from streams.adapters.points import Bucket

MOST_BUCKETS = 2_000
"""With observations in them, of one distribution: they are kept in a row. SDKs keep 160."""
Side = tuple[int, Sequence[float]]
"""Offset of the first bucket, counts."""
Indexed = list[tuple[int, float]]
"""Index of a bucket, its count; ascending, without the empty ones."""


def explicit(bounds: Sequence[float], counts: Sequence[float]) -> tuple[Bucket, ...] | None:
    """None = the sender keeps no buckets, or more than we do."""
    if not counts:
        return None
    if len(counts) != len(bounds) + 1:
        raise ValueError(f"{len(counts)} bucket counts do not go with {len(bounds)} bounds")
    if not all(map(math.isfinite, bounds)) or any(a >= b for a, b in pairwise(bounds)):
        raise ValueError("bucket bounds do not ascend")
    ends = (-math.inf, *bounds, math.inf)
    found = tuple((low, high, float(n)) for (low, high), n in zip(pairwise(ends), counts, strict=True) if n)
    return found if len(found) <= MOST_BUCKETS else None


def exponential(scale: int, zero: tuple[float, float], positive: Side, negative: Side) -> tuple[Bucket, ...] | None:
    """OTLP's form of `sparse`."""
    return sparse(scale, zero, _indexed(positive), _indexed(negative))


def sparse(scale: int, zero: tuple[float, float], positive: Indexed, negative: Indexed) -> tuple[Bucket, ...] | None:
    """Base 2^(2^-scale); bucket i holds base^i < x <= base^(i+1), mirrored below zero (OTLP data model).

    `zero`: count and threshold of the bucket around zero. It reaches below even where nothing is negative now: it may
    have taken in what was (`layouts.since`). None = more buckets than we keep.
    """
    if not -20 <= scale <= 20:
        raise ValueError(f"scale {scale} is not between -20 and 20")
    zeros, threshold = zero
    if not (math.isfinite(threshold) and threshold >= 0):
        raise ValueError(f"zero threshold {threshold} is no width")
    above = [(*_ends(scale, i), float(n)) for i, n in positive]
    below = [(-high, -low, float(n)) for (low, high), n in ((_ends(scale, i), n) for i, n in negative)]
    middle = [(0.0 - threshold, threshold, float(zeros))] if zeros else []
    found = (*reversed(below), *middle, *above)
    return found if len(found) <= MOST_BUCKETS else None


def _indexed(side: Side) -> Indexed:
    offset, counts = side
    return [(offset + i, n) for i, n in enumerate(counts) if n]


def _ends(scale: int, index: int) -> tuple[float, float]:
    """Of bucket `index`. The last one that a number is in ends with the greatest number; the one after it is open."""
    low, high = _power(scale, index), _power(scale, index + 1)
    if high == 0.0 or (math.isinf(low) and math.isinf(_power(scale, index - 1))):
        raise ValueError(f"bucket {index} of scale {scale} is beyond any number")
    if math.isinf(low):
        return sys.float_info.max, math.inf
    return low, min(high, sys.float_info.max)


def _power(scale: int, index: int) -> float:
    try:
        return float(2.0 ** math.ldexp(index, -scale))
    except OverflowError:
        return math.inf
