"""The partitions that this worker holds: each with its store, its flusher and its right to write.

assigned --restore--> ready --revoke: flush, suspend--> suspended --kept, nobody wrote--> ready
                                                             \\--gone, or someone wrote--> lost (closed)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from streams.atleastonce.audit import audit
from streams.atleastonce.batch import Output
from streams.atleastonce.changelog import Applied, FlushId, Owner
from streams.atleastonce.flush import PartitionFlusher
from streams.atleastonce.metrics import Metrics
from streams.atleastonce.pace import Pace
from streams.atleastonce.producer import ConfirmedProducer
from streams.atleastonce.restore import Restorer, StandbyReader, changelog_consumer
from streams.atleastonce.settings import AtLeastOnceSettings
from streams.atleastonce.staged import Closing, LateRows, Row, Tenure
from streams.atleastonce.store import PartitionStore

log = logging.getLogger(__name__)

PartitionCallback = Callable[[int], Awaitable[None]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Held:
    flusher: PartitionFlusher
    task: asyncio.Task[None]


class Ownership:
    """`topic` is the changelog; `fail` ends the process. All methods run on the event loop."""

    def __init__(
        self,
        name: str,
        bootstrap: str,
        folder: Path,
        topic: str,
        settings: AtLeastOnceSettings,
        metrics: Metrics,
        on_flushed: Callable[[int, Mapping[str, int]], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._name, self._bootstrap, self._folder, self.topic = name, bootstrap, folder, topic
        self._settings, self._metrics, self._on_flushed, self._fail = settings, metrics, on_flushed, fail
        self._executor = ThreadPoolExecutor(settings.restore_threads, thread_name_prefix=f"{name}-store")
        self._standby: StandbyReader | None = None
        self.topic_ids: dict[str, str] = {}
        self.held: dict[int, Held] = {}
        self._pace = Pace(
            settings.flush_share, settings.flush_wait_most_s, settings.flush_bulk_share, settings.flush_ahead_s
        )
        self.closing: Callable[[int], Sequence[Output]] = lambda _: ()
        """Asked for each flush that begins: outputs that belong to it but are no reason for one."""
        self.late_rows: Callable[[int], LateRows | Sequence[Row]] = lambda _: ()
        """Asked next: changed rows that were not staged (`staged.LateRows`)."""

    def flusher(self, partition: int) -> PartitionFlusher | None:
        held = self.held.get(partition)
        return held.flusher if held else None

    def applied(self, partition: int) -> dict[str, Applied]:
        """What the state contains, of input topics that still are the ones it was made from."""
        found = self.held[partition].flusher.position.applied
        kept = {topic: at for topic, at in found.items() if at.topic_id in ("", self.topic_ids.get(topic, at.topic_id))}
        for topic in found.keys() - kept.keys():
            log.warning("topic %s was deleted and created again: its new messages all count as not applied", topic)
        return kept

    async def settle(self) -> None:
        """Everything staged is durable afterwards, every output confirmed; nothing more is flushed until `resume`."""
        await asyncio.gather(*(held.flusher.settle() for held in self.held.values()))

    def resume(self) -> None:
        for held in self.held.values():
            held.flusher.resume()

    async def lose(self, partitions: Iterable[int], on_lost: PartitionCallback) -> None:
        for partition in sorted(partitions):
            # First: a timer of the layer must not stage for a partition that is half gone.
            await on_lost(partition)
            held = self.held.pop(partition)
            held.task.cancel()
            await asyncio.gather(held.task, return_exceptions=True)
            await self._in_thread(held.flusher.store.close)

    async def take(self, partitions: Iterable[int], producer: ConfirmedProducer, stop: Callable[[], bool]) -> list[int]:
        """Restores them side by side; gives those that are ready (all, unless `stop` turned true)."""
        wanted = sorted(partitions)
        tenures = await asyncio.gather(
            *(self._in_thread(self._restore, partition, producer, stop) for partition in wanted), return_exceptions=True
        )
        ready = []
        failure: BaseException | None = None
        for partition, tenure in zip(wanted, tenures, strict=True):
            if isinstance(tenure, BaseException):
                failure = failure or tenure
            else:
                self._hold(partition, *tenure, producer)
                ready.append(partition)
        if failure is not None:
            raise failure
        return ready

    async def follow(self, partitions: Iterable[int]) -> None:
        """Keeps warm copies of these (and of no others) from now on."""
        if self._standby is not None:
            await self._in_thread(self._standby.stop)
            self._standby = None
        wanted = sorted(partitions)
        if wanted:
            stores = {partition: await self._in_thread(self._open_store, partition) for partition in wanted}
            consumer = changelog_consumer(self._bootstrap, self._name, self._settings)
            self._standby = StandbyReader(self.topic, stores, consumer)
            self._standby.start()

    async def close(self, on_lost: PartitionCallback) -> None:
        await self.follow(())
        await self.lose(list(self.held), on_lost)
        self._executor.shutdown(wait=False)

    def _restore(
        self, partition: int, producer: ConfirmedProducer, stop: Callable[[], bool]
    ) -> tuple[PartitionStore, Tenure]:
        store = self._open_store(partition)
        consumer = changelog_consumer(self._bootstrap, self._name, self._settings)
        try:
            restorer = Restorer(self.topic, partition, store, consumer, producer, self._settings, self._metrics, stop)
            return store, restorer.take_over()
        except BaseException:
            store.close()
            raise
        finally:
            consumer.close()

    def _audit(self, partition: int, owner: Owner, flush: FlushId, first: int, last: int) -> frozenset[bytes]:
        consumer = changelog_consumer(self._bootstrap, self._name, self._settings)
        try:
            return audit(consumer, self.topic, partition, owner, flush, first, last, self._settings.delivery_timeout_s)
        finally:
            consumer.close()

    def _hold(self, partition: int, store: PartitionStore, tenure: Tenure, producer: ConfirmedProducer) -> None:
        flusher = PartitionFlusher(
            partition, self.topic, tenure, store, producer, self._executor, self._settings, self.topic_ids,
            self._metrics, self._on_flushed, self._audit, self._pace,
        )  # fmt: skip
        flusher.closing = lambda p: Closing(self.closing(p), self.late_rows(p))
        task = asyncio.create_task(flusher.run(), name=f"{self.topic}[{partition}] flusher")
        task.add_done_callback(self._flusher_ended)
        self.held[partition] = Held(flusher, task)

    def _flusher_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _open_store(self, partition: int) -> PartitionStore:
        return PartitionStore(self._folder / f"{partition}.db", self._settings, self.topic_ids.get(self.topic, ""))

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)
