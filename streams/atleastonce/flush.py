"""The heart of the guarantee: one partition's staged work becomes durable in one step, in the background.

    stage ... stage            (next batches go on while a flush is in flight)
        |
        v   0  its turn comes (`pace`); rows that the layer changes all the time are taken now (`closing`)
        v   1  rows, outbox, marker -> changelog, confirmed, and no claim of another between (else: Fenced)
      flush 2  rows + position -> local store       } at the same time:
            3  outputs -> their topics, confirmed   } the marker already holds both
        |
        v   4  the input offsets become committable, the held events are acked

A crash before the marker undoes the whole flush; after it, the restore finishes it (rows from the log, outputs again).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import TypeVar

from streams.atleastonce import changelog
from streams.atleastonce.batch import Output
from streams.atleastonce.changelog import Applied, Attempt, FlushId, Marker, Owner
from streams.atleastonce.landing import Place
from streams.atleastonce.metrics import Metrics
from streams.atleastonce.pace import Pace
from streams.atleastonce.producer import ConfirmedProducer, Outgoing
from streams.atleastonce.replay import Position
from streams.atleastonce.settings import AtLeastOnceSettings
from streams.atleastonce.staged import Closing, LateRows, Row, SizeLimit, Staged, Tenure
from streams.atleastonce.store import PartitionStore

T = TypeVar("T")
LIGHT_ROWS, LIGHT_BYTES = 200, 500_000
"""A flush of so little is written on the event loop: half a millisecond, threads would cost more."""
BESIDE = 2.0
"""CPU of a flush, over what its own threads take: librdkafka sends, RocksDB writes its tables (measured, ADR 10)."""


class PartitionFlusher:
    """Stages and flushes for one owned partition; one flush in flight at a time."""

    def __init__(
        self,
        partition: int,
        changelog_topic: str,
        tenure: Tenure,
        store: PartitionStore,
        producer: ConfirmedProducer,
        executor: Executor,
        settings: AtLeastOnceSettings,
        topic_ids: Mapping[str, str],
        metrics: Metrics,
        on_flushed: Callable[[int, Mapping[str, int]], None],
        audit: Callable[[int, Owner, FlushId, int, int], frozenset[bytes]],
        pace: Pace,
    ) -> None:
        self.partition, self.changelog_topic, self.store, self.metrics = partition, changelog_topic, store, metrics
        self.position = tenure.position
        self._owner, self._next_offset, self._seq = tenure.owner, tenure.next_offset, 0
        self._producer, self._executor, self._settings = producer, executor, settings
        self._topic_ids, self._on_flushed, self._audit, self._pace = topic_ids, on_flushed, audit, pace
        self.limit = SizeLimit(partition, settings.max_record_bytes)
        self._staged, self._outbox_open, self._was_light, self._cost_s = Staged(), False, True, 0.0
        self._work, self._hurry, self._idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._may_flush, self._writing, self._urgent = asyncio.Event(), asyncio.Lock(), asyncio.Event()
        self._may_flush.set()
        self._idle.set()
        self.closing: Callable[[int], Closing] = lambda _partition: Closing()
        """Asked when a flush begins."""

    def stage(
        self,
        rows: Mapping[bytes, bytes | None],
        outputs: Sequence[Output],
        applied: Mapping[str, int],
        size_bytes: int | None = None,
    ) -> None:
        """Merges into the next flush. Raises `TooLarge` before anything has an effect, unless the size is given."""
        size = self.limit.of(rows, outputs) if size_bytes is None else size_bytes
        staged = self._staged
        if not staged:
            staged.since_s = time.monotonic()
        staged.rows.update(rows)
        staged.outputs.extend(outputs)
        staged.applied.update(applied)
        staged.size_bytes += size
        self._idle.clear()
        self._work.set()
        if outputs or len(staged.rows) >= self._settings.flush_rows or staged.size_bytes >= self._settings.flush_bytes:
            self._hurry.set()

    @property
    def crowded(self) -> bool:
        """So much waits that fetching more would only cost memory."""
        many = 4 * self._settings.flush_bytes
        return self._staged.size_bytes > many or len(self._staged.rows) > 4 * self._settings.flush_rows

    @property
    def next_offset(self) -> int:
        """Where our next changelog record lands; if the log is longer than that, someone else has written."""
        return self._next_offset

    async def run(self) -> None:
        """Until cancelled; ends with the first failure."""
        while True:
            await self._work.wait()
            await _until(self._hurry, self._staged.since_s + self._settings.flush_interval_s)
            expected_s, asked_s = self._cost_s, time.monotonic()
            await _until(self._urgent, self._pace.turn_s(expected_s, asked_s))
            self.metrics.flush_wait_ms += (time.monotonic() - asked_s) * 1000
            await self._may_flush.wait()
            await self.flush()
            self._pace.correct(expected_s, self._cost_s)

    async def settle(self) -> None:
        """Flushes everything, then suspends: it is not known whose the partition is until `resume`.

        What is staged meanwhile waits, or is dropped with the partition. The last marker has no outputs, so that
        whoever comes next needs not send the last ones again.
        """
        await self.flushed()
        async with self._writing:
            if self._may_flush.is_set() and self._outbox_open:
                await self._write(Staged(), ())
            self._may_flush.clear()

    def resume(self) -> None:
        self._may_flush.set()

    async def flushed(self) -> bool:
        """Returns when all that is staged is durable, whatever the pace; False if that cannot be said, since flushing
        is suspended. `run` must be running.
        """
        while self._may_flush.is_set() and not self._idle.is_set():
            self._hurry.set()
            self._urgent.set()
            await _within(self._idle, 0.05)
        return self._idle.is_set()

    async def flush(self) -> None:
        async with self._writing:
            if self._may_flush.is_set():
                await self._flush()

    async def _flush(self) -> None:
        started_s, cpu_s = time.monotonic(), time.thread_time()
        outputs, late = self.closing(self.partition)
        self._staged.outputs.extend(outputs)
        staged, self._staged = self._staged, Staged()
        self._work.clear()
        self._hurry.clear()
        self._urgent.clear()
        self._cost_s = time.thread_time() - cpu_s
        await self._write(staged, late)
        self.metrics.flushes += 1
        self.metrics.flush_ms += (time.monotonic() - started_s) * 1000
        self.metrics.flush_cpu_ms += self._cost_s * 1000
        self.metrics.flushed_rows += len(staged.rows) + len(late)
        self.metrics.outputs += len(staged.outputs)
        self._on_flushed(self.partition, staged.applied)
        if not self._staged:
            self._idle.set()

    async def record_attempt(self, attempt: Attempt) -> None:
        """Makes durable that the process is about to end because of these messages."""
        key, value, headers = changelog.attempt_entry(attempt)
        await self._producer.deliver([Outgoing(self.changelog_topic, self.partition, key, value, headers)])

    async def _write(self, staged: Staged, late: LateRows | Sequence[Row]) -> None:
        flush = FlushId(self._owner, self._seq + 1)
        applied = dict(self.position.applied)
        for topic, next_offset in staged.applied.items():
            applied[topic] = Applied(next_offset, self._topic_ids.get(topic, ""))
        light = len(staged.rows) + len(late) <= LIGHT_ROWS and staged.size_bytes <= LIGHT_BYTES
        # RocksDB may stop the write after a heavy one for as long as it writes its table.
        here, self._was_light = light and self._was_light and self._producer.roomy, light
        first = self._next_offset
        rows, landing = await self._on(here, self._hand_over, flush, staged, late, applied)
        void = await self._landed(flush, landing)
        self._seq = flush.seq
        attempts = {a.topic: a for a in self.position.attempts.values() if a.end > staged.applied.get(a.topic, 0)}
        self.position = Position(first, flush, applied, void, attempts)
        sent = self._producer.deliver(Outgoing.of(output) for output in staged.outputs)
        await asyncio.gather(sent, self._on(here, self.store.write, rows, self.position))
        self._outbox_open = bool(staged.outputs)
        if void:
            self._stage_repair(void)

    async def _on(self, here: bool, work: Callable[..., T], *arguments: object) -> T:
        """On this thread or another; its CPU counts as cost of the flush."""

        def timed() -> tuple[T, float]:
            begun_s = time.thread_time()
            return work(*arguments), time.thread_time() - begun_s

        found, cpu_s = timed() if here else await asyncio.get_running_loop().run_in_executor(self._executor, timed)
        self._cost_s += BESIDE * cpu_s
        return found

    def _hand_over(
        self, flush: FlushId, staged: Staged, late: LateRows | Sequence[Row], applied: Mapping[str, Applied]
    ) -> tuple[list[Row], Future[list[Place]]]:
        rows: list[Row] = list(staged.rows.items())
        if late:
            newer = list(late)
            self.limit.of_rows(newer)
            rows += newer
        chunks = changelog.outbox_chunks(staged.outputs)
        marker = changelog.marker_entry(Marker(flush, len(rows), len(chunks), applied))
        entries = changelog.content_entries(flush, rows, chunks)
        return rows, self._producer.append(self.changelog_topic, self.partition, entries, marker)

    def _stage_repair(self, void: frozenset[bytes]) -> None:
        """The newest version of these keys in the log is not ours: write the committed one again (see `replay`)."""
        newer = self._staged.rows
        self.stage({key: self.store.get(key) for key in void if key not in newer}, (), {})
        self.metrics.repaired_rows += len(void)

    async def _landed(self, flush: FlushId, landing: Future[list[Place]]) -> frozenset[bytes]:
        """Gives the keys that someone else, not the owner, wrote meanwhile. Raises `Fenced` if we are not the owner."""
        places = await asyncio.wrap_future(landing)
        first, last = self._next_offset, places[-1][1]
        self._next_offset = last + 1
        if all(offset == first + index for index, offset in places):
            return frozenset()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._audit, self.partition, self._owner, flush, first, last)


async def _until(event: asyncio.Event, at_s: float) -> None:
    """The event, or that time (monotonic), whichever is earlier."""
    wait_s = at_s - time.monotonic()
    if wait_s > 0:
        await _within(event, wait_s)


async def _within(event: asyncio.Event, seconds: float) -> None:
    """As `asyncio.wait_for`, which makes a task of each wait: four of them a flush."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
