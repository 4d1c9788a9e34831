"""The coalescing consumer: one Faust event per partition and fetch, and offsets committed by the ledger alone.

Differences to Faust's aiokafka consumer, and why:

- its drain loop runs four tasks per message (`wait_first`); ours delivers one event per batch, with no task between;
- a fetch that was under way while the flow stopped is thrown away, and no partition resumes without a seek to the exact
  offset that its state needs (L1: stock resumes first and clears queues that already hold messages);
- the committable offset comes from the ledger (L2), a failed commit is not noted as done, a final ack changes nothing.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from faust.transport.drivers.aiokafka import Consumer as StockConsumer
from faust.transport.drivers.aiokafka import Transport as StockTransport
from faust.types import TP, ConsumerMessage

from streams.atleastonce import poison, record_set
from streams.atleastonce.batch import Batch, Message
from streams.atleastonce.client_thread import ConsumerThread
from streams.atleastonce.faust_producer import Producer
from streams.atleastonce.ledger import Ledger

if TYPE_CHECKING:
    from streams.atleastonce.app import App

ROOM_POLL_S = 0.002


class Consumer(StockConsumer):  # type: ignore[misc]
    app: App

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ledgers: dict[TP, Ledger] = {}
        self._held: defaultdict[TP, deque[tuple[int, ConsumerMessage]]] = defaultdict(deque)
        self._parked = asyncio.Event()
        self._flow_stops = 0

    def _new_consumer_thread(self) -> ConsumerThread:
        record_set.use()
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # --- flow -------------------------------------------------------------------------------------------------------

    def stop_flow(self) -> None:
        super().stop_flow()
        self._flow_stops += 1

    async def parked(self) -> None:
        """Nothing is being fetched or delivered any more. Call after `stop_flow`."""
        fetcher = self.app._fetcher
        while not self._parked.is_set() and fetcher.started and not fetcher.should_stop:  # noqa: ASYNC110
            await asyncio.sleep(ROOM_POLL_S)

    async def start_at(self, ledgers: Mapping[TP, Ledger], never: Iterable[TP]) -> None:
        """The only way partitions begin to flow: each from its ledger's start. The flow must be stopped."""
        await self._thread.start_from({tp: ledger.start for tp, ledger in ledgers.items()}, never)
        self._held.clear()
        self.ledgers = dict(ledgers)
        self._read_offset.update({tp: ledger.start for tp, ledger in ledgers.items()})
        self._committed_offset.update({tp: ledger.committed for tp, ledger in ledgers.items()})
        self._paused_partitions.difference_update(ledgers)
        self._get_active_partitions().update(ledgers)

    def on_buffer_full(self, tp: TP) -> None:
        """Back pressure is the drain loop's: it waits for room in the agent's queue."""

    def on_buffer_drop(self, tp: TP) -> None: ...

    # --- fetch and deliver ------------------------------------------------------------------------------------------

    async def _drain_messages(self, fetcher: Any) -> None:
        self._parked.set()
        try:
            while not (self.should_stop or fetcher.should_stop):
                if not self.flow_active or not self.ledgers:
                    self._parked.set()
                    await asyncio.sleep(ROOM_POLL_S * 5)
                    continue
                self._parked.clear()
                await self._fetch_and_deliver(fetcher)
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise
        finally:
            self._parked.set()

    async def _fetch_and_deliver(self, fetcher: Any) -> None:
        stops = self._flow_stops
        if self.app.crowded:
            await asyncio.sleep(ROOM_POLL_S)
            return
        records = await self._getmany(set(self.ledgers), self.app.settings.fetch_wait_s)
        for tp, found in records.items():
            for batch in self._batches(tp, found):
                if not await self._room(fetcher, stops, tp, batch):
                    return
                self._deliver(tp, batch)

    def _batches(self, tp: TP, records: Sequence[Message]) -> Iterator[Batch]:
        """Splits a fetch; a message under suspicion of ending the process comes alone."""
        ledger = self.ledgers.get(tp)
        if ledger is None:
            return
        known = 0
        if records and records[0].offset < ledger.delivered:
            known = bisect_left(records, ledger.delivered, key=lambda record: record.offset)
        self.app.metrics.skipped_duplicates += known
        fresh = records[known:]
        suspect, at = self.app.suspect(tp.topic, tp.partition), 0
        while at < len(fresh):
            upto = poison.cut(suspect, fresh, at, self.app.settings.batch_messages)
            yield Batch(tp.topic, tp.partition, fresh[at:upto])
            at = upto

    async def _room(self, fetcher: Any, stops: int, tp: TP, batch: Batch) -> bool:
        """False: the flow stopped meanwhile, so that whatever was fetched must not be delivered."""
        queue, condemned = self.app.inbox.queue, self._condemned(batch)
        while self.flow_active and stops == self._flow_stops and not fetcher.should_stop:
            ledger = self.ledgers[tp]
            ready = ledger.staged == ledger.delivered if condemned else queue.qsize() < self.app.settings.queued_batches
            if ready and self.app.flow_control.is_active():
                return True
            await asyncio.sleep(ROOM_POLL_S)
        return False

    def _condemned(self, batch: Batch) -> bool:
        suspect = self.app.suspect(batch.topic, batch.partition)
        if suspect is None:
            return False
        return poison.condemned(suspect, batch.messages[0].offset, self.app.settings.attempts)

    def _deliver(self, tp: TP, batch: Batch) -> None:
        ledger, last = self.ledgers[tp], batch.messages[-1]
        ledger.deliver(batch.next_offset)
        if self._condemned(batch):
            self.app.refuse(batch)
            return
        message = ConsumerMessage(
            batch.topic, batch.partition, last.offset, last.timestamp / 1000, 0, (), None, None, None, tp=tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip
        message.incref(2)  # one for the agent's stream, one that we hold until the flush
        self._held[tp].append((batch.next_offset, message))
        self._read_offset[tp] = last.offset
        self.app.metrics.batches += 1
        self.app.metrics.messages += len(batch.messages)
        self.app.inbox.queue.put_nowait(self.app.create_event(None, batch, (), message))

    # --- ack and commit ---------------------------------------------------------------------------------------------

    @property
    def agent_busy(self) -> bool:
        """An agent has taken a batch and is not through with it (2 references: the agent's and ours)."""
        return any(m.tracked and not m.acked and m.refcount > 1 for held in self._held.values() for _, m in held)

    def flushed(self, tp: TP, next_offset: int) -> None:
        """All messages before `next_offset` are in changelog and store, and their outputs are confirmed."""
        ledger = self.ledgers.get(tp)
        if ledger is None:
            return
        before = ledger.flushed
        ledger.flush(next_offset)
        self.app.metrics.flushed_messages += next_offset - before
        held = self._held[tp]
        while held and held[0][0] <= next_offset:
            held.popleft()[1].ack(self)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in list(self.ledgers) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        self._acked.pop(tp, None)  # Faust's own lists: filled by its streams, not used
        self._acked_index.pop(tp, None)
        ledger = self.ledgers.get(tp)
        return None if ledger is None else ledger.committable()

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        mine = self.assignment()
        offsets = {tp: offset for tp, offset in offsets.items() if tp in mine}
        if not offsets:
            return False
        await self.app.confirm_outputs()
        if not await self._commit(offsets):
            return False
        for tp, offset in offsets.items():
            if (ledger := self.ledgers.get(tp)) is not None:
                ledger.commit(offset)
        self._committed_offset.update(offsets)
        return True

    async def wait_empty(self) -> None:
        """Before partitions go or the app stops: what agents are through with is flushed and committed."""
        await self.app.quiesce()
        await self.commit()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super().on_partitions_revoked(revoked)
        self.ledgers = {}
        self._held.clear()

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Stock only logs; `liveness` ends the process instead."""


class Transport(StockTransport):  # type: ignore[misc]
    Consumer = Consumer
    Producer = Producer
