"""A flusher on a broker that remembers, for the tests of what a flush does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from streams.atleastonce import AtLeastOnceSettings, Metrics
from streams.atleastonce.changelog import Owner
from streams.atleastonce.flush import PartitionFlusher
from streams.atleastonce.pace import Pace
from streams.atleastonce.producer import Outgoing
from streams.atleastonce.replay import Position, Replay
from streams.atleastonce.staged import Tenure
from streams.atleastonce.store import PartitionStore

OWNER = Owner(3, 99)
LONG = AtLeastOnceSettings(flush_interval_s=60)


class Broker:
    """Confirms everything after a moment, and remembers the order over all topics."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.ends: dict[str, int] = {"log": 10}
        self.gate = asyncio.Event()
        self.gate.set()

        self.roomy = True
        self.reported: Callable[[list[tuple[int, int]]], list[tuple[int, int]]] = lambda found: [found[0], found[-1]]
        self.loop = asyncio.get_running_loop()

    async def deliver(self, records: Iterable[Outgoing]) -> list[tuple[int, int]]:
        found = [(record.partition or 0, self._take(record)) for record in list(records)]
        await self.gate.wait()
        return found

    def append(self, topic: str, partition: int, entries: Iterable[Any], last: Any) -> Future[list[tuple[int, int]]]:
        """On the loop or on a thread of the flush's."""
        places = [(i, self._take(Outgoing(topic, partition, *e))) for i, e in enumerate([*entries, last])]
        return asyncio.run_coroutine_threadsafe(self._landed(places), self.loop)

    async def _landed(self, places: list[tuple[int, int]]) -> list[tuple[int, int]]:
        await self.gate.wait()
        return self.reported(places)

    def _take(self, record: Outgoing) -> int:
        self.records.append(record)
        self.ends[record.topic] = self.ends.get(record.topic, 0) + 1
        return self.ends[record.topic] - 1

    def log(self) -> list[Outgoing]:
        return [record for record in self.records if record.topic == "log"]

    def replayed(self) -> Replay:
        replay = Replay(owner=OWNER)
        for offset, record in enumerate(self.log(), 10):
            replay.feed(offset, record.key or b"", record.value, record.headers)
        return replay


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    tasks: list[asyncio.Task[None]] = []
    executor = ThreadPoolExecutor(2)

    def build(settings: AtLeastOnceSettings = LONG, audit: Any = None, run: bool = True, pace: Any = None) -> Any:
        broker, acked = Broker(), []
        store = PartitionStore(tmp_path / f"{len(tasks)}.db", settings, "")
        tenure = Tenure(OWNER, 10, Position())
        flusher = PartitionFlusher(
            0, "log", tenure, store, broker, executor, settings, {"in": "id"}, Metrics(),  # type: ignore[arg-type]
            lambda p, applied: acked.append(applied), audit or (lambda *_: pytest.fail("audited")),
            pace or Pace(settings.flush_share, settings.flush_wait_most_s),
        )  # fmt: skip
        if run:
            tasks.append(asyncio.create_task(flusher.run()))
        return flusher, broker, acked

    yield build
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    executor.shutdown()
