"""Ties a runner to its app: partitions gained and lost, rows, flushes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from streams.atleastonce import App, Batch, Output
from streams.kit.layer import Layer
from streams.runtime.runner import LayerRunner, RunnerConfig


class AppHost:
    """`runner.Host` over an `App`."""

    def __init__(self, app: App) -> None:
        self._app = app

    def stage(
        self,
        partition: int,
        *,
        rows: Mapping[bytes, bytes | None],
        outputs: Sequence[Output],
        applied: Mapping[str, int],
    ) -> None:
        self._app.stage(partition, rows=rows, outputs=outputs, applied=applied)

    def rows(self, partition: int) -> Iterable[tuple[bytes, bytes]]:
        rows: Iterable[tuple[bytes, bytes]] = self._app.table.rows(partition)
        return rows

    def fail(self, error: BaseException) -> None:
        self._app.fail(error)


def attach(
    app: App, layer: Layer[Any, Any], config: RunnerConfig, kind: type[LayerRunner] = LayerRunner
) -> LayerRunner:
    """A runner whose partitions follow the app's; the caller registers the agent that calls `runner.run`."""
    runner = kind(layer, config, AppHost(app))

    async def gained(partition: int) -> None:
        runner.gained(partition)

    async def lost(partition: int) -> None:
        runner.lost(partition)

    app.on_partition_ready = gained
    app.on_partition_lost = lost
    app.ownership.closing = runner.journal_of
    app.ownership.late_rows = runner.late_rows
    return runner


Batches = AsyncIterator[Batch]
