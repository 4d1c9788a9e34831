"""The rows of a partition with what is worked out of them."""

from __future__ import annotations

from collections.abc import Callable

from streams.routing.learned import LearnedRow, learned_keys
from streams.routing.state import JobRow, Row
from streams.routing.waiting import Queue


class JobRows(dict[str, Row]):
    """The rows of a partition with the queue of those jobs that wait, and with what was learned.

    `learned` are the rows of `learned_keys` in order: each decision asks for them, outcomes alone change them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue()
        self.learned: tuple[LearnedRow, ...] = ()

    def __setitem__(self, key: str, row: Row) -> None:
        super().__setitem__(key, row)
        if isinstance(row, JobRow):
            self.queue.put(row)
        elif isinstance(row, LearnedRow):
            self.learned = learned_of(self.get)

    def pop(self, key: str, default: Row | None = None) -> Row | None:  # type: ignore[override]
        row = super().pop(key, default)
        if isinstance(row, JobRow):
            self.queue.discard(row.request.id)
        elif isinstance(row, LearnedRow):
            self.learned = learned_of(self.get)
        return row


def learned_of(row_of: Callable[[str], Row | None]) -> tuple[LearnedRow, ...]:
    found = map(row_of, learned_keys())
    return tuple(row for row in found if isinstance(row, LearnedRow))
