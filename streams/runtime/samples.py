"""Messages of health-signals to columns; each bad row is refused, each misplaced row sent on. Pure.

A `Gatherer` serves one partition. It numbers the series that it meets once and for all, so that whoever takes the
columns can keep what it knows of a series by its number, and remembers what was found out about names and senders'
tables. What it remembers changes how fast a message is read, never what is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.columns import SampleColumns, Series
from schemas.errors import DecodeError
from schemas.samples import batch_head, read_common_signal, series_of_table, signal_head
from schemas.signal_bytes import read_names
from streams.atleastonce.batch import Message, partition_for
from streams.atleastonce.fetched import Fetched
from streams.runtime.batch_scan import CAN_SCAN, STRANGER, room, scan_batches
from streams.runtime.batch_tables import BatchTables
from streams.runtime.causes import SINGLE, Causes
from streams.runtime.ingest import Rules
from streams.runtime.name_table import Long, NameTable
from streams.runtime.sample_messages import Gathered, of_message, only, sent_home
from streams.runtime.sample_parts import Part, append, of_one
from streams.runtime.signal_scan import HEAD_BYTES, NOT_TAKEN, Expected, scan

MOST_SERIES = 1_000_000
"""Series and their names that a gatherer remembers, some 200 bytes each; with one more it begins anew."""
MOST_TABLE_SERIES = 200_000
"""Series of the senders' tables that are remembered: a table may be new in each message, and as large as a message."""
MOST_TABLE_BYTES = 16_777_216
MOST_KEYS = 1_000_000


@dataclass(frozen=True, slots=True)
class _SenderTable:
    """The series of a sender's batches, which are the same object in each (`schemas.samples` reads a table once)."""

    series: Sequence[Series]
    numbers: NDArray[np.int32]
    home: NDArray[np.int32]
    all_at_home: bool


def gather(rules: Rules, partition: int, messages: Sequence[Message]) -> Gathered:
    """The samples of the messages, in order, by a gatherer that meets them for the first time."""
    return Gatherer(rules, partition).gather(messages)


