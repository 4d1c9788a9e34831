"""Drives one layer over one partition of rows: event-time clock, timers, changed rows. Pure; live and replay share it.

The clock is the greatest event time of the partition's inputs and of the data-derived view topics (`CLOCK_TOPICS`); it
never goes back. Timers fire in order of (due, key), each at its own due time, and always *before* the first event
that is at or past them:

    events      10s        20s              50s
    timer due        15s          30s 40s
    order       10s  15s   20s    30s 40s   50s

so the outcome does not depend on how events were batched, or on when a process looked at its watch.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from streams.kit.layer import ColumnLayer, Emission, Event, Layer, Step
from streams.kit.machine import Changed, Encoded, Machine, Refused

if TYPE_CHECKING:
    from schemas.columns import SampleColumns

R = TypeVar("R")
V = TypeVar("V")

CLOCK_TOPICS = frozenset({"performance", "anomalies", "remediations"})
"""View topics whose times follow the telemetry; the operators' (`policies`, `assets`) may be years off in a replay."""

MAX_TIMERS_AT_ONCE = 1_000
"""A row whose timer fires this often in a row without its due time moving on has a bug; see `TimerStuckError`."""


class TimerStuckError(RuntimeError):
    """A layer's `on_timer` left its row due at or before `now`: it would fire for ever."""


class _Changed(Generic[R]):
    def __init__(self, encode: Callable[[R], bytes], rows: Mapping[str, R | None]) -> None:
        self._encode, self._rows = encode, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[tuple[bytes, bytes | None]]:
        for key, row in self._rows.items():
            yield key.encode(), None if row is None else self._encode(row)


def machine_of(layer: Layer[R, V], view: V, clock: int = 0) -> Machine[R, V]:
    """The layer's own kind of partition if it brings one, which keeps the same order; without rows yet."""
    own: Callable[[V, int], Machine[R, V]] | None = getattr(layer, "partition", None)
    return Partition(layer, view, clock=clock) if own is None else own(view, clock)


class Partition(Generic[R, V]):
    """Rows of one partition with their timers. `take_changes` gives what was written since it was last called."""

    def __init__(self, layer: Layer[R, V], view: V, rows: dict[str, R] | None = None, clock: int = 0) -> None:
        self.layer = layer
        self.view = view
        self.clock = clock
        self._rows: dict[str, R] = rows if rows is not None else {}
        self.rows: Mapping[str, R] = MappingProxyType(self._rows)
        self._changed: dict[str, R | None] = {}
        self._timers: list[tuple[int, str]] = []
        self._armed: dict[str, int] = {}
        for key, row in self._rows.items():
            self._set_timer(key, row)

    def load(self, rows: Encoded) -> None:
        """Encoded rows that are not here yet, in the order in which they are given."""
        for key, data in rows:
            row = self._rows[key.decode()] = self.layer.decode_row(data)
            self._set_timer(key.decode(), row)

    def on_event(self, event: Event) -> list[Emission]:
        """One input record: first the timers that are due by its time, then its own step."""
        emissions = self.advance(event.at)
        emissions += self._apply(self.layer.step(self.rows, self.view, event, self.clock))
        return emissions

    def on_view(self, event: Event) -> list[Emission]:
        """One record that is already in the view (`layer.see`): the layer may react for the rows it has here."""
        emissions = self.advance(event.at) if event.topic in CLOCK_TOPICS else []
        emissions += self._apply(self.layer.on_view(self.rows, self.view, event, self.clock))
        return emissions

    def advance(self, to_ms: int) -> list[Emission]:
        """Moves the clock to `to_ms` (never back) and fires the timers due by then."""
        emissions: list[Emission] = []
        fired: dict[str, int] = {}
        while (due := self.next_due()) is not None and due <= to_ms:
            key = self._pop_timer()
            self.clock = max(self.clock, due)
            emissions += self._apply(self.layer.on_timer(self.rows, self.view, key, self.clock))
            self._rearm(key, fired)
        self.clock = max(self.clock, to_ms)
        return emissions

    def next_due(self) -> int | None:
        """The earliest due time of any row. Entries move lazily: one heap entry a row, however often it is written."""
        while self._timers:
            due, key = self._timers[0]
            if self._armed.get(key) != due:
                heapq.heappop(self._timers)
                continue
            row = self._rows.get(key)
            actual = self.layer.due_at(row) if row is not None else None
            if actual == due:
                return due
            self._pop_timer()
            if actual is not None:
                self._arm(key, actual)
        return None

    def on_columns(self, columns: SampleColumns, causes: Callable[[int], str]) -> list[Emission]:
        """Many samples at once, for a `ColumnLayer`: split where a timer is due, so the result is as if one by one."""
        layer = cast("ColumnLayer[R, V]", self.layer)
        emissions: list[Emission] = []
        start = 0
        while start < len(columns):
            stop = self._rows_before_timer(columns, start)
            if stop == start:
                emissions += self.advance(int(columns.at[start]))
                continue
            part = columns if stop - start == len(columns) else columns.rows(start, stop)
            base = start
            step = layer.step_columns(self.rows, self.view, part, lambda i, base=base: causes(base + i), self.clock)  # type: ignore[misc]
            emissions += self._apply(step)
            self.clock = max(self.clock, int(part.at.max()))
            start = stop
        return emissions

    def _rows_before_timer(self, columns: SampleColumns, start: int) -> int:
        due = self.next_due()
        if due is None:
            return len(columns)
        past = columns.at[start:] >= due
        return start + int(past.argmax()) if past.any() else len(columns)

    def apply(self, step: Step[R]) -> list[Emission]:
        """Takes over a Step that came from outside of the layer's inputs, such as the outcome of an effect."""
        return self._apply(step)

    @property
    def changes(self) -> int:
        """How many rows `take_changes` would give."""
        return len(self._changed)

    def take_changes(self) -> dict[str, R | None]:
        changed, self._changed = self._changed, {}
        return changed

    def take_encoded(self) -> Changed:
        """As `take_changes`, as the bytes of the table: rows never change, so it does not matter when they are made."""
        return _Changed(self.layer.encode_row, self.take_changes())

    def take_refused(self) -> Refused:
        """Layers refuse nothing that was read."""
        return Refused()

    def _apply(self, step: Step[R]) -> list[Emission]:
        for key, row in step.rows.items():
            self._changed[key] = row
            if row is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = row
                self._set_timer(key, row)
        return list(step.emissions)

    def _set_timer(self, key: str, row: R) -> None:
        due = self.layer.due_at(row)
        armed = self._armed.get(key)
        if due is not None and (armed is None or due < armed):
            self._arm(key, due)

    def _arm(self, key: str, due: int) -> None:
        self._armed[key] = due
        heapq.heappush(self._timers, (due, key))

    def _pop_timer(self) -> str:
        _, key = heapq.heappop(self._timers)
        del self._armed[key]
        return key

    def _rearm(self, key: str, fired: dict[str, int]) -> None:
        """Keeps a timer that fired without its row being written; one that never moves on is a bug, not a loop."""
        row = self._rows.get(key)
        if row is None:
            return
        self._set_timer(key, row)
        due = self.layer.due_at(row)
        if due is None or due > self.clock:
            return
        fired[key] = fired.get(key, 0) + 1
        if fired[key] >= MAX_TIMERS_AT_ONCE:
            raise TimerStuckError(f"{self.layer.name}: row {key!r} stays due at {due} <= now {self.clock}")
