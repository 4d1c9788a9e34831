"""One partition of a layer as the live runner, the loop and replay drive it, whoever brings it.

`streams.kit.partition.Partition` is the usual one. A layer may bring its own (`layer.partition(view, clock)`), which
keeps the same order of timers and inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from schemas.errors import Reason
from streams.kit.layer import Emission, Event, Layer, Step

if TYPE_CHECKING:
    from schemas.columns import SampleColumns

R = TypeVar("R")
V = TypeVar("V")

Encoded = Iterable[tuple[bytes, bytes]]
"""Rows as the table has them: key and value."""


class Changed(Protocol):
    """Rows as they were when they were taken, for the table: key and value, None = delete. To be iterated once."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[bytes, bytes | None]]: ...


class RefusedRow(NamedTuple):
    """A sample that the layer does not take, for what it knows; `row` counts in the columns that were given."""

    row: int
    code: Reason
    message: str


class Refused(NamedTuple):
    """`not_told` more were dropped, of which a row of before tells."""

    rows: Sequence[RefusedRow] = ()
    not_told: int = 0


class Machine(Protocol[R, V]):
    """One partition of a layer, as the live runner, the loop and replay drive it. `Partition` is the usual one."""

    layer: Layer[R, V]
    view: V
    rows: Mapping[str, R]

    @property
    def clock(self) -> int: ...

    def load(self, rows: Encoded) -> None:
        """Rows of the table; before anything else."""

    def on_event(self, event: Event) -> list[Emission]: ...

    def on_columns(self, columns: SampleColumns, causes: Callable[[int], str]) -> list[Emission]: ...

    def on_view(self, event: Event) -> list[Emission]: ...

    def advance(self, to_ms: int) -> list[Emission]: ...

    def next_due(self) -> int | None: ...

    def apply(self, step: Step[R]) -> list[Emission]: ...

    @property
    def changes(self) -> int: ...

    def take_encoded(self) -> Changed: ...

    def take_refused(self) -> Refused: ...
