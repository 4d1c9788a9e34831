"""Runs the effects of the executors' layer: begun only when the intention is durable, told to the table when done.

order read -> row "pending" staged -> flushed -> effect -> outcome staged with the row -> flushed -> outcome published
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from schemas.records import ActionOutcome, Remediation
from streams.kit.layer import Step
from streams.kit.world import World
from streams.runtime.owned import Owned
from streams.runtime.runner import LayerRunner

LOOK_S = 0.02
"""How often pending orders are looked for; a fraction of what any effect takes."""


class EffectLayer(Protocol):
    """What the executors' layer offers beyond `Layer`."""

    def pending(self, rows: Mapping[str, Any]) -> Iterator[Remediation]: ...

    def complete(self, rows: Mapping[str, Any], outcome: ActionOutcome, now: int) -> Step[Any]: ...


class EffectDriver:
    """`run` carries an order out; `flushed` returns when all that is staged for a partition is durable, False if that
    cannot be said now.
    """

    def __init__(
        self,
        runner: LayerRunner,
        layer: EffectLayer,
        run: Callable[[Remediation, World], Awaitable[ActionOutcome]],
        flushed: Callable[[int], Awaitable[bool]],
        begun_before: Callable[[str], object],
    ) -> None:
        """`begun_before` is told each action id that a restored row holds as pending: it may have had its effect."""
        self._runner, self._layer, self._run, self._flushed = runner, layer, run, flushed
        self._running: dict[str, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._begun_before = begun_before
        runner.on_loaded = self._loaded

    def start(self) -> None:
        self._task = asyncio.create_task(self._look(), name="effects")
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Ends without waiting for effects under way: their rows stay pending, and executors know the action id."""
        tasks = [*self._running.values(), *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        await self._runner.views_ready()
        while True:
            await asyncio.sleep(LOOK_S)
            for partition, owned in list(self._runner.owned.items()):
                orders = [o for o in self._layer.pending(owned.machine.rows) if o.action_id not in self._running]
                if orders and await self._flushed(partition):
                    self._begin_all(partition, owned, orders)

    def _loaded(self, _partition: int, owned: Owned) -> None:
        for order in self._layer.pending(owned.machine.rows):
            self._begun_before(order.action_id)

    def _begin_all(self, partition: int, owned: Owned, orders: Sequence[Remediation]) -> None:
        if self._runner.owned.get(partition) is not owned:
            return  # Lost while it was flushed: the new owner finds the orders.
        for order in orders:
            self._begin(partition, order)

    def _begin(self, partition: int, order: Remediation) -> None:
        task = asyncio.create_task(self._carry_out(partition, order), name=f"effect {order.action_id}")
        self._running[order.action_id] = task
        task.add_done_callback(self._ended)

    async def _carry_out(self, partition: int, order: Remediation) -> None:
        try:
            outcome = await self._run(order, self._runner.view)
            owned = self._runner.owned.get(partition)
            if owned is not None:
                step = self._layer.complete(owned.machine.rows, outcome, max(owned.machine.clock, outcome.at))
                self._runner.commit(partition, owned, owned.machine.apply(step))
        finally:
            self._running.pop(order.action_id, None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._runner.host.fail(error)
