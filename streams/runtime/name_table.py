"""Series by the bytes that name them: an open hash table that compiled code looks names up in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.kit.kernel import kernel

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
        hashed = np.uint64(hash_of(key, 0, len(key), SEED))  # a kernel gives Python a plain int
        bucket = bucket_of(self.buckets, self.hashes, self.starts, self.arena, hashed, key, 0, len(key), 0, 0)
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


SEED = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)


@kernel
def hash_of(data: Bytes, start: Long, end: Long, seed: np.uint64) -> np.uint64:
    """FNV-1a (Fowler, Noll, Vo 1991); chained by `seed`."""
    h = seed
    for i in range(start, end):
        h = (h ^ np.uint64(data[i])) * _PRIME
    return h


@kernel
def bucket_of(
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
