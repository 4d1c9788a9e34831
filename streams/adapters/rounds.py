"""Figures that are made of several series of one time: their parts wait in a row until the round is over.

A round of an asset's figure is over when one of its parts comes again, or when its message is known to hold all of it
(OTLP). Rows: [time, the foreign metric that owns the figure, parts]. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from streams.adapters.canonical import OWNER_MS, Served, Share, served
from streams.adapters.points import Origin
from streams.adapters.rates import Interval, attribute_text
from streams.adapters.rows import Row, Rows
from streams.kit import ids


class Figure(NamedTuple):
    """One sample under a name of ours."""

    asset_id: str
    metric: str
    unit: str
    at: int
    value: float


class Shares:
    """Rounds of `Share`s. A part: its attributes -> [time, the part's name, value]. Rows go on with: the parts of this
    round, and whether it brought no new part.

    A sender that spreads its series over partitions (collectd without a key) never shows a whole round to one of them.
    So a figure takes the newest value of each part, and is given out once a round has passed that knew them all.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._open: dict[str, tuple[str, Share]] = {}

    def take(self, share: Share, owner: str, origin: Origin, at: int, value: float) -> list[Figure]:
        key = ids.row_key("share", origin.asset_id, share.metric)
        row = _own(self._rows.get(key), owner, at)
        if row is None:
            return []
        parts: dict[str, list[Any]] = row[2] if row[2:] else {}
        fresh, settled = row[3:] or ([], False)
        name = f"{origin.metric}|{attribute_text(origin.attributes)}"
        if name in parts and at <= parts[name][0]:
            return []
        found: list[Figure] = []
        if name in fresh:
            found = _of_share(origin.asset_id, share, parts.values()) if settled else []
            parts = {one: part for one, part in parts.items() if at - part[0] < OWNER_MS}
            fresh, settled = [], True
        settled = settled and name in parts
        parts = {**parts, name: [at, share.part(origin.metric, origin.attributes), value]}
        self._rows.put(key, [max(at, row[0]), owner, parts, [*fresh, name], settled])
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
    """Rounds of durations of requests. A part: its attributes -> the fields of `Interval` and whether they failed."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._open: dict[str, str] = {}

    def take(self, owner: str, origin: Origin, at: int, part: Served, factor_ms: float) -> list[Figure]:
        key = ids.row_key("requests", origin.asset_id)
        row = _own(self._rows.get(key), owner, at)
        if row is None or at < row[0]:
            return []
        waiting: dict[str, list[object]] = row[2] if len(row) > 2 else {}
        found = _of_requests(origin.asset_id, row) if waiting and at > row[0] else []
        parts = waiting if at == row[0] else {}
        self._rows.put(key, [at, owner, {**parts, attribute_text(origin.attributes): _flat(part)}, factor_ms])
        self._open[key] = origin.asset_id
        return found

    def close(self) -> list[Figure]:
        """Ends the rounds touched since the last call."""
        found: list[Figure] = []
        for key, asset_id in self._open.items():
            row = self._rows.get(key)
            if row is not None and row[2]:
                found += _of_requests(asset_id, row)
                self._rows.put(key, [row[0], row[1], {}, row[3]])
        self._open.clear()
        return found

    def leave_open(self) -> None:
        self._open.clear()


def _own(row: Row | None, owner: str, at: int) -> Row | None:
    """The row to go on with; None = the figure is another metric's."""
    if row is None or (row[1] != owner and at - row[0] > OWNER_MS):
        return [0, owner]
    return row if row[1] == owner else None


def _of_share(asset_id: str, share: Share, parts: Iterable[list[Any]]) -> list[Figure]:
    known = list(parts)
    value = share.value([(name, value) for _, name, value in known])
    return [] if value is None else [Figure(asset_id, share.metric, "1", max(at for at, _, _ in known), value)]


def _of_requests(asset_id: str, row: Row) -> list[Figure]:
    parts = [_served(flat) for _, flat in sorted(row[2].items())]
    return [Figure(asset_id, metric, unit, row[0], value) for metric, unit, value in served(parts, row[3])]


def _flat(part: Served) -> list[object]:
    """As JSON carries it; infinite ends of buckets as texts."""
    i = part.interval
    buckets = None if i.buckets is None else [[repr(low), repr(high), n] for low, high, n in i.buckets]
    return [i.seconds, i.count, i.total, buckets, i.least, i.most, part.failed]


def _served(flat: list[object]) -> Served:
    seconds, count, total, stored, least, most, failed = flat
    buckets = None if stored is None else tuple((float(a), float(b), n) for a, b, n in stored)  # type: ignore[attr-defined]
    return Served(Interval(seconds, count, total, buckets, least, most), failed)  # type: ignore[arg-type]
