"""One owned partition of a layer, live: its rows in memory, its clock, how far its views are, its journal.

Next to the layer's rows the table keeps one row of the runtime's own: the clock and the view offsets that the rows have
seen. After a takeover the records of the views that came since are shown to the layer again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from streams.kit.layer import Emission, Layer
from streams.kit.machine import Machine
from streams.kit.partition import machine_of
from streams.policy.recorded import Tape
from streams.runtime.journal import Journal
from streams.runtime.views import ViewRecord

RUNTIME_ROW = b"\x00runtime"
"""Sorts before and cannot equal a layer's row key, which are JSON arrays."""


@dataclass(slots=True)
class Owned:
    """A partition between takeover and loss."""

    machine: Machine[Any, Any]
    journal: Journal = field(default_factory=Journal)
    seen: dict[str, int] = field(default_factory=dict)
    """`topic:partition` of the views -> next offset that was shown to the layer."""
    reported: dict[str, int] = field(default_factory=dict)
    """`topic:partition` of the views -> next offset whose refusal was not reported yet."""
    heard_s: float = field(default_factory=lambda: time.monotonic())
    heard_at: int = 0
    tape: Tape = field(default_factory=Tape)

    def on_view(self, record: ViewRecord, *, again: bool = False) -> list[Emission]:
        """Shows a record, which is in the view by now, to the layer's rows here; once. `again`: it was in the view
        before the partition came here.
        """
        place = f"{record.topic}:{record.partition}"
        if record.event is None:
            return []
        if record.offset < self.seen.get(place, 0):
            # Rows come from a worker whose view was ahead of ours: what they have seen changes our view only.
            if not again:
                self.journal.took("seen", record.topic, record.partition, record.offset, record.offset)
            return []
        self.seen[place] = record.offset + 1
        emissions = self.machine.on_view(record.event)
        self.journal.said(self.tape.take())
        self.journal.took("view", record.topic, record.partition, record.offset, record.offset)
        self._heard()
        return emissions

    def is_new_refusal(self, record: ViewRecord) -> bool:
        """Whether a refused record is seen here for the first time, over all restarts; it counts as reported now."""
        place = f"{record.topic}:{record.partition}"
        if record.offset < self.reported.get(place, 0):
            return False
        self.reported[place] = record.offset + 1
        return True

    def on_silence(self) -> list[Emission]:
        """Lets event time run on at the wall's rate while no input comes, so that timers fire; journalled if so."""
        if self.machine.clock == 0:
            return []
        idle_ms = int((time.monotonic() - self.heard_s) * 1000)
        due = self.machine.next_due()
        now = self.heard_at + idle_ms
        if due is None or due > now:
            return []
        emissions = self.machine.advance(now)
        self.journal.said(self.tape.take())
        self.journal.tick(now)
        return emissions

    def took_in(self, topic: str, partition: int, first: int, last: int) -> None:
        self.journal.said(self.tape.take())
        self.journal.took("in", topic, partition, first, last)
        self._heard()

    def _heard(self) -> None:
        if self.machine.clock > self.heard_at:
            self.heard_at, self.heard_s = self.machine.clock, time.monotonic()

    def changed_rows(self) -> dict[bytes, bytes | None]:
        """The layer's rows to stage, encoded."""
        return dict(self.machine.take_encoded())

    def runtime_row(self) -> bytes:
        """Staged with whatever is staged, so that neither clock nor views ever fall behind the inputs that are in."""
        return orjson.dumps({"clock": self.machine.clock, "views": self.seen, "reported": self.reported})


def restored(
    layer: Layer[Any, Any], view: object, rows: Iterable[tuple[bytes, bytes]], offsets: dict[str, int],
    tape: Tape | None = None,
) -> Owned:  # fmt: skip
    """A partition from its table. A partition without a past starts with the views as they are (`offsets`)."""
    in_order = sorted(rows)  # the order of the rows is part of what a replay repeats
    own: dict[str, Any] = {}
    if in_order and in_order[0][0] == RUNTIME_ROW:
        own = orjson.loads(in_order.pop(0)[1])
    owned = Owned(machine_of(layer, view, own.get("clock", 0)), tape=tape if tape is not None else Tape())
    owned.machine.load(in_order)
    owned.seen = dict(own.get("views", offsets))
    owned.reported = dict(own.get("reported", {}))
    owned.heard_at = owned.machine.clock
    owned.journal.start(offsets, owned.machine.clock)
    return owned
