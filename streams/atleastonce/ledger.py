"""How far each input partition is: delivered, staged, flushed, committed. The committable offset, in one place. Pure.

    start <= committed' <= flushed <= staged <= delivered        (offsets of the *next* message)

Closes L2: stock Faust derives the committable offset from a list of acked offsets, lets a gap of one at its head
through, and lets anything through while nothing was committed. Here an offset is committable when the flush that
contains all messages before it is in the changelog, in the store, and its outputs are confirmed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Ledger:
    """One input topic partition since its last seek; `committed` is None before the group's first commit."""

    start: int
    committed: int | None = None
    delivered: int = -1
    staged: int = -1
    flushed: int = -1

    def __post_init__(self) -> None:
        self.delivered = max(self.delivered, self.start)
        self.staged = max(self.staged, self.start)
        self.flushed = max(self.flushed, self.start)

    def deliver(self, next_offset: int) -> None:
        if next_offset <= self.delivered:
            raise ValueError(f"messages up to {next_offset} were already delivered (up to {self.delivered})")
        self.delivered = next_offset

    def stage(self, next_offset: int) -> None:
        """Effects of all messages before `next_offset` wait for a flush."""
        if not self.staged <= next_offset <= self.delivered:
            raise ValueError(
                f"applied offset {next_offset} is not between {self.staged} (staged) and {self.delivered} (delivered)"
            )
        self.staged = next_offset

    def flush(self, next_offset: int) -> None:
        if not self.flushed <= next_offset <= self.staged:
            raise ValueError(
                f"flushed offset {next_offset} is not between {self.flushed} (flushed) and {self.staged} (staged)"
            )
        self.flushed = next_offset

    def committable(self) -> int | None:
        """The offset to commit; None when that is what is committed already."""
        return self.flushed if self.flushed > (self.committed or 0) else None

    def commit(self, next_offset: int) -> None:
        """The broker has confirmed it."""
        self.committed = next_offset