class Gatherer:
    """Of one partition of one topic, for as long as it is owned."""

    def __init__(self, rules: Rules, partition: int) -> None:
        self._rules, self._partition = rules, partition
        self._expected = Expected.of(rules.max_future_ms, rules.max_bytes)
        self._forget()

    def _forget(self) -> None:
        self._series: list[Series] = []
        self._number: dict[Series, int] = {}
        self._names = NameTable()
        self._here: set[Series] = set()
        self._batches = BatchTables()
        self._tables: dict[int, _SenderTable] = {}
        self._table_series = 0
        self._keys: set[bytes] = set()

    def gather(self, messages: Sequence[Message]) -> Gathered:
        if len(self._series) > MOST_SERIES or len(self._keys) > MOST_KEYS:
            self._forget()
        found = Gathered(None, Causes(self._rules.topic, self._partition))
        parts: list[Part] = []
        fetched = Fetched.of(messages)
        if not (self._scanned(fetched, parts, found) or self._scanned_batches(fetched, parts, found)):
            for message in messages:
                self._add(message, parts, found)
        if parts:
            index, at, value, number, row = (
                (np.concatenate(column) for column in zip(*parts, strict=True)) if len(parts) > 1 else parts[0]
            )
            found.columns = SampleColumns(self._series, index, at, value)
            found.causes.number, found.causes.row = number, row
        return found

    # --- many messages of one sample each ---

    def _scanned(self, messages: Fetched, parts: list[Part], found: Gathered) -> bool:
        """False: these are not messages of one sample; nothing has happened."""
        if not messages.first_value_starts_with(signal_head()):
            return False
        series, at, value, left = scan(self._names, self._expected, messages)
        numbers = np.ascontiguousarray(messages.records["offset"])
        columns = (series, at, value, numbers, np.full(len(messages), SINGLE, np.int32))
        if left:
            self._complete(messages, columns, parts, found)
        else:
            parts.append(columns)
        return True

    def _complete(self, messages: Sequence[Message], columns: Part, parts: list[Part], found: Gathered) -> None:
        """Reads what the scan has left, in order; the runs of messages between are taken as they are."""
        series, at, value, _, _ = columns
        start = 0
        for i in np.flatnonzero(series == NOT_TAKEN).tolist():
            sample = self._common(messages[i])
            if sample is not None:
                series[i], at[i], value[i] = sample
                continue
            append(parts, columns, start, i)
            self._add(messages[i], parts, found)
            start = i + 1
        append(parts, columns, start, len(series))

    def _common(self, message: Message) -> tuple[int, int, float] | None:
        """One good sample that belongs here, whose names are known from now on; None = not sure, nothing happened."""
        rules, data = self._rules, message.value
        if data is None or not self._is_key(message.key):
            return None
        sample = read_common_signal(data, message.headers, max_bytes=rules.max_bytes)
        if sample is None:
            return None
        series, at, value, _ = sample
        if at > message.timestamp + rules.max_future_ms or not self._is_here(series):
            return None
        number = self._number_of(series)
        self._names.put(read_names(data, HEAD_BYTES), number)
        return number, at, value

    def _is_here(self, series: Series) -> bool:
        if series in self._here:
            return True
        partitions = self._rules.partitions
        if partitions > 1 and partition_for(series.asset_id.encode(), partitions) != self._partition:
            return False
        self._here.add(series)
        return True

    def _is_key(self, key: bytes | None) -> bool:
        """Whether `read_key` takes it; remembered, for a fetch has few keys and many messages."""
        if key in self._keys:
            return True
        try:
            (key or b"").decode()
        except UnicodeDecodeError:
            return False
        if key:
            self._keys.add(key)
        return bool(key)

    # --- many batches ---

    def _scanned_batches(self, messages: Fetched, parts: list[Part], found: Gathered) -> bool:
        """False: these are not batches; nothing has happened."""
        if not (CAN_SCAN and messages.first_value_starts_with(batch_head())):
            return False
        rows, message, taken, start = room(messages), 0, 0, 0
        while True:
            message, taken, why, table_at = scan_batches(self._batches, self._expected, messages, message, rows, taken)
            if message < len(messages) and why == STRANGER and self._met(messages, message, table_at):
                continue
            append(parts, rows, start, taken)
            if message == len(messages):
                return True
            self._add(messages[message], parts, found)
            message, start = message + 1, taken

    def _met(self, messages: Fetched, message: int, table_at: Long) -> bool:
        """Whether the scan knows the message's table from now on: its series are named, and of this partition."""
        data = messages.data[table_at : int(messages.records[message]["value_end"])]
        try:
            series, unnamed = series_of_table(data)
        except DecodeError:
            return False
        table = self._table(series)
        if unnamed or not table.all_at_home:
            return False
        if self._batches.series + len(series) > MOST_TABLE_SERIES or self._batches.size_bytes > MOST_TABLE_BYTES:
            self._batches = BatchTables()
        self._batches.put(data, table.numbers)
        return True

    # --- any message ---

    def _add(self, message: Message, parts: list[Part], found: Gathered) -> None:
        sample = self._common(message)
        if sample is not None:
            of, at, value = sample
            parts.append(
                of_one(np.array([of], np.int32), np.array([at]), np.array([value]), message.offset, single=True)
            )
            return
        taken = of_message(self._rules, message, self._partition, found)
        if taken is None or len(taken) == 0:
            return
        table = self._table(taken.series)
        if not table.all_at_home:
            taken = self._in_place(taken, table, found)
            if len(taken) == 0:
                return
        numbers = table.numbers[taken.series_index]
        # Whatever table it came with: that is all an exported log tells of it, and replay has to name it alike.
        parts.append(of_one(numbers, taken.at, taken.value, message.offset, single=len(taken) == 1))

    def _table(self, series: Sequence[Series]) -> _SenderTable:
        """What is known of a sender's series; kept for tables of several, which senders use again."""
        known = self._tables.get(id(series))
        if known is not None and known.series is series:
            return known
        partitions = self._rules.partitions
        home = np.array(
            [partition_for(s.asset_id.encode(), partitions) if partitions > 1 else self._partition for s in series],
            np.int32,
        )
        numbers = np.array([self._number_of(s) for s in series], np.int32)
        table = _SenderTable(series, numbers, home, bool((home == self._partition).all()))
        if len(series) > 1:
            if self._table_series > MOST_TABLE_SERIES:
                self._tables.clear()
                self._table_series = 0
            self._tables[id(series)] = table
            self._table_series += len(series)
        return table

    def _number_of(self, series: Series) -> int:
        number = self._number.get(series)
        if number is None:
            number = self._number[series] = len(self._series)
            self._series.append(series)
        return number

    def _in_place(self, taken: SampleColumns, table: _SenderTable, found: Gathered) -> SampleColumns:
        """The rows whose asset belongs on this partition; the others go out to theirs."""
        of_row = table.home[taken.series_index]
        for target in sorted(set(of_row.tolist()) - {self._partition}):
            part = only(taken, of_row == target)
            found.outputs.append(sent_home(self._rules.topic, part))
            found.sent_on += len(part)
        return only(taken, of_row == self._partition)
