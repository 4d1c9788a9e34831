"""A fetch of HealthSignal messages read in one go: names looked up by their bytes, values and times into columns.

    c3 01 fingerprint | asset_id  metric | value   | unit   | at     | tags source trace_id |
    `---- head -----' | `--- names ----' | 8 bytes | string | varint | `------ tail ------' |

Only what is sure is taken: the current schema, names that are known (so: valid, and of this partition), a finite value,
a time within bounds, a tail of plain ASCII. Everything else is left, with -1, to the readers that know how to refuse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.kit.kernel import kernel

HEAD_BYTES = 10
NOT_TAKEN = -1
_FIRST_ENTRIES = 1_024
_FIRST_ARENA_BYTES = 65_536

Bytes = NDArray[np.uint8]
Longs = NDArray[np.int64]
Long = int | np.int64
"""A kernel knows one kind of integer only."""


class NameTable:
    """Open addressing over the raw bytes of asset id, metric and unit; each has the number of its series.

    `buckets[hash & mask]` is an entry or -1 (linear probing, at most half full); entry e's key is
    `arena[starts[e] : starts[e + 1]]`.
    """

    def __init__(self) -> None:
        self.count = 0
        self.buckets = np.full(2 * _FIRST_ENTRIES, -1, np.int32)
        self.hashes = np.zeros(_FIRST_ENTRIES, np.uint64)
        self.numbers = np.zeros(_FIRST_ENTRIES, np.int32)
        self.starts = np.zeros(_FIRST_ENTRIES + 1, np.int64)
        self.arena = np.zeros(_FIRST_ARENA_BYTES, np.uint8)

    def put(self, names: bytes, number: int) -> None:
        """Names that are there already keep their number."""
        key = np.frombuffer(names, np.uint8)
        if self.count == len(self.hashes):
            self._grow()
        start = int(self.starts[self.count])
        if start + len(key) > len(self.arena):
            self.arena = np.concatenate((self.arena, np.zeros(max(len(self.arena), len(key)), np.uint8)))
        hashed = np.uint64(_hash(key, 0, len(key), _SEED))  # a kernel gives Python a plain int
        bucket = _bucket(self.buckets, self.hashes, self.starts, self.arena, hashed, key, 0, len(key), 0, 0)
        if self.buckets[bucket] >= 0:
            return
        self.arena[start : start + len(key)] = key
        self.buckets[bucket], self.hashes[self.count], self.numbers[self.count] = self.count, hashed, number
        self.count += 1
        self.starts[self.count] = start + len(key)

    def _grow(self) -> None:
        more = len(self.hashes)
        self.hashes = np.concatenate((self.hashes, np.zeros(more, np.uint64)))
        self.numbers = np.concatenate((self.numbers, np.zeros(more, np.int32)))
        self.starts = np.concatenate((self.starts, np.zeros(more, np.int64)))
        self.buckets = np.full(4 * more, -1, np.int32)
        _rehash(self.buckets, self.hashes, self.count)


def scan(
    names: NameTable, head: Bytes, data: Bytes, ends: Longs, latest_at: Longs, earliest_at: int, max_bytes: int
) -> tuple[NDArray[np.int32], Longs, NDArray[np.float64], int]:
    """Series number, time and value of each message, and how many were not taken (their number is `NOT_TAKEN`).

    Message i is `data[ends[i - 1] : ends[i]]`; `latest_at[i]` is the latest event time that is taken from it, ms.
    """
    count = len(ends)
    series, at, value = np.empty(count, np.int32), np.empty(count, np.int64), np.empty(count, np.float64)
    left = _scan(
        names.buckets, names.hashes, names.starts, names.arena, names.numbers, head, data, ends, latest_at,
        earliest_at, max_bytes, series, at, value,
    )  # fmt: skip
    return series, at, value, left


_SEED = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)


@kernel
def _hash(data: Bytes, start: Long, end: Long, seed: np.uint64) -> np.uint64:
    """FNV-1a (Fowler, Noll, Vo 1991); chained by `seed`."""
    h = seed
    for i in range(start, end):
        h = (h ^ np.uint64(data[i])) * _PRIME
    return h


@kernel
def _bucket(
    buckets: NDArray[np.int32], hashes: NDArray[np.uint64], starts: Longs, arena: Bytes, hashed: np.uint64,
    data: Bytes, a: Long, a_end: Long, b: Long, b_end: Long,
) -> Long:  # fmt: skip
    """The bucket of the key `data[a:a_end] + data[b:b_end]`, or the empty one where it belongs."""
    mask = len(buckets) - 1
    bucket = np.int64((hashed ^ (hashed >> np.uint64(32))) & np.uint64(mask))
    while True:
        entry = buckets[bucket]
        if entry < 0:
            return bucket
        start = starts[entry]
        if hashes[entry] == hashed and starts[entry + 1] - start == (a_end - a) + (b_end - b):
            same = True
            for i in range(a, a_end):
                if arena[start + i - a] != data[i]:
                    same = False
                    break
            if same:
                start += a_end - a
                for i in range(b, b_end):
                    if arena[start + i - b] != data[i]:
                        same = False
                        break
            if same:
                return bucket
        bucket = (bucket + 1) & mask


@kernel
def _rehash(buckets: NDArray[np.int32], hashes: NDArray[np.uint64], count: Long) -> None:
    mask = len(buckets) - 1
    for entry in range(count):
        hashed = hashes[entry]
        bucket = np.int64((hashed ^ (hashed >> np.uint64(32))) & np.uint64(mask))
        while buckets[bucket] >= 0:
            bucket = (bucket + 1) & mask
        buckets[bucket] = entry


@kernel
def _after_short(data: Bytes, at: Long, end: Long) -> Long:
    """Where a string of at most 63 bytes ends; -1 for any other, or if it is cut short."""
    if at >= end or data[at] & 0x81:
        return -1
    after = at + 1 + (np.int64(data[at]) >> 1)
    return after if after <= end else -1


@kernel
def _long(data: Bytes, at: Long, end: Long) -> tuple[Long, Long]:
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
def _after_ascii(data: Bytes, at: Long, end: Long) -> Long:
    """Where a string of ASCII ends; -1 for any other, or if it is cut short."""
    length, at = _long(data, at, end)
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
        count, at = _long(data, at, end)
        if at < 0 or count < 0 or count > end - at:
            return False
        if count == 0:
            break
        for _ in range(2 * count):
            at = _after_ascii(data, at, end)
            if at < 0:
                return False
    at = _after_ascii(data, at, end)
    if at < 0 or at >= end:
        return False
    branch = data[at]
    at += 1
    if branch == 2:
        at = _after_ascii(data, at, end)
    elif branch != 0:
        return False
    return at == end


@kernel
def _scan(
    buckets: NDArray[np.int32], hashes: NDArray[np.uint64], starts: Longs, arena: Bytes, numbers: NDArray[np.int32],
    head: Bytes, data: Bytes, ends: Longs, latest_at: Longs, earliest_at: Long, max_bytes: Long,
    out_series: NDArray[np.int32], out_at: Longs, out_value: NDArray[np.float64],
) -> int:  # fmt: skip
    bits = np.empty(1, np.uint64)
    double = bits.view(np.float64)
    left, start = 0, np.int64(0)
    for i in range(len(ends)):
        begin, end = start, ends[i]
        start = end
        out_series[i] = -1
        left += 1
        body = begin + len(head)
        if end - begin > max_bytes or body > end:
            continue
        told = True
        for j in range(len(head)):
            if data[begin + j] != head[j]:
                told = False
                break
        if not told:
            continue
        metric_at = _after_short(data, body, end)
        value_at = _after_short(data, metric_at, end) if metric_at >= 0 else -1
        if value_at < 0 or value_at + 8 > end:
            continue
        unit_at = value_at + 8
        time_at = _after_short(data, unit_at, end)
        if time_at < 0:
            continue
        at, tail_at = _long(data, time_at, end)
        if tail_at < 0 or at < earliest_at or at > latest_at[i] or not _is_plain_tail(data, tail_at, end):
            continue
        word = np.uint64(0)
        for j in range(8):
            word |= np.uint64(data[value_at + j]) << np.uint64(8 * j)
        bits[0] = word
        if not np.isfinite(double[0]):
            continue
        hashed = _hash(data, unit_at, time_at, _hash(data, body, value_at, _SEED))
        bucket = _bucket(buckets, hashes, starts, arena, hashed, data, body, value_at, unit_at, time_at)
        entry = buckets[bucket]
        if entry < 0:
            continue
        out_series[i], out_at[i], out_value[i] = numbers[entry], at, double[0]
        left -= 1
    return left
