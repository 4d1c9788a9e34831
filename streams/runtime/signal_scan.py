"""A fetch of HealthSignal messages read in one go: names looked up by their bytes, values and times into columns.

    c3 01 fingerprint | asset_id  metric | value   | unit   | at     | tags source trace_id |
    `---- head -----' | `--- names ----' | 8 bytes | string | varint | `------ tail ------' |

Only what is sure is taken: a key of plain ASCII, headers that do not speak of another content type, the current schema,
names that are known (so: valid, and of this partition), a finite value, a time within bounds, a tail of plain ASCII.
Everything else is left, with -1, to the readers that know how to refuse.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.records import EARLIEST_AT, LATEST_AT
from schemas.samples import OWN_HEADER, signal_head
from streams.atleastonce.fetched import Fetched
from streams.kit.kernel import kernel
from streams.runtime.name_table import SEED, Bytes, Long, Longs, NameTable, bucket_of, hash_of

HEAD_BYTES = 10
NOT_TAKEN = -1


class Expected(NamedTuple):
    """What a message is compared with. Arguments, not constants: compiled code does not notice when those change."""

    head: Bytes
    """How a value begins."""
    content_type: Bytes
    wire: Bytes
    """Name and value of the one header that speaks of the content."""
    earliest_at: int
    latest_at: int
    max_future_ms: int
    """By how much a sample may be ahead of the time that the broker or the producer gave its message."""
    max_bytes: int

    @classmethod
    def of(cls, max_future_ms: int, max_bytes: int) -> Expected:
        name, wire = OWN_HEADER
        head, content_type, value = (np.frombuffer(b, np.uint8) for b in (signal_head(), name.encode(), wire))
        return cls(head, content_type, value, EARLIEST_AT, LATEST_AT, max_future_ms, max_bytes)


def scan(
    names: NameTable, expected: Expected, messages: Fetched
) -> tuple[NDArray[np.int32], Longs, NDArray[np.float64], int]:
    """Series number, time and value of each message, and how many were not taken (their number is `NOT_TAKEN`)."""
    count, data = len(messages), np.frombuffer(messages.data, np.uint8)
    series, at, value = np.empty(count, np.int32), np.empty(count, np.int64), np.empty(count, np.float64)
    left = _scan(
        names.buckets, names.hashes, names.starts, names.arena, names.numbers, expected, data, messages.records,
        series, at, value,
    )  # fmt: skip
    return series, at, value, left


@kernel
def _after_short(data: Bytes, at: Long, end: Long) -> Long:
    """Where a string of at most 63 bytes ends; -1 for any other, or if it is cut short."""
    if at >= end or data[at] & 0x81:
        return -1
    after = at + 1 + (np.int64(data[at]) >> 1)
    return after if after <= end else -1


@kernel
def read_long(data: Bytes, at: Long, end: Long) -> tuple[Long, Long]:
    """A zigzag varint of at most 8 bytes and where it ends; -1 as the end if it is longer or cut short."""
    number, shift = np.int64(0), np.int64(0)
    while at < end and shift <= 49:
        byte = np.int64(data[at])
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
        shift += 7
    return np.int64(0), np.int64(-1)


@kernel
def after_ascii(data: Bytes, at: Long, end: Long) -> Long:
    """Where a string of ASCII ends; -1 for any other, or if it is cut short."""
    length, at = read_long(data, at, end)
    if at < 0 or length < 0 or length > end - at:
        return -1
    for i in range(at, at + length):
        if data[i] >= 0x80:
            return -1
    return at + length


@kernel
def _is_plain_tail(data: Bytes, at: Long, end: Long) -> bool:
    """Tags (a map of strings), source (a string) and trace id (null or a string), all ASCII, to the last byte."""
    while True:
        count, at = read_long(data, at, end)
        if at < 0 or count < 0 or count > end - at:
            return False
        if count == 0:
            break
        for _ in range(2 * count):
            at = after_ascii(data, at, end)
            if at < 0:
                return False
    at = after_ascii(data, at, end)
    if at < 0 or at >= end:
        return False
    branch = data[at]
    at += 1
    if branch == 2:
        at = after_ascii(data, at, end)
    elif branch != 0:
        return False
    return at == end


@kernel
def is_plain_key(data: Bytes, at: Long, end: Long) -> bool:
    """Neither null nor empty, and ASCII."""
    for i in range(at, end):
        if data[i] >= 0x80:
            return False
    return bool(0 <= at < end)


@kernel
def speaks_of_our_wire(data: Bytes, at: Long, end: Long, content_type: Bytes, wire: Bytes) -> bool:
    """No header is a content type other than our own (`schemas.samples.is_common_form`), as far as is sure."""
    count, at = read_long(data, at, end)
    for _ in range(count):
        size, at = read_long(data, at, end)
        is_content_type = size == len(content_type)
        for i in range(size):
            if is_content_type and (data[at + i] | 0x20) != content_type[i] | 0x20:
                is_content_type = False
        size, at = read_long(data, at + size, end)
        if is_content_type:
            if size != len(wire):
                return False
            for i in range(size):
                if data[at + i] != wire[i]:
                    return False
        at += max(size, 0)
    return True


@kernel
def _scan(
    buckets: NDArray[np.int32], hashes: NDArray[np.uint64], starts: Longs, arena: Bytes, numbers: NDArray[np.int32],
    expected: Expected, data: Bytes, records: NDArray[np.void],
    out_series: NDArray[np.int32], out_at: Longs, out_value: NDArray[np.float64],
) -> int:  # fmt: skip
    head = expected.head
    bits = np.empty(1, np.uint64)
    double = bits.view(np.float64)
    left = 0
    for i in range(len(records)):
        record = records[i]
        begin, end = np.int64(record.value_at), np.int64(record.value_end)
        out_series[i] = -1
        left += 1
        body = begin + len(head)
        if begin < 0 or end - begin > expected.max_bytes or body > end:
            continue
        if not is_plain_key(data, record.key_at, record.key_end):
            continue
        told = True
        for j in range(len(head)):
            if data[begin + j] != head[j]:
                told = False
                break
        if not told:
            continue
        headers_at, record_end = np.int64(record.headers_at), np.int64(record.end)
        if not speaks_of_our_wire(data, headers_at, record_end, expected.content_type, expected.wire):
            continue
        metric_at = _after_short(data, body, end)
        value_at = _after_short(data, metric_at, end) if metric_at >= 0 else -1
        if value_at < 0 or value_at + 8 > end:
            continue
        unit_at = value_at + 8
        time_at = _after_short(data, unit_at, end)
        if time_at < 0:
            continue
        at, tail_at = read_long(data, time_at, end)
        latest_at = min(record.timestamp + expected.max_future_ms, expected.latest_at)
        if tail_at < 0 or at < expected.earliest_at or at > latest_at or not _is_plain_tail(data, tail_at, end):
            continue
        word = np.uint64(0)
        for j in range(8):
            word |= np.uint64(data[value_at + j]) << np.uint64(8 * j)
        bits[0] = word
        if not np.isfinite(double[0]):
            continue
        hashed = hash_of(data, unit_at, time_at, hash_of(data, body, value_at, SEED))
        bucket = bucket_of(buckets, hashes, starts, arena, hashed, data, body, value_at, unit_at, time_at)
        entry = buckets[bucket]
        if entry < 0:
            continue
        out_series[i], out_at[i], out_value[i] = numbers[entry], at, double[0]
        left -= 1
    return left
