"""Where telemetry comes from: the port, and a file of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

MOST_LINES = 500
"""Of a file at a time."""
MOST_BYTES = 64 * 1024 * 1024
"""Of one line; a longer one is no message."""


class Message(NamedTuple):
    """`latest`: no clock that is right shows more, ms. `at`: when it was written, ms; None = not known.

    `where`: topic:partition:offset, or path:byte.
    """

    signal: str
    data: bytes
    latest: int
    at: int | None = None
    where: str = ""


class Feed(Protocol):
    """Blocks, and is used by one thread at a time. What it raises fails the source."""

    def take(self, wait_s: float) -> Sequence[Message]:
        """What comes next; nothing if there is nothing for so long."""

    def close(self) -> None:
        """Lets go of what it holds; a later `take` goes on where this one ended."""


class FileFeed:
    """Lines of JSON as the collector's file exporter writes them, from the first to those still to come.

    A line is taken once its end is there. A file that was replaced or cut is read from its beginning.
    """

    def __init__(self, path: Path, now_ms: Callable[[], int]) -> None:
        self._path, self._now_ms = path, now_ms
        self._file: BinaryIO | None = None
        self._inode, self._offset = 0, 0

    def take(self, wait_s: float) -> Sequence[Message]:
        """Raises OSError. Does not wait: who asks in a loop sees to it."""
        self._open()
        found: list[Message] = []
        while self._file is not None and len(found) < MOST_LINES:
            line = self._file.readline(MOST_BYTES)
            if not line.endswith(b"\n") and len(line) < MOST_BYTES:
                break
            if line.strip():
                found.append(Message("spans", line, self._now_ms(), where=f"{self._path}:{self._offset}"))
            self._offset += len(line)
        if self._file is not None:
            self._file.seek(self._offset)
        return found

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        status = os.stat(self._path)
        if status.st_ino != self._inode or status.st_size < self._offset:
            self.close()
            self._inode, self._offset = status.st_ino, 0
        if self._file is None:
            self._file = self._path.open("rb")
            self._file.seek(self._offset)
