"""A fetch of HealthSignalBatch messages read in one go: series by their sender's table, columns copied once.

    c3 01 fingerprint | source | n x int32  | n x int64 | n x float64 | series                    |
    `---- head -----' |        | of a table | times     | values      | a table, known by its bytes |

Only what is sure is taken, as in `signal_scan`: a table all of whose series are named and of this partition, columns of
one length, a source of ASCII, and every row acceptable. The first message that is not sure ends the scan.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.samples import batch_head
from streams.atleastonce.fetched import Fetched
from streams.kit.kernel import kernel
from streams.runtime.batch_tables import BatchTables, hash_words, table_bucket
from streams.runtime.causes import SINGLE
from streams.runtime.name_table import Bytes, Long, Longs
from streams.runtime.signal_scan import Expected, after_ascii, is_plain_key, read_long, speaks_of_our_wire

ROW_BYTES = 20
"""Of a sample in the three columns."""
UNSURE, STRANGER = range(2)
"""Why a message was not taken: it is for the general reader; or only its table is not known."""
LARGEST = float(np.finfo(np.float64).max)
CAN_SCAN = sys.byteorder == "little"
"""The columns of a message are little-endian, and become ours as they are."""


class Rows(NamedTuple):
    """Samples as the gatherer collects them, and room for a column as it was sent."""

    series: NDArray[np.int32]
    at: Longs
    value: NDArray[np.float64]
    number: Longs
    row: NDArray[np.int32]


@cache
def expected_head() -> Bytes:
    """The first bytes of a HealthSignalBatch of the current schema on our own wire."""
    return np.frombuffer(batch_head(), np.uint8)


def room(messages: Fetched) -> Rows:
    """For as many samples as the messages can hold."""
    most = int(messages.value_bytes().sum()) // ROW_BYTES
    return Rows(
        np.empty(most, np.int32), np.empty(most, np.int64), np.empty(most), np.empty(most, np.int64),
        np.empty(most, np.int32),
    )  # fmt: skip


def scan_batches(
    tables: BatchTables, expected: Expected, messages: Fetched, first: int, rows: Rows, taken: int
) -> tuple[int, int, int, Long]:
    """From message `first` on, into `rows` from `taken` on. Gives the message that was not taken (or how many there
    are), how many rows are taken then, why, and where that message's table begins.
    """
    return _scan(
        tables.buckets, tables.hashes, tables.starts, tables.firsts, tables.arena, tables.numbers, expected,
        expected_head(), np.frombuffer(messages.data, np.uint8), messages.records, first, rows, taken,
        rows.series.view(np.uint8), rows.at.view(np.uint8), rows.value.view(np.uint8),
    )  # fmt: skip


@kernel
def _scan(
    buckets: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    starts: Longs,
    firsts: Longs,
    arena: Bytes,
    numbers: NDArray[np.int32],
    expected: Expected,
    head: Bytes,
    data: Bytes,
    records: NDArray[np.void],
    first: int,
    rows: Rows,
    taken: int,
    series_bytes: Bytes,
    at_bytes: Bytes,
    value_bytes: Bytes,
) -> tuple[int, int, int, Long]:
    for i in range(first, len(records)):
        record = records[i]
        begin, end = np.int64(record.value_at), np.int64(record.value_end)
        source_at = begin + len(head)
        if begin < 0 or end - begin > expected.max_bytes or source_at > end:
            return i, taken, UNSURE, 0
        for j in range(len(head)):
            if data[begin + j] != head[j]:
                return i, taken, UNSURE, 0
        if not is_plain_key(data, record.key_at, record.key_end):
            return i, taken, UNSURE, 0
        headers_at, record_end = np.int64(record.headers_at), np.int64(record.end)
        if not speaks_of_our_wire(data, headers_at, record_end, expected.content_type, expected.wire):
            return i, taken, UNSURE, 0
        index_at, index_end = _bytes(data, after_ascii(data, source_at, end), end)
        times_at, times_end = _bytes(data, index_end, end)
        values_at, table_at = _bytes(data, times_end, end)
        if table_at < 0:
            return i, taken, UNSURE, 0
        count = (index_end - index_at) // 4
        if index_end - index_at != 4 * count or times_end - times_at != 8 * count or table_at - values_at != 8 * count:
            return i, taken, UNSURE, 0
        hashed = np.uint64(hash_words(data, table_at, end))
        table = buckets[table_bucket(buckets, hashes, starts, arena, hashed, data, table_at, end)]
        if table < 0:
            return i, taken, STRANGER, table_at
        _copy(data, index_at, series_bytes, 4 * taken, 4 * count)
        _copy(data, times_at, at_bytes, 8 * taken, 8 * count)
        _copy(data, values_at, value_bytes, 8 * taken, 8 * count)
        latest_at = min(record.timestamp + expected.max_future_ms, expected.latest_at)
        if not _are_good(rows, taken, count, expected.earliest_at, latest_at, firsts[table + 1] - firsts[table]):
            return i, taken, UNSURE, 0
        _name(rows, taken, count, numbers, firsts[table], record.offset)
        taken += int(count)
    return len(records), taken, UNSURE, 0


@kernel
def _copy(data: Bytes, at: Long, into: Bytes, start: Long, size: Long) -> None:
    a, b = np.uint64(at), np.uint64(start)
    for j in range(np.uint64(size)):
        into[b + j] = data[a + j]


@kernel
def _name(rows: Rows, first: Long, count: Long, numbers: NDArray[np.int32], table: Long, offset: Long) -> None:
    """From places in the table to numbers of series; of which message and row each sample is."""
    a, b, single = np.uint64(first), np.uint64(table), count == 1
    for k in range(np.uint64(count)):
        rows.series[a + k] = numbers[b + np.uint64(rows.series[a + k])]
        rows.number[a + k] = offset
        rows.row[a + k] = SINGLE if single else k


@kernel
def _bytes(data: Bytes, at: Long, end: Long) -> tuple[Long, Long]:
    """Where a field of bytes begins and ends; -1 as the end if it is cut short, or `at` is -1 already."""
    if at < 0:
        return np.int64(-1), np.int64(-1)
    length, at = read_long(data, at, end)
    if at < 0 or length < 0 or length > end - at:
        return np.int64(-1), np.int64(-1)
    return at, at + length


@kernel
def _are_good(rows: Rows, first: Long, count: Long, earliest_at: int, latest_at: int, series: Long) -> bool:
    """Are all of these rows acceptable? Without a way out of the loop, so that it is done many rows at a time."""
    bad, a = 0, np.uint64(first)
    for k in range(np.uint64(count)):
        bad |= (rows.series[a + k] < 0) | (rows.series[a + k] >= series)
        bad |= (rows.at[a + k] < earliest_at) | (rows.at[a + k] > latest_at)
        bad |= not abs(rows.value[a + k]) <= LARGEST
    return bad == 0
