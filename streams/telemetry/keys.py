"""From the key of a row to its slot: an open-addressing hash table over one run of bytes.

A dict of strings would take 180 bytes a series, this takes 20 and the key itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from streams.kit.kernel import kernel

FREE = -1
Bytes = NDArray[np.uint8]
Ends = NDArray[np.int64]
Slots = NDArray[np.int32]
Number = TypeVar("Number", np.uint8, np.int64)


class Keys:
    """Keys by slot; slots are given in order of addition, and never taken back (`Keys` are made anew then)."""

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        self.count = 0
        self._bytes: Bytes = np.zeros(1024, np.uint8)
        self._ends: Ends = np.zeros(17, np.int64)
        """The key of slot i is `bytes[ends[i]:ends[i + 1]]`."""
        self._table: Slots = np.full(32, FREE, np.int32)
        self.add(keys)

    def __getitem__(self, slot: int) -> bytes:
        return self._bytes[self._ends[slot] : self._ends[slot + 1]].tobytes()

    def of(self, slots: Slots) -> list[bytes]:
        """The keys of many slots."""
        data, ends = self._bytes.data, self._ends
        bounds = zip(ends[slots].tolist(), ends[slots + 1].tolist(), strict=True)
        return [bytes(data[start:stop]) for start, stop in bounds]

    def slots_of(self, keys: Sequence[bytes]) -> list[int]:
        """The slot of each key; -1 = unknown."""
        found: Slots = np.full(len(keys), FREE, np.int32)
        joined = np.frombuffer(b"".join(keys), np.uint8)
        _find_all(self._table, self._bytes, self._ends, joined, _ends_of(keys), found)
        return cast("list[int]", found.tolist())

    def slot_of(self, key: bytes) -> int:
        """As `slots_of`, of one."""
        return _find(self._table, self._bytes, self._ends, np.frombuffer(key, np.uint8), 0, len(key))

    def add(self, keys: Sequence[bytes]) -> None:
        """New keys, which get the next slots."""
        old, new = self._ends[self.count], self.count + len(keys)
        ends = _ends_of(keys) + old
        self._bytes = _with_room(self._bytes, int(ends[-1]))
        self._ends = _with_room(self._ends, new + 1)
        self._bytes[old : ends[-1]] = np.frombuffer(b"".join(keys), np.uint8)
        self._ends[self.count : new + 1] = ends
        first = self.count
        if 2 * new > len(self._table):
            self._table, first = np.full(_power_of_two(2 * new), FREE, np.int32), 0
        _enter(self._table, self._bytes, self._ends, first, new)
        self.count = new


def _ends_of(keys: Sequence[bytes]) -> Ends:
    ends = np.zeros(len(keys) + 1, np.int64)
    ends[1:] = list(accumulate(map(len, keys)))
    return ends


def _with_room(array: NDArray[Number], size: int) -> NDArray[Number]:
    if size <= len(array):
        return array
    larger = np.zeros(max(size, len(array) * 3 // 2), array.dtype)
    larger[: len(array)] = array
    return larger


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()


@kernel
def _hash(data: Bytes, start: int, stop: int) -> int:
    """FNV-1a, folded."""
    h = np.uint64(14695981039346656037)
    for i in range(start, stop):
        h = (h ^ np.uint64(data[i])) * np.uint64(1099511628211)
    return int((h ^ (h >> np.uint64(29))) & np.uint64(0x7FFFFFFF))


@kernel
def _same(a: Bytes, start: int, stop: int, b: Bytes, at: int) -> bool:
    i = start
    while i < stop and a[i] == b[at + i - start]:
        i += 1
    return i == stop


@kernel
def _find_all(table: Slots, data: Bytes, ends: Ends, keys: Bytes, key_ends: Ends, found: Slots) -> None:
    for k in range(len(found)):
        found[k] = _find(table, data, ends, keys, key_ends[k], key_ends[k + 1])


@kernel
def _find(table: Slots, data: Bytes, ends: Ends, keys: Bytes, start: int, stop: int) -> int:
    mask = len(table) - 1
    place = _hash(keys, start, stop) & mask
    while table[place] != FREE:
        slot = table[place]
        if ends[slot + 1] - ends[slot] == stop - start and _same(keys, start, stop, data, ends[slot]):
            return int(slot)
        place = (place + 1) & mask
    return FREE


@kernel
def _enter(table: Slots, data: Bytes, ends: Ends, first: int, stop: int) -> None:
    mask = len(table) - 1
    for slot in range(first, stop):
        place = _hash(data, ends[slot], ends[slot + 1]) & mask
        while table[place] != FREE:
            place = (place + 1) & mask
        table[place] = slot
