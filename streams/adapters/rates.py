"""Totals to rates, running distributions to those of an interval: each series' last point is its row of state.

A series of totals is named by its sender's start time as well: a counter that begins anew is a new series, and two
senders that share an asset do not look like one that jumps. Where no start is told, a value below the last one is a
counter that began at 0 again, as Prometheus takes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams.adapters.layouts import since
from streams.adapters.points import Bucket, Distribution, Ended, Kind, Number, Origin
from streams.adapters.rows import Row, Rows
from streams.kit import ids

FIRST_INTERVAL_MS = 300_000
"""A first total counts since its start if that was not longer ago; an average over days is no sample of now."""
ANEW_MS = 3_600_000
"""A point this far before or after the last one begins its series anew: what lies between is a gap or a wrong clock."""


@dataclass(frozen=True, slots=True)
class Interval:
    """What happened within `seconds` (None = not told for how long). Buckets None = quantiles cannot be said."""

    seconds: float | None
    count: float
    total: float | None
    buckets: tuple[Bucket, ...] | None
    least: float | None
    most: float | None


def series_key(kind: str, origin: Origin, start: int = 0) -> str:
    flat = [text for pair in origin.attributes for text in pair]
    return ids.row_key(kind, origin.asset_id, origin.metric, str(start), *flat)


def rate(rows: Rows, point: Number) -> float | None:
    """Per second; None = this point is the first, no newer than the last, or marks the end of its series."""
    if point.kind is Kind.ADDED:
        seconds = (point.at - point.start) / 1000
        return point.value / seconds if point.value is not None and point.start and seconds > 0 else None
    key = series_key("total", point.origin, point.start)
    if point.value is None:
        rows.drop(key)
        return None
    last = _last(rows, key, point.at)
    if last is None:
        rows.put(key, [point.at, point.value])
        return _since_start(point.value, point.start, point.at)
    if point.at <= last[0]:
        return None
    rows.put(key, [point.at, point.value])
    before = float(last[1])
    added = point.value - before if point.value >= before else point.value
    return added * 1000 / (point.at - int(last[0]))


def _last(rows: Rows, key: str, at: int) -> Row | None:
    """The series' row, if this point goes on from it."""
    row = rows.get(key)
    return row if row is not None and abs(at - row[0]) <= ANEW_MS else None


def _since_start(value: float, start: int, at: int) -> float | None:
    return value / ((at - start) / 1000) if start and 0 < at - start <= FIRST_INTERVAL_MS else None


def interval(rows: Rows, point: Distribution) -> Interval | None:
    """What the point adds to the last one of its series; None = nothing can be said yet, or anew."""
    if not point.running:
        seconds = (point.at - point.start) / 1000 if 0 < point.start < point.at else None
        return Interval(seconds, point.count, point.total, point.buckets, point.least, point.most)
    key = series_key("distribution", point.origin, point.start)
    last = _last(rows, key, point.at)
    if last is not None and point.at <= last[0]:
        return None
    stored = None if point.buckets is None else [[*_ends(b), b[2]] for b in point.buckets]
    rows.put(key, [point.at, point.count, point.total, stored])
    added = None if last is None else _added(point.buckets, last[3])
    fell = point.anew or (last is not None and point.count < last[1])
    if last is None or fell or any(n < 0 for _, _, n in added or ()):
        begun = point.start if last is None else last[0]
        if not begun or point.at - begun > FIRST_INTERVAL_MS:
            return None
        return Interval((point.at - begun) / 1000, point.count, point.total, point.buckets, point.least, point.most)
    total = point.total - last[2] if point.total is not None and last[2] is not None else None
    return Interval((point.at - last[0]) / 1000, point.count - last[1], total, added, point.least, point.most)


def end(rows: Rows, point: Ended) -> None:
    rows.drop(series_key("distribution", point.origin))


def _ends(bucket: Bucket) -> tuple[str, str]:
    """As texts: JSON has no infinities."""
    return repr(bucket[0]), repr(bucket[1])


def _added(now: tuple[Bucket, ...] | None, last: list[list[object]] | None) -> tuple[Bucket, ...] | None:
    """Below 0 where a bucket fell, which says that the series began anew. None where quantiles cannot be said."""
    if now is None or last is None:
        return None
    before = {(str(low), str(high)): float(str(n)) for low, high, n in last}
    left = dict(before)
    added = tuple((low, high, n - left.pop((repr(low), repr(high)), 0.0)) for low, high, n in now)
    if left:  # not the layout of before, or a bucket is gone
        return since(now, ((float(low), float(high), n) for (low, high), n in before.items()))
    return tuple(bucket for bucket in added if bucket[2])
