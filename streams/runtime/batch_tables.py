"""Senders' series tables by their bytes: an open hash table that compiled code looks the tables of batches up in."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from streams.kit.kernel import kernel
from streams.runtime.name_table import SEED, Bytes, Long, Longs

Item = TypeVar("Item", np.uint8, np.int32)
_FIRST_TABLES = 64
_PRIME = np.uint64(0x9E3779B97F4A7C15)


class BatchTables:
    """Open addressing over whole tables, at most half full.

    `buckets[hash & mask]` is a table or -1; table t is `arena[starts[t] : starts[t + 1]]`, the number of its series i
    is `numbers[firsts[t] + i]`, and it has `firsts[t + 1] - firsts[t]` of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self.buckets = np.full(2 * _FIRST_TABLES, -1, np.int32)
        self.hashes = np.zeros(_FIRST_TABLES, np.uint64)
        self.starts = np.zeros(_FIRST_TABLES + 1, np.int64)
        self.firsts = np.zeros(_FIRST_TABLES + 1, np.int64)
        self.arena = np.zeros(0, np.uint8)
        self.numbers = np.zeros(0, np.int32)

    @property
    def series(self) -> int:
        """How many all tables have together."""
        return int(self.firsts[self.count])

    @property
    def size_bytes(self) -> int:
        """Of all tables."""
        return int(self.starts[self.count])

    def put(self, table: bytes, numbers: NDArray[np.int32]) -> None:
        """A table that is there already stays as it is."""
        data = np.frombuffer(table, np.uint8)
        if self.count == len(self.hashes):
            self._grow()
        hashed = np.uint64(hash_words(data, 0, len(data)))
        bucket = table_bucket(self.buckets, self.hashes, self.starts, self.arena, hashed, data, 0, len(data))
        if self.buckets[bucket] >= 0:
            return
        start, first = int(self.starts[self.count]), int(self.firsts[self.count])
        self.arena, self.numbers = _room(self.arena, start + len(data)), _room(self.numbers, first + len(numbers))
        self.arena[start : start + len(data)] = data
        self.numbers[first : first + len(numbers)] = numbers
        self.buckets[bucket], self.hashes[self.count] = self.count, hashed
        self.count += 1
        self.starts[self.count], self.firsts[self.count] = start + len(data), first + len(numbers)

    def _grow(self) -> None:
        more = len(self.hashes)
        self.hashes = np.concatenate((self.hashes, np.zeros(more, np.uint64)))
        self.starts = np.concatenate((self.starts, np.zeros(more, np.int64)))
        self.firsts = np.concatenate((self.firsts, np.zeros(more, np.int64)))
        self.buckets = np.full(4 * more, -1, np.int32)
        for table in range(self.count):
            bucket = int(self.hashes[table]) % len(self.buckets)
            while self.buckets[bucket] >= 0:
                bucket = (bucket + 1) % len(self.buckets)
            self.buckets[bucket] = table


def _room(array: NDArray[Item], size: int) -> NDArray[Item]:
    if size <= len(array):
        return array
    more = np.zeros(max(size - len(array), len(array)), array.dtype)
    return np.concatenate((array, more))


@kernel
def _word(data: Bytes, at: Long) -> np.uint64:
    word, first = np.uint64(0), np.uint64(at)  # places without a sign need no look whether they count from the end
    for j in range(np.uint64(8)):
        word |= np.uint64(data[first + j]) << (np.uint64(8) * j)
    return word


@kernel
def hash_words(data: Bytes, at: Long, end: Long) -> np.uint64:
    """Eight bytes at a time: a table has thousands."""
    hashed = SEED ^ np.uint64(end - at)
    while at + 8 <= end:
        hashed = (hashed ^ _word(data, at)) * _PRIME
        hashed ^= hashed >> np.uint64(29)
        at += 8
    while at < end:
        hashed = (hashed ^ np.uint64(data[at])) * _PRIME
        hashed ^= hashed >> np.uint64(29)
        at += 1
    return hashed


@kernel
def table_bucket(
    buckets: NDArray[np.int32], hashes: NDArray[np.uint64], starts: Longs, arena: Bytes, hashed: np.uint64,
    data: Bytes, at: Long, end: Long,
) -> Long:  # fmt: skip
    """Where the table in `data[at:end]` is, or the empty bucket where it would be."""
    mask = np.int64(len(buckets) - 1)
    bucket = np.int64(hashed & np.uint64(mask))
    while buckets[bucket] >= 0:
        table = buckets[bucket]
        if hashes[table] == hashed and _is_same(data, at, end, arena, starts[table], starts[table + 1]):
            break
        bucket = (bucket + 1) & mask
    return bucket


@kernel
def _is_same(data: Bytes, at: Long, end: Long, arena: Bytes, start: Long, stop: Long) -> bool:
    if end - at != stop - start:
        return False
    while at + 8 <= end:
        if _word(data, at) != _word(arena, start):
            return False
        at += 8
        start += 8
    while at < end:
        if data[at] != arena[start]:
            return False
        at += 1
        start += 1
    return True
