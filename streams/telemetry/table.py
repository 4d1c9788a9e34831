"""The series of one partition: one fixed-size record each in one array, found by the key of its row.

    keys:     '["series","svc-a","latency_ms"]' -> slot
    records:  |slot 0|slot 1| ... |slot n-1| room |      SERIES, 872 bytes each
    timers:   a heap over the slots                      changes: the slots written since the last flush

A slot whose record has no samples is dead: its series was forgotten. It keeps its key until the table is packed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from streams.kit.kernel import kernel
from streams.telemetry import state, timers
from streams.telemetry.block import Changes, note
from streams.telemetry.causes import NO_NUMBER, Cause, read
from streams.telemetry.keys import Keys
from streams.telemetry.record import SERIES
from streams.telemetry.snapshot import Snapshot
from streams.telemetry.state import HEAD_BYTES, RECORD_END, SeriesState
from streams.telemetry.timers import Timers

FIRST_CAPACITY = 16
DEAD_SHARE = 0.25
"""From so many dead slots on, a full table is packed instead of enlarged."""
ROWS_AT_ONCE = 4_096


class SeriesTable:
    """`epoch` changes when slots get other numbers: whoever has remembered some must look them up again."""

    def __init__(self) -> None:
        self.epoch = 0
        self.keys = Keys()
        self.units: list[str] = []
        self.prefixes: list[str] = []
        self.texts: dict[int, str] = {}
        """Slot -> its cause, where that is no number."""
        self._ids: dict[tuple[bool, str], int] = {}
        self._make_room(FIRST_CAPACITY)

    # --- series ---

    def add(self, keys: Sequence[bytes]) -> range:
        """Slots of new keys, without samples yet."""
        first, size = self.keys.count, self.keys.count + len(keys)
        if size > len(self.records):
            self._enlarge_or_pack(len(keys))
            first, size = self.keys.count, self.keys.count + len(keys)
        self.keys.add(keys)
        return range(first, size)

    def end(self, slot: int) -> None:
        """The series is forgotten; its row goes with the next changes."""
        self._bytes[slot] = 0
        self.texts.pop(slot, None)
        note(self.changes, slot)

    def note(self, slot: int) -> None:
        """The row in `slot` was written."""
        note(self.changes, slot)

    def is_alive(self, slot: int) -> bool:
        return bool(self.records[slot]["samples"])

    def alive(self) -> NDArray[np.int32]:
        """The slots of the series that there are."""
        return np.flatnonzero(self.records["samples"][: self.keys.count]).astype(np.int32)

    def unit_of(self, slot: int) -> str:
        unit: str = self.units[self.unit[slot]]
        return unit

    def set_unit(self, slot: int, unit: str) -> None:
        self.unit[slot] = self._id(self.units, unit)

    def cause_of(self, slot: int) -> str:
        record = self.records[slot]
        number = int(record["cause_number"])
        if number == NO_NUMBER:
            return self.texts.get(slot, "")
        return Cause(self.prefixes[self.prefix[slot]], number, int(record["cause_row"])).name()

    def set_cause(self, slot: int, name: str) -> None:
        cause, record = read(name), self.records[slot]
        record["cause_number"], record["cause_row"] = cause.number, cause.row
        self._keep_text(slot, cause.text)

    def prefix_id(self, text: str) -> int:
        return self._id(self.prefixes, text)

    # --- rows ---

    def state_of(self, slot: int) -> SeriesState:
        return SeriesState(self.unit_of(slot), self.cause_of(slot), self.records[slot].copy())

    def put(self, slot: int, row: SeriesState) -> None:
        """As `load`, of a row that is there as an object."""
        self._bytes[slot] = np.frombuffer(row.record.tobytes(), np.uint8)  # type: ignore[attr-defined]
        self.set_unit(slot, row.unit)
        self.set_cause(slot, row.last_cause)
        timers.arm(self.timers, slot, int(self.records[slot]["timer_at"]))

    def load(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Encoded rows of series that are not here yet. Raises ValueError for a row of another version."""
        known: dict[bytes, tuple[int, str]] = {}
        rest = iter(rows)
        while some := list(islice(rest, ROWS_AT_ONCE)):
            found = []
            for _, data in some:
                outside = data[:HEAD_BYTES] + data[RECORD_END:]
                if (read_before := known.get(outside)) is None:
                    unit, text = state.read_ends(outside)
                    read_before = known[outside] = self._id(self.units, unit), text
                found.append(read_before)
            slots = self.add([key for key, _ in some])
            records = b"".join([data[HEAD_BYTES:RECORD_END] for _, data in some])
            self._bytes[slots.start : slots.stop] = np.frombuffer(records, np.uint8).reshape(len(some), -1)
            self.unit[slots.start : slots.stop] = [unit for unit, _ in found]
            for slot, (_, text) in zip(slots, found, strict=True):
                self._keep_text(slot, text)
            _arm_all(self.timers, self.records, slots.start, slots.stop)

    def take_changes(self) -> NDArray[np.int32]:
        """The slots written since the last call."""
        slots = np.sort(self.changes.slots[: self.changes.size[0]])
        self.changes.is_in[slots] = 0
        self.changes.size[0] = 0
        return slots

    def snapshot(self, slots: NDArray[np.int32]) -> Snapshot:
        """The rows of `slots` as they are now, to be encoded later."""
        records = self._bytes[slots]
        text_of = self.texts
        texts = {slot: text_of[slot] for slot in slots.tolist() if slot in text_of} if text_of else {}
        return Snapshot(
            slots, records, self.keys, self.unit[slots], self.units, self.prefix[slots], self.prefixes, texts
        )

    # --- inside ---

    def _keep_text(self, slot: int, text: str) -> None:
        if self.records[slot]["cause_number"] == NO_NUMBER:
            self.texts[slot] = text
        else:
            self.texts.pop(slot, None)
            self.prefix[slot] = self.prefix_id(text)

    def _id(self, names: list[str], name: str) -> int:
        key = names is self.units, name
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = len(names)
            names.append(name)
        return found

    def _make_room(self, capacity: int) -> None:
        self._bytes = np.zeros((capacity, SERIES.itemsize), np.uint8)
        self.records = self._bytes.reshape(-1).view(SERIES)
        self.unit = np.zeros(capacity, np.int32)
        self.prefix = np.zeros(capacity, np.int32)
        self.timers: Timers = timers.empty(capacity)
        self.changes = Changes(np.zeros(capacity, np.int32), np.zeros(capacity, np.uint8), np.zeros(1, np.int64))

    def _enlarge_or_pack(self, wanted: int) -> None:
        count = self.keys.count
        kept = np.flatnonzero((self.records["samples"][:count] > 0) | (self.changes.is_in[:count] > 0))
        if count - len(kept) < max(DEAD_SHARE * count, wanted):
            self._move(slice(0, count), count, max(count + wanted, len(self.records) * 3 // 2))
        else:
            self.epoch += 1
            self._move(kept, len(kept), count + wanted)

    def _move(self, kept: slice | NDArray[np.int64], size: int, capacity: int) -> None:
        """To arrays of `capacity`, with the `size` slots `kept` as the first ones."""
        keys = self.keys
        old = self._bytes, self.unit, self.prefix, self.changes
        self._make_room(capacity)
        self._bytes[:size], self.unit[:size], self.prefix[:size] = old[0][kept], old[1][kept], old[2][kept]
        self.changes.is_in[:size] = old[3].is_in[kept]
        changed = np.flatnonzero(self.changes.is_in[:size])
        self.changes.slots[: len(changed)] = changed
        self.changes.size[0] = len(changed)
        if not isinstance(kept, slice):
            now = {int(before): after for after, before in enumerate(kept)}
            self.texts = {now[slot]: text for slot, text in self.texts.items()}
            self.keys = Keys([keys[slot] for slot in kept])
        _arm_all(self.timers, self.records, 0, size)


@kernel
def _arm_all(due: Timers, records: NDArray[np.void], first: int, stop: int) -> None:
    for slot in range(first, stop):
        if records[slot].timer_at != 0:
            timers.arm(due, slot, records[slot].timer_at)
