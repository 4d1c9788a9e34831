"""Messages of health-signals to one set of columns; each bad row is refused, each misplaced row sent on. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.columns import RejectedRow, SampleColumns, Series
from schemas.errors import DecodeError, Reason
from schemas.samples import encode_samples, read_common_signal
from schemas.wire import Wire
from streams.atleastonce.batch import Message, Output, dead_letter, partition_for
from streams.runtime.ingest import Rules, read_samples, refusal

SHOWN_ROWS = 5

_Part = tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]
"""Series numbers, times and values of some rows."""


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
    """Names the cause of each row: `topic:partition:offset`, and `#row` (of those taken) if there are several."""

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
    growing = _Growing(rules, partition, found.causes)
    for message in messages:
        if not growing.takes_common(message):
            part = _of_message(rules, partition, message, found)
            if part is not None and len(part):
                growing.add(part, message.offset)
    found.columns = growing.columns()
    return found


class _Growing:
    """Columns in the making. Messages of one sample each, the many, become a row of lists without any array."""

    def __init__(self, rules: Rules, partition: int, causes: Causes) -> None:
        self._rules, self._partition, self._causes = rules, partition, causes
        self._index: dict[Series, int] = {}
        self._here: dict[Series, int] = {}  # those known to belong here: a batch may name others, without rows
        self._source: str | None = None
        self._keys: set[bytes] = set()
        self._rows = 0
        self._parts: list[_Part] = []
        self._of: list[int] = []
        self._at: list[int] = []
        self._value: list[float] = []

    def takes_common(self, message: Message) -> bool:
        """Takes one good sample that belongs here; False = not looked at closely, and nothing has happened."""
        rules, data = self._rules, message.value
        if data is None or (message.key not in self._keys and not self._is_key(message.key)):
            return False
        sample = read_common_signal(data, message.headers, max_bytes=rules.max_bytes)
        if sample is None:
            return False
        series, at, value, source = sample
        if at > message.timestamp + rules.max_future_ms:
            return False
        number = self._here.get(series)
        if number is None:
            if rules.partitions > 1 and partition_for(series.asset_id.encode(), rules.partitions) != self._partition:
                return False
            number = self._here[series] = self._index.setdefault(series, len(self._index))
        self._note(message.offset, True, source)
        self._of.append(number)
        self._at.append(at)
        self._value.append(value)
        self._rows += 1
        return True

    def add(self, part: SampleColumns, offset: int) -> None:
        """The samples of one message, which are not none."""
        self._end_singles()
        self._note(offset, len(part) == 1 and len(part.series) == 1, part.source)
        table = np.array([self._index.setdefault(s, len(self._index)) for s in part.series], np.int32)
        self._parts.append((table[part.series_index], part.at, part.value))
        self._rows += len(part)

    def columns(self) -> SampleColumns | None:
        self._end_singles()
        if not self._parts:
            return None
        index, at, value = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        return SampleColumns(tuple(self._index), index, at, value, self._source or "")

    def _is_key(self, key: bytes | None) -> bool:
        """Whether `read_key` takes it; remembered, for a fetch has few keys and many messages."""
        try:
            (key or b"").decode()
        except UnicodeDecodeError:
            return False
        if key:
            self._keys.add(key)
        return bool(key)

    def _note(self, offset: int, single: bool, source: str) -> None:
        self._causes.starts.append(self._rows)
        self._causes.offsets.append(offset)
        self._causes.single.append(single)
        if self._source is None:
            self._source = source

    def _end_singles(self) -> None:
        if self._of:
            self._parts.append(
                (np.array(self._of, np.int32), np.array(self._at, np.int64), np.array(self._value, np.float64))
            )
            self._of, self._at, self._value = [], [], []


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
    return Output(topic, key, encode_samples(compact), headers)


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
