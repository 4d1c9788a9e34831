"""Entries in order, in chunks: adding, taking away and finding the first cost the same however many there are."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import Final

Entry = tuple[int, str]
"""When a job was last tried (ms), its id."""
CHUNK: Final = 512


class Ordered:
    def __init__(self, chunk: int = CHUNK) -> None:
        """`chunk`: the most entries of a chunk."""
        self._most = chunk
        self._chunks: list[list[Entry]] = []

    @property
    def first(self) -> Entry | None:
        return self._chunks[0][0] if self._chunks else None

    def __iter__(self) -> Iterator[Entry]:
        for chunk in self._chunks:
            yield from chunk

    def add(self, entry: Entry) -> None:
        """`entry` is not there yet."""
        if not self._chunks:
            self._chunks.append([entry])
            return
        place = self._place(entry)
        chunk = self._chunks[place]
        insort(chunk, entry)
        if len(chunk) > self._most:
            middle = len(chunk) // 2
            self._chunks[place : place + 1] = [chunk[:middle], chunk[middle:]]

    def remove(self, entry: Entry) -> None:
        """`entry` is there."""
        place = self._place(entry)
        chunk = self._chunks[place]
        del chunk[bisect_left(chunk, entry)]
        if not chunk:
            del self._chunks[place]

    def _place(self, entry: Entry) -> int:
        """The chunk that has the entry, or would."""
        return max(0, bisect_right(self._chunks, entry, key=lambda chunk: chunk[0]) - 1)
