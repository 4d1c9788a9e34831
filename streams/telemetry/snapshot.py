"""Rows as they were at one moment, encoded when they are asked for, maybe by another thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.telemetry import state
from streams.telemetry.keys import Keys
from streams.telemetry.record import SERIES


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Row i is of slot `slots[i]`. Keys, units and prefixes are only ever added to, so they may be the table's own."""

    slots: NDArray[np.int32]
    records: NDArray[np.uint8]
    keys_of: Keys
    unit: NDArray[np.int32]
    units: Sequence[str]
    prefix: NDArray[np.int32]
    prefixes: Sequence[str]
    texts: dict[int, str]
    """By slot: causes that are no numbers."""

    def __len__(self) -> int:
        return len(self.slots)

    def __iter__(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Keys and rows; None for a series that was forgotten."""
        fields = self.records.reshape(-1).view(SERIES)
        alive, numbers = (fields["samples"] > 0).tolist(), fields["cause_number"].tolist()
        ends: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        size, data = SERIES.itemsize, self.records.reshape(-1).data
        rows = zip(
            self.slots.tolist(), self.keys_of.of(self.slots), self.unit.tolist(), self.prefix.tolist(), strict=True
        )
        for i, (slot, key, unit, prefix) in enumerate(rows):
            if not alive[i]:
                yield key, None
                continue
            if numbers[i] < 0:
                head, tail = state.ends(self.units[unit], self.texts[slot])
            elif (found := ends.get((unit, prefix))) is not None:
                head, tail = found
            else:
                head, tail = ends[unit, prefix] = state.ends(self.units[unit], self.prefixes[prefix])
            yield key, b"".join((head, data[i * size : i * size + size], tail))
