"""The state of a converter: small rows by key, the longest unwritten forgotten first. Pure.

The first field of a row is the event time (ms) of its last change. Rows are kept in the order of their changes, so that
what is forgotten when there are too many is always what has been silent longest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

Row = list[Any]
MOST_ROW_BYTES = 500_000
"""Half of what brokers take by default; a row beyond it is forgotten, and its series begin anew."""


class Rows:
    def __init__(self, most: int, restored: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """`restored`: encoded rows, in any order. At least one row is kept."""
        decoded = [(key.decode(), orjson.loads(data)) for key, data in restored]
        self._rows: dict[str, Row] = dict(sorted(decoded, key=lambda item: (item[1][0], item[0])))
        self._most = most
        self._changed: set[str] = set()

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: str) -> Row | None:
        """A row; one that is changed in place must be `put` again, or the change is not stored."""
        return self._rows.get(key)

    def put(self, key: str, row: Row) -> None:
        self._rows.pop(key, None)
        self._rows[key] = row
        self._changed.add(key)
        while len(self._rows) > self._most:
            self.drop(next(iter(self._rows)))

    def drop(self, key: str) -> None:
        if self._rows.pop(key, None) is not None:
            self._changed.add(key)

    def take_changes(self) -> dict[bytes, bytes | None]:
        """Rows changed since the last call, encoded; None = gone."""
        changed, self._changed = sorted(self._changed), set()
        return {key.encode(): self._encoded(key) for key in changed}

    def _encoded(self, key: str) -> bytes | None:
        row = self._rows.get(key)
        data = None if row is None else orjson.dumps(row)
        if data is not None and len(data) > MOST_ROW_BYTES:
            del self._rows[key]
            return None
        return data
