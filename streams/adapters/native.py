"""Prometheus' native histograms to distributions: integer and float counts, exponential and custom buckets. Pure.

Counts come in spans of buckets that lie side by side, integers each as the difference from the one before. Bucket i of
schema s is OTLP's bucket i - 1 of scale s. Source: prometheus/prompb types.proto, and its native histogram's spec.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from streams.adapters.buckets import Indexed, explicit, sparse
from streams.adapters.points import Bucket, Distribution, Ended, Origin

STALE = 0x7FF0000000000002
"""The NaN that says: this series has ended (Prometheus, `value.StaleNaN`)."""
CUSTOM = -53
"""The schema whose buckets end where `custom_values` says."""
RESET, GAUGE = 1, 3


def is_stale(value: float) -> bool:
    return math.isnan(value) and bool(struct.unpack("<Q", struct.pack("<d", value))[0] == STALE)


def native(origin: Origin, given: Any, start: int) -> Distribution | Ended:
    """Of a `Histogram` message. ValueError says what contradicts itself. A sum that is no number is not told."""
    if is_stale(given.sum):
        return Ended(origin, given.timestamp)
    count, zeros = _count(given, "count"), _count(given, "zero")
    positive = _side(given.positive_spans, given.positive_deltas, given.positive_counts)
    negative = _side(given.negative_spans, given.negative_deltas, given.negative_counts)
    counted = zeros + sum(n for _, n in positive) + sum(n for _, n in negative)
    # Not-a-number is counted and in no bucket (it makes the sum one as well); floats are sums of roundings.
    if counted > count * (1 + 1e-9) or (not math.isnan(given.sum) and counted < count * (1 - 1e-9)):
        raise ValueError(f"count {count:g} is not that of its buckets, {counted:g}")
    buckets = _buckets(given, zeros, positive, negative)
    total = None if math.isnan(given.sum) else given.sum
    running, anew = given.reset_hint != GAUGE, given.reset_hint == RESET
    return Distribution(origin, given.timestamp, count, total, buckets, running, start if running else 0, anew=anew)


def _count(given: Any, which: str) -> float:
    field = given.WhichOneof(which)
    count = float(getattr(given, field)) if field else 0.0
    if not (math.isfinite(count) and count >= 0):
        raise ValueError(f"{count} is no number of observations")
    return count


def _side(spans: Sequence[Any], deltas: Sequence[int], counts: Sequence[float]) -> Indexed:
    told = [float(n) for n in accumulate(deltas)] if deltas else list(counts)
    if sum(span.length for span in spans) != len(told):
        raise ValueError(f"spans of {sum(span.length for span in spans)} buckets do not go with {len(told)} counts")
    if not all(math.isfinite(n) and n >= 0 for n in told):
        raise ValueError("a bucket has less than no observations")
    found: Indexed = []
    index = place = 0
    for number, span in enumerate(spans):
        if number and span.offset < 0:
            raise ValueError("spans of buckets overlap")
        index += span.offset
        found += zip(range(index, index + span.length), told[place : place + span.length], strict=True)
        index, place = index + span.length, place + span.length
    return [(i, n) for i, n in found if n]


def _buckets(given: Any, zeros: float, positive: Indexed, negative: Indexed) -> tuple[Bucket, ...] | None:
    if given.schema != CUSTOM:
        above, below = ([(i - 1, n) for i, n in side] for side in (positive, negative))
        return sparse(given.schema, (zeros, given.zero_threshold), above, below)
    bounds = tuple(given.custom_values)
    if zeros or negative or any(not 0 <= i <= len(bounds) for i, _ in positive):
        raise ValueError(f"custom buckets that {len(bounds)} bounds do not have")
    counts = [0.0] * (len(bounds) + 1)
    for i, n in positive:
        counts[i] = n
    return explicit(bounds, counts)
