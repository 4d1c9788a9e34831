"""The shape of every layer: what an engine takes and gives. One protocol serves the live system, replay and tests.

A layer is a pure function over keyed rows. It owns one partition of rows at a time; it sees:

- `Event`s of its input topics (keyed: all events of a key reach the same rows, in order),
- a `View`: its own projection of compacted or broadcast topics, read whole by every worker (registry, policies, ...),
- `now`: event time in ms, never decreasing; the caller derives it from the events, nobody reads a clock.

and gives a `Step`: the rows that changed and the records to emit. Nothing else has an effect. The caller (the live
runtime in `streams.atleastonce` and `topology`, or `topology.replay`) stores rows, sends records, keeps the timers.

Contract that every engine keeps (tests/unit/test_layer_contract.py):
- the same rows, view, event and now give an equal Step, and neither `rows` nor any row in it is modified;
- a Step's emissions depend on nothing but that; ids are `ids.derive`d from causes, so that a repeat emits the same ids;
- rows survive `decode_row(encode_row(row))` with equal behaviour;
- an engine never raises for bad input: it emits nothing, or a record that says so. A raise is a bug (the runtime
  ends the process).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from schemas.records import Record

if TYPE_CHECKING:
    from schemas.columns import SampleColumns

R = TypeVar("R")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Event:
    """One input record. `value` None = tombstone. `cause_id` names it in the records that it causes."""

    topic: str
    key: str
    value: Record | None
    at: int
    cause_id: str


@dataclass(frozen=True, slots=True)
class Emission:
    """One record to publish. `value` None = tombstone. The topic's declaration says how it is encoded and keyed."""

    topic: str
    key: str
    value: Record | None
    at: int
    cause_id: str


@dataclass(frozen=True, slots=True)
class Step(Generic[R]):
    """What one event did: rows to write (None = delete) and records to emit, in order."""

    rows: Mapping[str, R | None] = field(default_factory=dict)
    emissions: tuple[Emission, ...] = ()


class Layer(Protocol[R, V]):
    """One layer of the control plane. Settings are constructor arguments of the implementation (frozen)."""

    name: str
    inputs: tuple[str, ...]
    """Keyed topics whose partitions this layer's rows are split by (all with the same partition count)."""
    views: tuple[str, ...]
    """Topics read whole by every worker of this layer, from the beginning, into `View`."""

    def new_view(self) -> V: ...

    def see(self, view: V, event: Event) -> None:
        """Applies one record of a view topic to `view` in place (the only mutable thing here; it is a projection)."""

    def step(self, rows: Mapping[str, R], view: V, event: Event, now: int) -> Step[R]:
        """One event of an input topic."""

    def on_view(self, rows: Mapping[str, R], view: V, event: Event, now: int) -> Step[R]:
        """Called after `see` of the same event, for each partition of rows; most layers give an empty Step."""

    def due_at(self, row: R) -> int | None:
        """When this row next wants `on_timer`, in event time ms; None = never. Called after each write of the row."""

    def on_timer(self, rows: Mapping[str, R], view: V, key: str, now: int) -> Step[R]:
        """The timer of `rows[key]` is due: `now` >= due_at. Must move or clear its due time (else: a bug)."""

    def encode_row(self, row: R) -> bytes: ...

    def decode_row(self, data: bytes) -> R: ...


class ColumnLayer(Layer[R, V], Protocol[R, V]):
    """A layer of the hot path: takes many samples at once (telemetry, optimisation)."""

    def step_columns(
        self, rows: Mapping[str, R], view: V, columns: SampleColumns, causes: Callable[[int], str], clock: int
    ) -> Step[R]:
        """The samples of `columns` in row order; equal to as many single steps, each at `now` = max(clock, its at).

        `causes(i)` names row i's cause; it is called for few rows, so it may be slow. No timer that a row had before is
        due within the columns (the caller splits them there); those that a row sets on the way are the layer's to fire.
        """
