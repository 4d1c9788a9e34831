"""What the command layer needs from whoever wires it: records as they come, and where each stood in its topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from schemas.records import Record
from streams.command.ledger import Entry

Place = tuple[str, int]
"""Topic and partition."""
Positions = Mapping[Place, int]
"""The offset to go on from, by place; a place that is not in it is read from the beginning."""


class FeedError(Exception):
    """Records cannot be read now; the message says why and what to do. Trying again later may help."""


class Delivered(Protocol):
    """One record as it was read. `value` None with an empty `error` is a tombstone."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> str: ...
    @property
    def at(self) -> int: ...
    @property
    def value(self) -> Record | None: ...
    @property
    def error(self) -> str: ...
    def entry(self) -> Entry | None: ...


class Feed(Protocol):
    """An open reading of some topics. Its calls raise FeedError."""

    def poll(self, wait_s: float) -> Sequence[Delivered]: ...
    @property
    def caught_up(self) -> bool:
        """Whether everything that was there when it was opened has been given out."""

    def close(self) -> None: ...


class OpenFeed(Protocol):
    def __call__(self, topics: Sequence[str], positions: Positions) -> Feed: ...
