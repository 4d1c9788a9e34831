"""Figures that are made of several series of one time: their parts wait in a row until the round is over.

A round of an asset's figure is over when one of its parts comes again, or when its message is known to hold all of it
(OTLP). Rows: [time, the foreign metric that owns the figure, ...]. Pure; rows are changed in place and put.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from streams.adapters.canonical import OWNER_MS, Served, Share, figures
from streams.adapters.layouts import together
from streams.adapters.points import Bucket, Origin, mark
from streams.adapters.rates import ANEW_MS, Interval
from streams.adapters.rows import Row, Rows
from streams.kit import ids

Part = list[Any]
"""Of a share: time, whether it counts above, whether below the line, value."""


class Figure(NamedTuple):
    """One sample, under the name by which it goes out."""

    asset_id: str
    metric: str
    unit: str
    at: int
    value: float


class Shares:
    """Rounds of `Share`s. Rows go on with: parts by their mark, the parts of this round, whether none was new.

    A sender that spreads its series over partitions (collectd without a key) never shows a whole round to one of them.
    So a figure takes the newest value of each part, and is given out once a round has passed that knew them all.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._open: dict[str, tuple[str, Share]] = {}

    def take(self, share: Share, owner: str, origin: Origin, at: int, value: float) -> list[Figure]:
        key = ids.row_key("share", origin.asset_id, share.metric)
        row = _own(self._rows.get(key), owner, at, [{}, [], False])
        if row is None:
            return []
        _, _, parts, fresh, settled = row
        name = mark(origin)
        if name in parts and at <= parts[name][0]:
            return []
        found: list[Figure] = []
        if name in fresh:
            found = _of_share(origin.asset_id, share, parts.values()) if settled else []
            for one in [one for one, part in parts.items() if at - part[0] >= OWNER_MS]:
                del parts[one]
            fresh.clear()
            settled = True
        settled = settled and name in parts
        parts[name] = [at, *share.places(origin.metric, origin.attributes), value]
        fresh.append(name)
        self._rows.put(key, [max(at, row[0]), owner, parts, fresh, settled])
        self._open[key] = (origin.asset_id, share)
        return found

    def close(self) -> list[Figure]:
        """Ends the rounds touched since the last call; they were whole."""
        found: list[Figure] = []
        for key, (asset_id, share) in self._open.items():
            row = self._rows.get(key)
            if row is not None:
                found += _of_share(asset_id, share, [row[2][name] for name in row[3]])
                self._rows.put(key, [row[0], row[1], {}, [], False])
        self._open.clear()
        return found

    def leave_open(self) -> None:
        self._open.clear()


class Requests:
    """Rounds of durations of requests. Rows go on with the sum of what came in this round, or None between rounds:

    requests, those that failed (None = not told), requests per second (None), total duration (None), buckets (None),
    least, most (None). Durations are in ms.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._open: dict[str, str] = {}

    def take(self, owner: str, origin: Origin, at: int, part: Served, factor_ms: float) -> list[Figure] | None:
        """The round before, if it is over; None = the part is not taken: late, or the figure is another metric's."""
        key = ids.row_key("requests", origin.asset_id)
        row = _own(self._rows.get(key), owner, at, [None])
        if row is None or at < row[0]:
            return None
        over = row[2] is not None and at > row[0]
        found = _of_requests(origin.asset_id, row) if over else []
        before = row[2] if at == row[0] else None
        self._rows.put(key, [at, owner, _sum(before, _flat(part, factor_ms))])
        self._open[key] = origin.asset_id
        return found

    def close(self) -> list[Figure]:
        """Ends the rounds touched since the last call; they were whole."""
        found: list[Figure] = []
        for key, asset_id in self._open.items():
            row = self._rows.get(key)
            if row is not None and row[2] is not None:
                found += _of_requests(asset_id, row)
                self._rows.put(key, [row[0], row[1], None])
        self._open.clear()
        return found

    def leave_open(self) -> None:
        self._open.clear()


def _own(row: Row | None, owner: str, at: int, new: list[Any]) -> Row | None:
    """The row to go on with; None = the figure is another metric's. A clock that was set back begins anew."""
    if row is None or (row[1] != owner and at - row[0] > OWNER_MS) or row[0] - at > ANEW_MS:
        return [0, owner, *new]
    return row if row[1] == owner else None


def _of_share(asset_id: str, share: Share, parts: Iterable[Part]) -> list[Figure]:
    known = list(parts)
    value = share.value([(above, below, value) for _, above, below, value in known])
    return [] if value is None else [Figure(asset_id, share.metric, "1", max(at for at, *_ in known), value)]


def _flat(part: Served, factor_ms: float) -> list[Any]:
    """One attribute set as the row has it: infinite ends of buckets as texts, for JSON has none."""
    i = part.interval
    buckets = None if i.buckets is None else {f"{a!r} {b!r}": n for a, b, n in _scaled(i.buckets, factor_ms)}
    rate = i.count / i.seconds if i.seconds else None
    failed = None if part.failed is None else i.count * part.failed
    spread = [None if x is None else x * factor_ms for x in (i.total, i.least, i.most)]
    return [i.count, failed, rate, spread[0], buckets, *spread[1:]]


def _scaled(buckets: Iterable[Bucket], factor: float) -> Iterable[Bucket]:
    return ((low * factor, high * factor, n) for low, high, n in buckets)


def _sum(one: list[Any] | None, other: list[Any]) -> list[Any]:
    """What an attribute set with requests does not tell, the sum does not tell; one without requests tells nothing."""
    if one is None or one[0] == 0:
        return other if one is None else [other[0], *_either(one, other), *other[3:]]
    if other[0] == 0:
        return [one[0], *_either(one, other), *one[3:]]
    total = None if one[3] is None or other[3] is None else one[3] + other[3]
    buckets = None if one[4] is None or other[4] is None else _summed(one[4], other[4])
    least = None if one[5] is None or other[5] is None else min(one[5], other[5])
    most = None if one[6] is None or other[6] is None else max(one[6], other[6])
    return [one[0] + other[0], *_either(one, other), total, buckets, least, most]


def _either(one: list[Any], other: list[Any]) -> list[Any]:
    """Failures and rates: one that tells is enough, for those that failed may be the only ones to say so."""
    return [b if a is None else a if b is None else a + b for a, b in zip(one[1:3], other[1:3], strict=True)]


def _summed(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    for ends, n in other.items():
        one[ends] = one.get(ends, 0.0) + n
    return one


def _of_requests(asset_id: str, row: Row) -> list[Figure]:
    count, failed, rate, total, stored, least, most = row[2]
    told = sorted((*map(float, ends.split(" ")), n) for ends, n in (stored or {}).items())
    buckets = None if stored is None else together((a, b, n) for a, b, n in told)
    found = [] if rate is None else [("throughput_per_s", "1/s", rate)]
    if count > 0:
        spread = figures(Interval(None, count, total, buckets, least, most))
        found += [(f"latency_ms{name}", "ms", value) for name, value in spread]
        if failed is not None:
            found.append(("error_rate", "1", failed / count))
    return [Figure(asset_id, metric, unit, row[0], value) for metric, unit, value in found]
