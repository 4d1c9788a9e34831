"""Buckets of the wire to (lower, upper, count), without the empty ones. ValueError says what contradicts itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from streams.adapters.points import Bucket

MOST_BUCKETS = 2_000
"""With observations in them, of one distribution: they are kept in a row. SDKs keep 160."""
Side = tuple[int, Sequence[int]]
"""Offset of the first bucket, counts."""


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


def exponential(scale: int, zero: tuple[int, float], positive: Side, negative: Side) -> tuple[Bucket, ...] | None:
    """Base 2^(2^-scale); bucket i holds base^i < x <= base^(i+1), mirrored below zero (OTLP data model)."""
    if not -20 <= scale <= 20:
        raise ValueError(f"scale {scale} is not between -20 and 20")
    zeros, threshold = zero
    if not (math.isfinite(threshold) and threshold >= 0):
        raise ValueError(f"zero threshold {threshold} is no width")
    above = [(_power(scale, i), _power(scale, i + 1), float(n)) for i, n in _indexed(positive)]
    below = [(-_power(scale, i + 1), -_power(scale, i), float(n)) for i, n in _indexed(negative)]
    middle = [(-threshold, threshold, float(zeros))] if zeros else []
    found = (*reversed(below), *middle, *above)
    return found if len(found) <= MOST_BUCKETS else None


def _indexed(side: Side) -> list[tuple[int, int]]:
    offset, counts = side
    return [(offset + i, n) for i, n in enumerate(counts) if n]


def _power(scale: int, index: int) -> float:
    try:
        return float(2.0 ** math.ldexp(index, -scale))
    except OverflowError as error:
        raise ValueError(f"bucket {index} of scale {scale} is beyond any number") from error
