"""The layer's table as Faust sees it: its assignor places changelog and standby partitions beside the inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from faust.tables.table import Table
from faust.types import TP

from streams.atleastonce.errors import NotOwned
from streams.atleastonce.flush import PartitionFlusher

if TYPE_CHECKING:
    from streams.atleastonce.app import App


class BatchTable(Table):  # type: ignore[misc]
    """Bytes to bytes, by partition. Written by `App.stage` only: a whole flush or nothing.

    The rows live in `store.PartitionStore`, the changelog format is `changelog`'s; the dictionary interface of a Faust
    table (a changelog record per assignment, a store read per get) is switched off.
    """

    app: App

    def rows(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Every committed row of a partition that this worker holds. Raises `NotOwned`."""
        return self._held(partition).store.rows()

    def get_row(self, partition: int, key: bytes) -> bytes | None:
        return self._held(partition).store.get(key)

    def applied(self, partition: int) -> dict[str, int]:
        """The next offset of each input topic that the committed rows do not contain yet."""
        self._held(partition)
        return {topic: at.next_offset for topic, at in self.app.ownership.applied(partition).items()}

    def _held(self, partition: int) -> PartitionFlusher:
        flusher = self.app.ownership.flusher(partition)
        if flusher is None:
            raise NotOwned(f"partition {partition} of table {self.name} is not held by this worker")
        return flusher

    # --- what Faust must not do here --------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Nothing to open: partitions open when they are assigned; the changelog exists (`declare`)."""

    async def on_rebalance(self, *_: Any, **__: Any) -> None:
        """`ownership` opens and closes the stores."""

    def persisted_offset(self, tp: TP) -> int | None:
        return None

    def __getitem__(self, key: Any) -> Any:
        raise TypeError("use rows(partition) and App.stage: this table is read and written by partition")

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError("use App.stage: rows, outputs and applied offsets are flushed together")

    def __delitem__(self, key: Any) -> None:
        raise TypeError("use App.stage with None as the row")
