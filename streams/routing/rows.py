"""The rows of a partition with what is worked out of them."""

from __future__ import annotations

from streams.routing.state import JobRow, Row
from streams.routing.waiting import Queue


class JobRows(dict[str, Row]):
    """The rows of a partition with the queue of those jobs that wait."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue()

    def __setitem__(self, key: str, row: Row) -> None:
        super().__setitem__(key, row)
        if isinstance(row, JobRow):
            self.queue.put(row)

    def pop(self, key: str, default: Row | None = None) -> Row | None:  # type: ignore[override]
        row = super().pop(key, default)
        if isinstance(row, JobRow):
            self.queue.discard(row.request.id)
        return row
