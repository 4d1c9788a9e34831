"""From an assignment to flowing partitions, with nothing fetched in between (L1).

    rebalance starts: flow stopped, agents finish, flush, commit          (consumer.wait_empty)
    assigned        : lost partitions closed -> kept ones verified -> new ones restored -> their rows loaded
                      -> every input partition seeks to what its state contains -> ledgers -> flow resumes

Stock Faust reads changelogs through the same consumer and queues as the input, resumes source partitions while the flow
runs, and clears the queues afterwards: what was fetched meanwhile is lost. Here the changelogs are read elsewhere
(`restore`), the flow stays stopped until the very end, and nothing starts without a seek.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from faust.tables.manager import TableManager as StockTableManager
from faust.tables.recovery import Recovery as StockRecovery
from faust.types import TP
from mode import Service

from streams.atleastonce.errors import ConfigurationError, Interrupted
from streams.atleastonce.ledger import Ledger

if TYPE_CHECKING:
    from streams.atleastonce.app import App


class Recovery(StockRecovery):  # type: ignore[misc]
    app: App

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._job: asyncio.Task[None] | None = None
        self._generation = -1
        self._announced: set[int] = set()

    # Stock tasks that would read changelogs through the input's consumer; `on_rebalance` starts ours instead.
    @Service.task  # type: ignore[untyped-decorator]
    async def _restart_recovery(self) -> None: ...

    @Service.task  # type: ignore[untyped-decorator]
    async def _slurp_changelogs(self) -> None: ...

    @Service.task  # type: ignore[untyped-decorator]
    async def _publish_stats(self) -> None: ...

    def flush_buffers(self) -> None: ...

    def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """A recovery under way gives up at its next step."""
        self._generation = -1

    async def on_stop(self) -> None:
        await self._give_up()
        await self.app.ownership.close(self._on_lost)

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        await self._give_up()
        self._generation = generation_id
        self.app.metrics.rebalances += 1
        self._job = asyncio.create_task(self._guarded(set(assigned), generation_id), name="recovery")

    async def _give_up(self) -> None:
        self._generation = -1
        if self._job is not None:
            await asyncio.gather(self._job, return_exceptions=True)
            self._job = None

    async def _guarded(self, assigned: set[TP], generation: int) -> None:
        try:
            _ = self.app.inbox  # raises if there is not exactly one agent
            await self._recover(assigned, generation)
        except Interrupted as reason:
            self.log.info("%s: the assignment changed", reason)
        except Exception as error:  # noqa: BLE001 - whatever it is, the process ends with it
            self.app.fail(error)

    def _check(self, generation: int) -> None:
        if generation != self._generation or generation != self.app.consumer_generation_id:
            raise Interrupted(f"recovery of generation {generation}")

    async def _recover(self, assigned: set[TP], generation: int) -> None:
        app, consumer = self.app, self.app.consumer
        self._set_recovery_started()
        consumer.stop_flow()
        app.flow_control.suspend()
        await consumer.parked()
        actives, standbys = self._wanted(assigned)
        await app.ownership.follow(())
        await self._close_lost(actives)
        await self._restore(actives, generation)
        await app.ownership.follow(standbys)
        ledgers = await self._ledgers(sorted(actives))
        self._check(generation)
        never = [tp for tp in assigned if tp not in ledgers]
        await consumer.start_at(ledgers, never)
        await self._go(generation)

    def _wanted(self, assigned: set[TP]) -> tuple[set[int], set[int]]:
        """Active and standby partitions. An active one needs all its inputs, or it waits for the next rebalance."""
        topic, inputs = self.app.ownership.topic, self.app.plan.inputs
        active = {tp.partition for tp in self.app.assignor.assigned_actives() if tp.topic == topic}
        standby = {tp.partition for tp in self.app.assignor.assigned_standbys() if tp.topic == topic} - active
        whole = {p for p in active if all(TP(name, p) in assigned for name in inputs)}
        if whole != active:
            self.log.warning(
                "partitions %s lack some of %s: metadata is not complete yet", sorted(active - whole), inputs
            )
        return whole, standby

    async def _close_lost(self, actives: set[int]) -> None:
        """Gives up what is assigned elsewhere, and what someone else wrote to although it is ours again."""
        ownership = self.app.ownership
        kept = actives & ownership.held.keys()
        ends = await self.app.consumer._thread.starting_points(TP(ownership.topic, p) for p in kept)
        touched = {
            tp.partition for tp, (_, _, end) in ends.items() if end != ownership.held[tp.partition].flusher.next_offset
        }
        await ownership.lose((ownership.held.keys() - actives) | touched, self._on_lost)

    async def _restore(self, actives: set[int], generation: int) -> None:
        app = self.app
        missing = actives - app.ownership.held.keys()

        def stop() -> bool:
            return generation != self._generation or bool(app.should_stop)

        await app.ownership.take(missing, app.producer.confirmed, stop)
        self._check(generation)
        for partition in sorted(app.ownership.held.keys() - self._announced):
            await app.on_partition_ready(partition)
            self._announced.add(partition)

    async def _on_lost(self, partition: int) -> None:
        if partition in self._announced:
            self._announced.discard(partition)
            await self.app.on_partition_lost(partition)

    async def _ledgers(self, partitions: Iterable[int]) -> dict[TP, Ledger]:
        tps = [TP(topic, partition) for partition in partitions for topic in self.app.plan.inputs]
        points = await self.app.consumer._thread.starting_points(tps)
        return {tp: self._ledger(tp, *points[tp]) for tp in tps}

    def _ledger(self, tp: TP, committed: int | None, earliest: int, end: int) -> Ledger:
        if committed is not None and committed > end:
            self.log.warning(
                "%s: commit %s is beyond its end %s, begins anew: was it created again?", tp, committed, end
            )
            committed = None
        applied = self.app.ownership.applied(tp.partition).get(tp.topic)
        contained = applied.next_offset if applied else 0
        start = max(contained, committed or 0)
        if contained > end:
            raise ConfigurationError(
                f"the state of partition {tp.partition} contains {tp.topic} up to {contained}, it ends at {end}: "
                f"it was created again. Delete topic {self.app.ownership.topic} and the data folder to begin anew."
            )
        if start < earliest:
            self.log.warning("%s: messages %s..%s are gone (retention) before they were read", tp, start, earliest - 1)
        self.app.metrics.skipped_duplicates += max(0, start - (committed or 0)) if committed is not None else 0
        return Ledger(min(max(start, earliest), end), committed)

    async def _go(self, generation: int) -> None:
        app = self.app
        await app.on_rebalance_complete.send()
        self._check(generation)
        self._set_recovery_ended()
        app.ownership.resume()
        self.completed.set()
        app.flow_control.resume()  # also clears the queues: they are empty, nothing was delivered since they were
        app.consumer.resume_flow()
        await app._fetcher.maybe_start()
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        app.on_rebalance_end()
        self.log.info("flowing: partitions %s, standby of %s", sorted(app.ownership.held), app.ownership.topic)


class TableManager(StockTableManager):  # type: ignore[misc]
    """Uses our recovery, and begins at once (stock waits a second for other tables to be declared)."""

    _recovery: Recovery | None

    @property
    def recovery(self) -> Recovery:
        if self._recovery is None:
            self._recovery = Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()
