"""The heart of the guarantee: one partition's staged work becomes durable in one step, in the background.

    stage ... stage            (next batches go on while a flush is in flight)
        |
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
from concurrent.futures import Executor
from dataclasses import dataclass, field

from streams.atleastonce import changelog
from streams.atleastonce.batch import Output
from streams.atleastonce.changelog import Applied, Attempt, FlushId, Owner
from streams.atleastonce.errors import TooLarge
from streams.atleastonce.metrics import Metrics
from streams.atleastonce.producer import ConfirmedProducer, Outgoing
from streams.atleastonce.replay import Position
from streams.atleastonce.settings import AtLeastOnceSettings
from streams.atleastonce.store import PartitionStore

ENVELOPE_BYTES = 200
"""Room for key, flush id and headers of a changelog record."""


@dataclass(slots=True)
class Staged:
    """What waits for the next flush."""

    rows: dict[bytes, bytes | None] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    applied: dict[str, int] = field(default_factory=dict)
    size_bytes: int = 0
    since_s: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.rows or self.outputs or self.applied)


@dataclass(frozen=True, slots=True)
class Tenure:
    """Our right to write: the claim's owner and where the next changelog record must land, as the restore left it."""

    owner: Owner
    next_offset: int
    position: Position


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
    ) -> None:
        self.partition, self.changelog_topic, self.store, self.metrics = partition, changelog_topic, store, metrics
        self.position = tenure.position
        self._owner, self._next_offset, self._seq = tenure.owner, tenure.next_offset, 0
        self._producer, self._executor, self._settings = producer, executor, settings
        self._topic_ids, self._on_flushed, self._audit = topic_ids, on_flushed, audit
        self._staged, self._outbox_open = Staged(), False
        self._work, self._hurry, self._idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._may_flush, self._writing = asyncio.Event(), asyncio.Lock()
        self._may_flush.set()
        self._idle.set()
        self.closing: Callable[[int], Sequence[Output]] = _nothing_more
        """Asked when a flush begins: outputs that belong to it but are no reason for one."""

    def stage(self, rows: Mapping[bytes, bytes | None], outputs: Sequence[Output], applied: Mapping[str, int]) -> None:
        """Merges into the next flush. Raises `TooLarge` before anything has an effect."""
        size = self.checked_size(rows, outputs)
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
            wait_s = self._staged.since_s + self._settings.flush_interval_s - time.monotonic()
            if wait_s > 0 and not self._hurry.is_set():
                await _within(self._hurry.wait(), wait_s)
            await self._may_flush.wait()
            await self.flush()

    async def settle(self) -> None:
        """Flushes everything, then suspends: it is not known whose the partition is until `resume`.

        What is staged meanwhile waits, or is dropped with the partition. The last marker has no outputs, so that
        whoever comes next needs not send the last ones again.
        """
        await self.flushed()
        async with self._writing:
            if self._may_flush.is_set() and self._outbox_open:
                await self._write(Staged())
            self._may_flush.clear()

    def resume(self) -> None:
        self._may_flush.set()

    async def flushed(self) -> bool:
        """Returns when all that is staged is durable; False if that cannot be said, since flushing is suspended.

        `run` must be running.
        """
        while self._may_flush.is_set() and not self._idle.is_set():
            self._hurry.set()
            await _within(self._idle.wait(), 0.05)
        return self._idle.is_set()

    async def flush(self) -> None:
        async with self._writing:
            if self._may_flush.is_set():
                await self._flush()

    async def _flush(self) -> None:
        self._staged.outputs.extend(self.closing(self.partition))
        staged, self._staged = self._staged, Staged()
        self._work.clear()
        self._hurry.clear()
        started_s = time.monotonic()
        await self._write(staged)
        self.metrics.flushes += 1
        self.metrics.flush_ms += (time.monotonic() - started_s) * 1000
        self.metrics.flushed_rows += len(staged.rows)
        self.metrics.outputs += len(staged.outputs)
        self._on_flushed(self.partition, staged.applied)
        if not self._staged:
            self._idle.set()

    async def record_attempt(self, attempt: Attempt) -> None:
        """Makes durable that the process is about to end because of these messages."""
        key, value, headers = changelog.attempt_entry(attempt)
        await self._producer.deliver([Outgoing(self.changelog_topic, self.partition, key, value, headers)])

    async def _write(self, staged: Staged) -> None:
        flush = FlushId(self._owner, self._seq + 1)
        applied = dict(self.position.applied)
        for topic, next_offset in staged.applied.items():
            applied[topic] = Applied(next_offset, self._topic_ids.get(topic, ""))
        entries = changelog.flush_entries(flush, staged.rows, staged.outputs, applied)
        first = self._next_offset
        void = await self._append(flush, entries)
        self._seq = flush.seq
        attempts = {a.topic: a for a in self.position.attempts.values() if a.end > staged.applied.get(a.topic, 0)}
        self.position = Position(first, flush, applied, void, attempts)
        loop = asyncio.get_running_loop()
        stored = loop.run_in_executor(self._executor, self.store.write, staged.rows, self.position)
        await asyncio.gather(stored, self._producer.deliver(Outgoing.of(output) for output in staged.outputs))
        self._outbox_open = bool(staged.outputs)
        if void:
            self._stage_repair(void)

    def _stage_repair(self, void: frozenset[bytes]) -> None:
        """The newest version of these keys in the log is not ours: write the committed one again (see `replay`)."""
        newer = self._staged.rows
        self.stage({key: self.store.get(key) for key in void if key not in newer}, (), {})
        self.metrics.repaired_rows += len(void)

    async def _append(self, flush: FlushId, entries: Sequence[changelog.Entry]) -> frozenset[bytes]:
        """Gives the keys that someone else, not the owner, wrote meanwhile. Raises `Fenced` if we are not the owner."""
        topic, partition = self.changelog_topic, self.partition
        where = await self._producer.deliver(Outgoing(topic, partition, *entry) for entry in entries)
        first, last = self._next_offset, where[-1][1]
        self._next_offset = last + 1
        if last - first == len(entries) - 1:
            return frozenset()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._audit, partition, self._owner, flush, first, last)

    def checked_size(self, rows: Mapping[bytes, bytes | None], outputs: Sequence[Output]) -> int:
        limit = self._settings.max_record_bytes - ENVELOPE_BYTES
        total = 0
        for key, row in rows.items():
            size = len(key) + len(row or b"")
            if size > limit:
                raise TooLarge(
                    f"row {key[:80]!r} of partition {self.partition} has {size} bytes, at most {limit} fit in a record"
                )
            total += size
        for output in outputs:
            if output.size_bytes > limit:
                raise TooLarge(
                    f"output to {output.topic}, key {output.key!r:.80}, has {output.size_bytes} bytes, limit {limit}"
                )
            total += output.size_bytes
        return total


async def _within(waiter: asyncio.Future[bool] | object, seconds: float) -> None:
    try:
        await asyncio.wait_for(waiter, seconds)  # type: ignore[arg-type]
    except TimeoutError:
        return


def _nothing_more(_partition: int) -> Sequence[Output]:
    return ()
