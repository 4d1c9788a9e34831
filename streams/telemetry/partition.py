"""One partition of telemetry: its table of series, its clock and timers, and what there is to say.

It is used as `streams.kit.partition.Partition` is and keeps the same order, but holds records in an array instead of
objects in a dict: `block.run` takes the samples, and comes back here where something begins, ends or is to be told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.columns import SampleColumns, Series, of_batch, of_signal
from schemas.records import HealthSignal, HealthSignalBatch
from streams.kit.layer import Emission, Event, Step
from streams.kit.machine import Encoded, Refused
from streams.kit.partition import CLOCK_TOPICS
from streams.telemetry import block, timers
from streams.telemetry.admission import Admission
from streams.telemetry.assets import Assets
from streams.telemetry.block import DONE, SILENCE, STRANGER, TIMER, Samples
from streams.telemetry.causes import NO_NUMBER, UNNAMED, read
from streams.telemetry.places import REMEMBERED_SERIES, Interned, Senders
from streams.telemetry.rows import Rows
from streams.telemetry.scratch import READING
from streams.telemetry.snapshot import Snapshot
from streams.telemetry.state import SeriesState
from streams.telemetry.table import SeriesTable
from streams.telemetry.telling import Causes, Teller
from streams.telemetry.timers import NEVER

if TYPE_CHECKING:
    from streams.telemetry.engine import TelemetryLayer

Number = TypeVar("Number", np.int32, np.int64, np.float64)


class TelemetryPartition:
    """Not for more than one thread. `rows` is a view of the table; a row in it is a copy."""

    def __init__(self, layer: TelemetryLayer, view: Assets, clock: int = 0) -> None:
        self.layer, self.view = layer, view
        self.table = SeriesTable()
        self.rows: Mapping[str, SeriesState] = Rows(self.table)
        self._clock = np.array([clock], np.int64)
        self._senders = Senders(self.table)
        self._singles = Interned()
        self._patience, self._numbers = layer.monitor.patience, layer.numbers
        self._reading = np.zeros(1, READING)[0]
        self._told = block.nothing_told()
        self._teller = Teller(self.table, layer.monitor, view.removed)
        self._admission = Admission(self.table, view, layer.settings)

    @property
    def clock(self) -> int:
        """The greatest event time so far, ms."""
        return int(self._clock[0])

    # --- input ---

    def on_event(self, event: Event) -> list[Emission]:
        """One input record: first the timers that are due by its time, then its samples."""
        self._advance(event.at)
        return self.take(event)

    def take(self, event: Event) -> list[Emission]:
        """The samples of a record, each after the timers that are due by its own time."""
        value, cause = event.value, event.cause_id
        if isinstance(value, HealthSignal):
            self._run(of_signal(value), lambda _: cause)
        elif isinstance(value, HealthSignalBatch):
            columns = of_batch(value)
            names = message_rows(columns)
            self._run(columns, lambda row: f"{cause}#{names[row]}")
        return self._teller.said()

    def on_columns(self, columns: SampleColumns, causes: Causes) -> list[Emission]:
        """Many samples at once; the result is as if they had come one by one. `causes(i)` names row i's cause, and may
        give the numbers of all in its arrays `number` and `row`.
        """
        self._run(columns, causes)
        return self._teller.said()

    def on_view(self, event: Event) -> list[Emission]:
        """A removed asset's series end at their next timer, so that no removal has to search the table."""
        if event.topic in CLOCK_TOPICS:
            self._advance(event.at)
        return self._teller.said()

    def advance(self, to_ms: int) -> list[Emission]:
        """Moves the clock to `to_ms` (never back) and fires the timers due by then."""
        self._advance(to_ms)
        return self._teller.said()

    def next_due(self) -> int | None:
        """The earliest due time of any row."""
        due = timers.earliest(self.table.timers, self.table.records)
        return None if due == NEVER else int(due)

    # --- rows ---

    def load(self, rows: Encoded) -> None:
        """Encoded rows, none of which is here."""
        self.table.load(rows)
        self._admission.count()

    def put(self, rows: Mapping[str, SeriesState]) -> None:
        """As `load`, of rows as objects."""
        for slot, row in zip(self.table.add([key.encode() for key in rows]), rows.values(), strict=True):
            self.table.put(slot, row)

    def apply(self, step: Step[SeriesState]) -> list[Emission]:
        """Takes over rows that were made elsewhere."""
        known = self.table.keys.slots_of([key.encode() for key in step.rows])
        for (key, row), slot in zip(step.rows.items(), known, strict=True):
            if slot < 0:
                (slot,) = self.table.add([key.encode()])
            self.table.end(slot)
            if row is not None:
                self.table.put(slot, row)
        return list(step.emissions)

    @property
    def changes(self) -> int:
        """How many rows `take_changes` would give."""
        return int(self.table.changes.size[0])

    def unknown_assets(self) -> int:
        """How many assets report here that discovery does not know. May be asked from another thread."""
        return self._admission.unknown_assets()

    def take_refused(self) -> Refused:
        """Samples that were not taken since the last call."""
        admission = self._admission
        refused = Refused(admission.refused, admission.not_told)
        admission.refused, admission.not_told = [], 0
        return refused

    def take_changes(self) -> dict[str, SeriesState | None]:
        """The rows written since the last call; None = deleted."""
        table = self.table
        return {
            table.keys[slot].decode(): table.state_of(slot) if table.is_alive(slot) else None
            for slot in table.take_changes().tolist()
        }

    def take_encoded(self) -> Snapshot:
        """As `take_changes`, as the bytes of the table; what happens to the rows later does not change it."""
        return self.table.snapshot(self.table.take_changes())

    # --- samples ---

    def _run(self, columns: SampleColumns, causes: Causes) -> None:
        if not len(columns):
            return
        self._teller.causes = causes
        series, index = self._interned(columns) if len(columns.series) == 1 else (columns.series, columns.series_index)
        samples, prefix = self._samples(index, columns, causes)
        row, is_welcome = 0, False
        while True:
            places, table = self._senders.places_of(series), self.table
            row, why = block.run(
                row, is_welcome, samples, places, table.records, table.timers, table.changes, self._told,
                self._clock, table.prefix, prefix, self._numbers, self._patience, self._reading,
            )  # fmt: skip
            self._teller.tell(self._told)
            is_welcome = False
            if why == DONE:
                break
            if why == TIMER:
                self._fire(int(samples.at[row]))
            elif why == STRANGER:
                number = int(samples.number[row])
                slot, factor = self._admission.slot_of(series[number], row, self.clock)
                places.slot[number], places.factor[number] = slot, factor
                row += slot < 0
                is_welcome = slot >= 0 and not table.is_alive(slot)
            elif why == SILENCE:
                self._teller.back(int(places.slot[samples.number[row]]), int(samples.at[row]), row)
                is_welcome = True
        if samples.cause_number[0] == UNNAMED:
            slots = np.unique(places.slot[np.unique(samples.number)])
            self._teller.name_causes(slots[slots >= 0])

    def _interned(self, columns: SampleColumns) -> tuple[Sequence[Series], NDArray[np.int32]]:
        if len(self._singles) >= REMEMBERED_SERIES:
            self._singles = Interned()
        number = self._singles.number_of(columns.series[0])
        return self._singles, np.full(len(columns), number, np.int32)

    def _samples(self, index: NDArray[np.int32], columns: SampleColumns, causes: Causes) -> tuple[Samples, int]:
        """The columns with the numbers of their causes, and the number of the name before those."""
        numbers: NDArray[np.int64] | None = getattr(causes, "number", None)
        if numbers is None and len(columns) == 1 and (cause := read(causes(0))).number != NO_NUMBER:
            one = np.array([cause.number], np.int64), np.array([cause.row], np.int32)
            return _as_samples(index, columns, *one), self.table.prefix_id(cause.text)
        if numbers is None:
            named = np.full(len(columns), UNNAMED, np.int64), np.arange(len(columns), dtype=np.int32)
            return _as_samples(index, columns, *named), 0
        prefix = self.table.prefix_id(read(causes(0)).text)
        rows: NDArray[np.int32] = causes.row  # type: ignore[attr-defined]
        return _as_samples(index, columns, numbers, rows), prefix

    # --- time ---

    def _advance(self, to_ms: int) -> None:
        self._fire(to_ms)
        self._clock[0] = max(self._clock[0], to_ms)

    def _fire(self, to_ms: int) -> None:
        """Timers that are due by `to_ms`, in order of (due, key)."""
        table = self.table
        slots = np.zeros(0, np.int32)
        while (due := timers.earliest(table.timers, table.records)) <= to_ms:
            self._clock[0] = max(self._clock[0], due)
            if not len(slots):
                slots = np.zeros(len(table.records), np.int32)
            count = timers.take_due(table.timers, table.records, due, slots)
            for slot in sorted(slots[:count].tolist(), key=table.keys.__getitem__):
                self._teller.look(slot, self.clock)


def message_rows(columns: SampleColumns) -> Sequence[int]:
    """Row in the message as it was sent, for each row that was acceptable."""
    if not columns.rejected:
        return range(len(columns))
    refused = {r.row for r in columns.rejected}
    return [row for row in range(len(columns) + len(refused)) if row not in refused]


def _as_samples(
    number: NDArray[np.int32], columns: SampleColumns, causes: NDArray[np.int64], cause_rows: NDArray[np.int32]
) -> Samples:
    return Samples(_fixed(number), _fixed(columns.at), _fixed(columns.value), _fixed(causes), _fixed(cause_rows))


def _fixed(column: NDArray[Number]) -> NDArray[Number]:
    """Contiguous and read-only: one type for the compiled loop, however the column was made."""
    fixed = np.ascontiguousarray(column).view()
    fixed.flags.writeable = False
    return fixed
