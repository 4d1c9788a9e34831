"""What waits for the next flush of a partition, and how large it may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from streams.atleastonce.batch import Output
from streams.atleastonce.changelog import Owner
from streams.atleastonce.errors import TooLarge
from streams.atleastonce.replay import Position

ENVELOPE_BYTES = 200
"""Room for key, flush id and headers of a changelog record."""

Row = tuple[bytes, bytes | None]
"""Key and content; None = delete."""


class LateRows(Protocol):
    """Changed rows that are taken when a flush begins: as they were at that moment, whatever happens to them later.

    Iterated once, in a thread of the flush's: encoding thousands of rows must not stop the event loop.
    """

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Row]: ...


class Closing(NamedTuple):
    """What a layer adds to a flush that begins: reasons for none."""

    outputs: Sequence[Output] = ()
    rows: LateRows | Sequence[Row] = ()
    """Newer than what was staged of the same keys."""


@dataclass(slots=True)
class Staged:
    """What waits for the next flush. `since_s`: of the first of it, monotonic."""

    rows: dict[bytes, bytes | None] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    applied: dict[str, int] = field(default_factory=dict)
    size_bytes: int = 0
    since_s: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.rows or self.outputs or self.applied)


@dataclass(frozen=True, slots=True)
class Tenure:
    """Our right to write: the claim's owner and where the next changelog record must land, as the restore left it."""

    owner: Owner
    next_offset: int
    position: Position


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """`record_bytes` is the largest record that the broker takes; `partition` is for the message."""

    partition: int
    record_bytes: int

    def of_rows(self, rows: Iterable[Row]) -> int:
        """Bytes of all. Raises `TooLarge`."""
        limit, total = self.record_bytes - ENVELOPE_BYTES, 0
        for key, row in rows:
            size = len(key) + (0 if row is None else len(row))
            if size > limit:
                raise TooLarge(
                    f"row {key[:80]!r} of partition {self.partition} has {size} bytes, at most {limit} fit in a record"
                )
            total += size
        return total

    def of(self, rows: Mapping[bytes, bytes | None], outputs: Sequence[Output]) -> int:
        limit, total = self.record_bytes - ENVELOPE_BYTES, self.of_rows(rows.items())
        for output in outputs:
            size = output.size_bytes
            if size > limit:
                raise TooLarge(f"output to {output.topic}, key {output.key!r:.80}, has {size} bytes, limit {limit}")
            total += size
        return total
