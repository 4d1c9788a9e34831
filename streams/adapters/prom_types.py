"""What a Prometheus sample is, by its name and its metadata; and histograms put together from their parts.

The parts of one histogram have one time each scrape, and come in their order, but a request may end between them. So
they wait in a row until they are complete: count, sum and as many buckets as there were the last time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from streams.adapters.points import Attributes, Bucket, Distribution, Ended, Kind, Number, Origin, Point, Untyped
from streams.adapters.rates import ANEW_MS, series_key
from streams.adapters.rows import Rows

Types = Callable[[str], str]
"""Type of a metric family by its name, "" = not told."""
INF = "+Inf"
FAMILIES = ("histogram", "summary")
"""Types whose series have other names than the family: its name with `_sum`, `_count`, `_bucket`."""


def typed(rows: Rows, point: Untyped, types: Types, counts: Counter[str]) -> Point | None:
    """The point as what it is; None = a part of something that is not complete, or no telemetry (`_created`).

    What nothing will come of is in `counts`.
    """
    origin = point.origin
    name, attributes = origin.metric, dict(origin.attributes)
    told = point.told or types(name)
    if name.endswith("_bucket") and _is_bound(attributes.get("le", "")):
        base = origin._replace(metric=name.removesuffix("_bucket"), attributes=_without_le(origin.attributes))
        return _part(rows, base, point, attributes["le"], counts)
    for ending in ("_sum", "_count"):
        base_name = name.removesuffix(ending)
        if base_name != name and (point.told in FAMILIES or (not told and types(base_name) in ("", *FAMILIES))):
            return _part(rows, origin._replace(metric=base_name), point, ending, counts)
    if name.endswith("_created") and (told in ("", "gauge") or point.told in FAMILIES):
        if point.value is not None:
            counts["creation_times"] += 1
        return None
    is_total = told == "counter" or (not point.told and types(name.removesuffix("_total")) == "counter")
    is_total |= name.endswith("_total") and told == ""
    if is_total:
        return Number(origin, point.at, point.value, Kind.TOTAL, point.start)
    return Number(origin, point.at, point.value)


def _is_bound(le: str) -> bool:
    try:
        return not math.isnan(float(le))
    except ValueError:
        return False


def _without_le(attributes: Attributes) -> Attributes:
    return tuple(pair for pair in attributes if pair[0] != "le")


def _part(rows: Rows, origin: Origin, point: Untyped, part: str, counts: Counter[str]) -> Point | None:
    """Row: time, parts of that time by name, how many buckets the last complete one had, whether it was given out.

    A part `_start` is when they began, if that was told.
    """
    origin = origin._replace(unit=origin.unit or point.origin.unit)
    key = series_key("parts", origin)
    if point.value is None:
        rows.drop(key)
        return Ended(origin, point.at)
    at, parts, expected, done = rows.get(key) or [0, {}, 0, True]
    if at - point.at > ANEW_MS:
        at, parts, expected, done = 0, {}, 0, True
    if point.at < at:
        counts["first_or_late"] += 1
        return None
    late = None
    if point.at > at:
        late = None if done else _distribution(origin, at, parts, expected)
        if not done and late is None:
            counts["incomplete"] += 1
        expected = max((sum(p[0] != "_" for p in parts)), 0) if parts else expected
        at, parts, done = point.at, {}, False
    parts = {**parts, part: point.value} | ({"_start": point.start} if point.start else {})
    found = None if done or not _is_complete(parts, expected) else _distribution(origin, at, parts, expected)
    rows.put(key, [at, parts, expected, done or found is not None])
    return late or found


def _is_complete(parts: dict[str, float], expected: int) -> bool:
    buckets = sum(part[0] != "_" for part in parts)
    return "_count" in parts and "_sum" in parts and buckets >= expected and (not buckets or INF in parts)


def _distribution(origin: Origin, at: int, parts: dict[str, float], expected: int) -> Distribution | None:
    count = parts.get("_count", parts.get(INF))
    if count is None:
        return None
    uppers = sorted((float(part), n) for part, n in parts.items() if part[0] != "_")
    whole = bool(uppers) and len(uppers) >= expected
    return Distribution(
        origin, at, count, parts.get("_sum"), _buckets(uppers) if whole else None, True, int(parts.get("_start", 0))
    )


def _buckets(uppers: list[tuple[float, float]]) -> tuple[Bucket, ...] | None:
    """From cumulative counts; None if they fall, which a scrape in the middle of an observation can give."""
    buckets = []
    lower, below = -float("inf"), 0.0
    for upper, count in uppers:
        if count < below:
            return None
        if count > below:
            buckets.append((lower, upper, count - below))
        lower, below = upper, count
    return tuple(buckets)
