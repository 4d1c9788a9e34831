"""Records that are confirmed, or an error: librdkafka's idempotent producer behind Faust's producer interface (L7, L8).

Stock Faust logs a failed send as a warning and commits the input all the same. Here `flush` (which Faust awaits before
each commit) and `deliver` raise for any record that the broker did not confirm.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as Librdkafka
from faust.transport.producer import Producer as FaustProducer
from faust.types import TP, RecordMetadata

from streams.atleastonce.batch import Headers, Output, partition_for
from streams.atleastonce.errors import DeliveryFailed
from streams.atleastonce.settings import AtLeastOnceSettings

log = logging.getLogger(__name__)

RECORD_ENVELOPE_BYTES = 10_000
"""Room for headers and batch overhead, so that librdkafka never refuses what `stage` let through."""


class Outgoing(NamedTuple):
    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @classmethod
    def of(cls, output: Output) -> Outgoing:
        return cls(output.topic, output.partition, output.key, output.value, output.headers)


class _Delivery:
    """Counts the reports of one group of records; its future has their (partition, offset) pairs, in order."""

    def __init__(self, count: int) -> None:
        self.done: Future[list[tuple[int, int]]] = Future()
        self._at: list[tuple[int, int]] = [(-1, -1)] * count
        self._open = count
        if not count:
            self.done.set_result([])

    def report(self, index: int, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            self.fail(DeliveryFailed(f"{message.topic()}[{message.partition()}]: {error.str()} ({error.name()})"))
            return
        self._at[index] = (message.partition(), message.offset())
        self._open -= 1
        if self._open == 0 and not self.done.done():
            self.done.set_result(self._at)

    def fail(self, error: DeliveryFailed) -> None:
        if not self.done.done():
            self.done.set_exception(error)


def producer_config(bootstrap: str, name: str, settings: AtLeastOnceSettings) -> dict[str, Any]:
    """librdkafka's settings: nothing is lost or reordered by a retry, keys go where Java clients put them."""
    return {
        "bootstrap.servers": bootstrap,
        "client.id": name,
        "enable.idempotence": True,
        "compression.type": "lz4",
        "partitioner": "murmur2_random",
        "linger.ms": settings.linger_ms,
        "message.timeout.ms": int(settings.delivery_timeout_s * 1000),
        "request.timeout.ms": int(min(settings.request_timeout_s, settings.delivery_timeout_s) * 1000),
        "message.max.bytes": settings.max_record_bytes + RECORD_ENVELOPE_BYTES,
        "queue.buffering.max.messages": 500_000,
        "queue.buffering.max.kbytes": 262_144,
        "reconnect.backoff.max.ms": 1_000,
    }


class ConfirmedProducer:
    """One idempotent producer, polled by its own thread; never blocks the event loop. Safe from several threads."""

    FULL_WAIT_S = 0.01
    YIELD_EVERY = 1_000

    def __init__(self, bootstrap: str, name: str, settings: AtLeastOnceSettings) -> None:
        self._librdkafka = Librdkafka(producer_config(bootstrap, name, settings), logger=log)
        self._open: set[Future[list[tuple[int, int]]]] = set()
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll, name=f"{name}-delivery", daemon=True)
        self._poller.start()

    async def hand_over(self, records: Iterable[Outgoing]) -> Future[list[tuple[int, int]]]:
        """Returns when librdkafka has them all (waits for room only); `flush` waits for them from here on."""
        records = list(records)
        delivery = self._new(len(records))
        for index, record in enumerate(records):
            while not self._produce(record, delivery, index):  # noqa: ASYNC110 - librdkafka has no event for room
                await asyncio.sleep(self.FULL_WAIT_S)
            if index % self.YIELD_EVERY == self.YIELD_EVERY - 1:
                await asyncio.sleep(0)
        return delivery.done

    async def deliver(self, records: Iterable[Outgoing]) -> list[tuple[int, int]]:
        """Partition and offset of each record, once all are confirmed. Raises `DeliveryFailed` otherwise."""
        return await asyncio.wrap_future(await self.hand_over(records))

    def deliver_blocking(self, records: Iterable[Outgoing], timeout_s: float | None = None) -> list[tuple[int, int]]:
        """The same for a thread that may wait."""
        records = list(records)
        delivery = self._new(len(records))
        for index, record in enumerate(records):
            while not self._produce(record, delivery, index):
                self._stopping.wait(self.FULL_WAIT_S)
        return delivery.done.result(timeout_s)

    async def flush(self) -> None:
        """Waits for everything handed over so far; raises if anything ever failed, awaited by someone or not."""
        with self._lock:
            waiting = list(self._open)
        await asyncio.gather(*(asyncio.wrap_future(delivery) for delivery in waiting))
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        self._stopping.set()
        self._poller.join(timeout=5)
        self._librdkafka.flush(1)

    def _new(self, count: int) -> _Delivery:
        delivery = _Delivery(count)
        with self._lock:
            self._open.add(delivery.done)
        delivery.done.add_done_callback(self._closed)
        return delivery

    def _closed(self, done: Future[list[tuple[int, int]]]) -> None:
        with self._lock:
            self._open.discard(done)
            if not done.cancelled():
                self._failure = self._failure or done.exception()

    def _produce(self, record: Outgoing, delivery: _Delivery, index: int) -> bool:
        """False: the local queue is full, try again."""
        where = {} if record.partition is None else {"partition": record.partition}
        try:
            self._librdkafka.produce(
                record.topic,
                value=record.value,
                key=record.key,
                headers=list(record.headers) or None,
                on_delivery=lambda error, message: delivery.report(index, error, message),
                **where,
            )
        except BufferError:
            return False
        except KafkaException as error:
            failure = DeliveryFailed(f"{record.topic}: {error.args[0].str()} ({len(record.value or b'')} bytes)")
            delivery.fail(failure)
            raise failure from error
        return True

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._librdkafka.poll(0.1)


class Producer(FaustProducer):  # type: ignore[misc]
    """What Faust knows as `app.producer`. Topics are created and checked before the start, never from here."""

    confirmed: ConfirmedProducer

    def __post_init__(self) -> None:
        self.confirmed = self.app.new_confirmed_producer()

    async def on_stop(self) -> None:
        await super().on_stop()
        await asyncio.get_running_loop().run_in_executor(None, self.confirmed.stop)

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Mapping[str, bytes] | Iterable[tuple[str, bytes]] | None,
        *,
        transactional_id: str | None = None,
    ) -> Awaitable[RecordMetadata]:
        pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
        record = Outgoing(topic, partition, key, value, tuple(pairs))
        return asyncio.ensure_future(self._confirmed(record, await self.confirmed.hand_over([record])))

    async def _confirmed(self, record: Outgoing, delivery: Future[list[tuple[int, int]]]) -> RecordMetadata:
        [(partition, offset)] = await asyncio.wrap_future(delivery)
        return RecordMetadata(record.topic, partition, TP(record.topic, partition), offset, None, None)

    async def send_and_wait(self, *args: Any, **kwargs: Any) -> RecordMetadata:
        return await (await self.send(*args, **kwargs))

    async def flush(self) -> None:
        await self.buffer.flush()
        await self.confirmed.flush()

    async def create_topic(self, topic: str, partitions: int, replication: int, **_: Any) -> None:
        log.debug("topic %s is not created from here: all topics are declared and checked before the start", topic)

    def key_partition(self, topic: str, key: bytes) -> TP:
        return TP(topic, partition_for(key, self.app.plan.partitions_of(topic)))

    def supports_headers(self) -> bool:
        return True
