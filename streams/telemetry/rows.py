"""The rows of a table as a mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from streams.telemetry.state import SeriesState

if TYPE_CHECKING:
    from streams.telemetry.table import SeriesTable


class Rows(Mapping[str, SeriesState]):
    """Always as the table is; each row is a copy."""

    def __init__(self, table: SeriesTable) -> None:
        self._table = table

    def __getitem__(self, key: str) -> SeriesState:
        slot = self._table.keys.slot_of(key.encode())
        if slot < 0 or not self._table.is_alive(slot):
            raise KeyError(key)
        return self._table.state_of(slot)

    def __iter__(self) -> Iterator[str]:
        return (self._table.keys[slot].decode() for slot in self._table.alive().tolist())

    def __len__(self) -> int:
        return len(self._table.alive())
