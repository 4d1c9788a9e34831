"""Messages of health-signals to one set of columns; each bad row is refused, each misplaced row sent on. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas import columns as columnar
from schemas.codec import encode
from schemas.columns import RejectedRow, SampleColumns, Series
from schemas.errors import DecodeError, Reason
from schemas.wire import Wire
from streams.atleastonce.batch import Message, Output, dead_letter, partition_for
from streams.runtime.ingest import Rules, read_samples, refusal

SHOWN_ROWS = 5


@dataclass(slots=True)
class Gathered:
    """`columns` None = no acceptable sample. `outputs`: dead letters and records sent to where they belong."""

    columns: SampleColumns | None
    causes: Causes
    outputs: list[Output]
    refused: int
    sent_on: int


@dataclass(slots=True)
class Causes:
    """Names the cause of each row: `topic:partition:offset`, and `#row` within a batch message."""

    topic: str
    partition: int
    starts: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    single: list[bool] = field(default_factory=list)

    def __call__(self, row: int) -> str:
        i = bisect_right(self.starts, row) - 1
        name = f"{self.topic}:{self.partition}:{self.offsets[i]}"
        return name if self.single[i] else f"{name}#{row - self.starts[i]}"


def gather(rules: Rules, partition: int, messages: Iterable[Message]) -> Gathered:
    """The samples of the messages, in order."""
    found = Gathered(None, Causes(rules.topic, partition), [], 0, 0)
    index: dict[Series, int] = {}
    parts: list[SampleColumns] = []
    indexes: list[NDArray[np.int32]] = []
    rows = 0
    for message in messages:
        part = _of_message(rules, partition, message, found)
        if part is None or len(part) == 0:
            continue
        found.causes.starts.append(rows)
        found.causes.offsets.append(message.offset)
        found.causes.single.append(len(part) == 1 and len(part.series) == 1)
        table = np.array([index.setdefault(s, len(index)) for s in part.series], np.int32)
        indexes.append(table[part.series_index])
        parts.append(part)
        rows += len(part)
    if parts:
        found.columns = _joined(parts, indexes, tuple(index))
    return found


def _joined(
    parts: Sequence[SampleColumns], indexes: list[NDArray[np.int32]], series: tuple[Series, ...]
) -> SampleColumns:
    at = np.concatenate([p.at for p in parts])
    value = np.concatenate([p.value for p in parts])
    return SampleColumns(series, np.concatenate(indexes), at, value, parts[0].source)


def _of_message(rules: Rules, partition: int, message: Message, found: Gathered) -> SampleColumns | None:
    try:
        columns = read_samples(rules, message)
    except DecodeError as error:
        found.outputs.append(dead_letter(rules.topic, partition, message, *refusal(error)))
        found.refused += 1
        return None
    columns, ahead = _without_future(rules, message.timestamp, columns)
    rejected = (*columns.rejected, *ahead)
    if rejected:
        found.outputs.append(dead_letter(rules.topic, partition, message, rejected[0].code.value, _told(rejected)))
        found.refused += len(rejected)
    return _in_place(rules, partition, message, columns, found)


def _without_future(rules: Rules, broker_ms: int, columns: SampleColumns) -> tuple[SampleColumns, list[RejectedRow]]:
    latest = broker_ms + rules.max_future_ms
    if len(columns) == 0 or columns.at.max() <= latest:
        return columns, []
    ahead = columns.at > latest
    as_sent = np.delete(np.arange(len(columns) + len(columns.rejected)), [r.row for r in columns.rejected])
    rejected = [
        RejectedRow(
            int(as_sent[row]),
            Reason.TIME_OUT_OF_RANGE,
            f"at {columns.at[row]} is ahead of the broker's time {broker_ms}",
        )
        for row in np.flatnonzero(ahead)
    ]
    return _only(columns, ~ahead), rejected


def _in_place(rules: Rules, partition: int, message: Message, columns: SampleColumns, found: Gathered) -> SampleColumns:
    """The rows whose asset belongs on this partition; the others go out to theirs."""
    if rules.partitions == 1:
        return columns
    home = [partition_for(s.asset_id.encode(), rules.partitions) for s in columns.series]
    if all(p == partition for p in home):
        return columns
    of_row = np.array(home, np.int32)[columns.series_index]
    for target in sorted(set(of_row.tolist()) - {partition}):
        part = _only(columns, of_row == target)
        found.outputs.append(_sent_on(rules.topic, part))
        found.sent_on += len(part)
    return _only(columns, of_row == partition)


def _sent_on(topic: str, part: SampleColumns) -> Output:
    used = sorted(set(part.series_index.tolist()))
    renumbered = np.searchsorted(np.array(used, np.int32), part.series_index).astype(np.int32)
    compact = SampleColumns(tuple(part.series[i] for i in used), renumbered, part.at, part.value, part.source)
    key = compact.series[0].asset_id.encode()
    headers = (("content-type", Wire.SINGLE_OBJECT.value.encode()), ("maestro-sent-on", b"1"))
    return Output(topic, key, encode(columnar.to_batch(compact)), headers)


def _only(columns: SampleColumns, rows: NDArray[np.bool_]) -> SampleColumns:
    return SampleColumns(
        columns.series,
        columns.series_index[rows],
        columns.at[rows],
        columns.value[rows],
        columns.source,
        columns.rejected,
    )


def _told(rejected: Sequence[RejectedRow]) -> str:
    shown = "; ".join(f"row {r.row}: {r.message}" for r in rejected[:SHOWN_ROWS])
    more = f" (and {len(rejected) - SHOWN_ROWS} more rows)" if len(rejected) > SHOWN_ROWS else ""
    return shown + more
