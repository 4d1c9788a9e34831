"""The bytes of a row: a fixed head, JSON for what is small and rare, packed columns for the series.

Version 1 had no units, version 2 another trend, no past and no outlooks: they are read, and what they lack starts anew.
"""

from __future__ import annotations

import struct
from dataclasses import asdict

import orjson

from schemas.records import RecommendedAction
from streams.optimisation.folding import Grid
from streams.optimisation.state import AssetRow, Outlook, Pending, Probe, Published, Refused, Ring, Series, Trend

VERSION = 3
_READ = (1, 2, 3)
_UNLEARNED = 2
"""The last version without what forecasts are made of."""
_HEAD = struct.Struct("<BIHIHB")
_SERIES = struct.Struct("<BqqqdQqHHHH")
_CELL = struct.Struct("<IIqd")
_COUNT = struct.Struct("<BI")
_WEIGHT = struct.Struct("<Bd")


class RowVersionError(ValueError):
    """Bytes of a row that this version cannot read: they were written by a newer one."""


def encode(row: AssetRow, grid: Grid) -> bytes:
    said = orjson.dumps(_said(row))
    head = _HEAD.pack(VERSION, grid.bucket_ms, grid.buckets, grid.generation_ms, len(said), len(row.series))
    return b"".join(
        (head, said, row.past.values, *(_encode_series(metric, s) for metric, s in sorted(row.series.items())))
    )


def decode(data: bytes, grid: Grid) -> AssetRow:
    """The row; its series start anew if they were kept on another grid. Raises RowVersionError."""
    version, bucket_ms, buckets, generation_ms, said_length, series_count = _HEAD.unpack_from(data)
    if version not in _READ:
        raise RowVersionError(f"row version {version}, this build reads {VERSION}: run a build that is as new")
    place = _HEAD.size + said_length
    said = orjson.loads(data[_HEAD.size : place])
    learned = said.pop() if version > _UNLEARNED else None
    row = _unsaid(said)
    if learned is not None:
        place = _relearn(row, learned, data, place)
    if (bucket_ms, buckets, generation_ms) != (grid.bucket_ms, grid.buckets, grid.generation_ms):
        return row
    for _ in range(series_count):
        metric, series, place = _decode_series(data, place)
        row.series[metric] = series
    return row


def _said(row: AssetRow) -> list[object]:
    parts = (row.pending, row.published, row.withdrawn, row.refused)
    past = (row.past.epoch, row.past.total, row.past.count, row.past.period, len(row.past.values))
    return [
        row.samples, row.newest_at, row.looked_at, row.looked_samples, row.idle_looks, row.next_look_at, row.cause_id,
        row.wishes, row.stepped_down_at,
        row.sized_at, row.snapshot_at, row.snapshot, row.units, row.units_at,
        [asdict(part) if part is not None else None for part in parts],
        [row.trend, past, row.lead, row.hold],
    ]  # fmt: skip


def _unsaid(said: list) -> AssetRow:  # type: ignore[type-arg]
    samples, newest_at, looked_at, looked_samples, idle_looks, next_look_at, cause_id, wishes, *rest = said
    stepped, sized, snapshot_at, snapshot, *units, parts = rest
    pending, published, withdrawn, refused, *_ = parts
    return AssetRow(
        {}, samples, newest_at, looked_at, looked_samples, idle_looks, next_look_at, cause_id,
        tuple((at, units) for at, units in wishes),
        Pending(RecommendedAction(pending["action"]), pending["since_at"]) if pending else None,
        Published(**{**published, "action": RecommendedAction(published["action"])}) if published else None,
        Refused(**withdrawn) if withdrawn else None,
        Refused(**refused) if refused else None,
        stepped_down_at=stepped, sized_at=sized, snapshot_at=snapshot_at, snapshot=tuple(snapshot),
        **dict(zip(("units", "units_at"), units, strict=False)),
    )  # fmt: skip


def _relearn(row: AssetRow, learned: list, data: bytes, place: int) -> int:  # type: ignore[type-arg]
    """What forecasts are made of; returns the place after the ring."""
    trend, (epoch, total, count, period, length), lead, hold = learned
    row.trend = Trend(**trend)
    row.past = Ring(epoch, total, count, data[place : place + length], period)
    row.lead, row.hold = _outlook(lead), _outlook(hold)
    return place + int(length)


def _outlook(said: dict) -> Outlook:  # type: ignore[type-arg]
    probes = tuple(Probe(**probe) for probe in said["probes"])
    return Outlook(**{**said, "sums": tuple(said["sums"]), "bounds": tuple(said["bounds"]), "probes": probes})


def _encode_series(metric: int, s: Series) -> bytes:
    ring = sorted(s.ring.items())
    base = ring[0][0] if ring else 0
    head = _SERIES.pack(
        metric, s.first_at, s.newest_at, s.last_at, s.last_value, s.count, s.generation,
        len(ring), len(s.current), len(s.previous), len(s.long),
    )  # fmt: skip
    cells = (_CELL.pack(epoch - base, count, total, greatest) for epoch, (count, total, greatest) in ring)
    bins = (_COUNT.pack(b, n) for counts in (s.current, s.previous) for b, n in sorted(counts.items()))
    weights = (_WEIGHT.pack(b, w) for b, w in sorted(s.long.items()))
    return b"".join((head, struct.pack("<q", base), *cells, *bins, *weights))


def _decode_series(data: bytes, place: int) -> tuple[int, Series, int]:
    metric, first_at, newest_at, last_at, last_value, count, generation, *lengths = _SERIES.unpack_from(data, place)
    (base,) = struct.unpack_from("<q", data, place + _SERIES.size)
    place += _SERIES.size + 8
    cells, place = _column(_CELL, data, place, lengths[0])
    current, place = _column(_COUNT, data, place, lengths[1])
    previous, place = _column(_COUNT, data, place, lengths[2])
    long, place = _column(_WEIGHT, data, place, lengths[3])
    ring = {base + offset: (n, total, greatest) for offset, n, total, greatest in cells}
    series = Series(
        first_at, newest_at, last_at, last_value, count, generation, ring, dict(current), dict(previous), dict(long)
    )
    return metric, series, place


def _column(form: struct.Struct, data: bytes, place: int, count: int) -> tuple[list, int]:  # type: ignore[type-arg]
    end = place + count * form.size
    return list(form.iter_unpack(data[place:end])), end
