"""Records that are confirmed, or an error: librdkafka's idempotent producer (L7, L8).

Stock Faust logs a failed send as a warning and commits the input all the same. Here `flush` (which is awaited before
each commit), `deliver` and what `append` gives raise for any record that the broker did not confirm.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial as bound
from typing import Any, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka import Producer as Librdkafka

from streams.atleastonce.batch import Headers, Output
from streams.atleastonce.changelog import Entry
from streams.atleastonce.declare import RECORD_ENVELOPE_BYTES
from streams.atleastonce.errors import DeliveryFailed
from streams.atleastonce.landing import REPORT_EVERY, Delivery, Landing, Place
from streams.atleastonce.settings import AtLeastOnceSettings

log = logging.getLogger(__name__)
log.addFilter(lambda record: "enable.gapless.guarantee is experimental" not in record.getMessage())


class Outgoing(NamedTuple):
    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @classmethod
    def of(cls, output: Output) -> Outgoing:
        return cls(output.topic, output.partition, output.key, output.value, output.headers)


def producer_config(bootstrap: str, name: str, settings: AtLeastOnceSettings) -> dict[str, Any]:
    """librdkafka's settings: nothing is lost or reordered by a retry, keys go where Java clients put them.

    Records have no time-out of their own, or one could be given up while later ones of its run are sent (see
    `landing`); `ConfirmedProducer` gives up as a whole after `delivery_timeout_s`.
    """
    return {
        "bootstrap.servers": bootstrap,
        "client.id": name,
        "enable.idempotence": True,
        "enable.gapless.guarantee": True,
        "compression.type": "lz4",
        "partitioner": "murmur2_random",
        "linger.ms": settings.linger_ms,
        "message.timeout.ms": 0,
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
    LOOK_S = 0.25
    ROOMY = 100_000
    """Records in librdkafka's queue (it takes 500,000) up to which a few more are sure to find room."""

    def __init__(self, bootstrap: str, name: str, settings: AtLeastOnceSettings) -> None:
        self._librdkafka = Librdkafka(producer_config(bootstrap, name, settings), logger=log)
        self._timeout_s = settings.delivery_timeout_s
        self._open: dict[Future[Any], tuple[Delivery | Landing, float]] = {}
        """What is not confirmed yet, and since when (s, monotonic)."""
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

    @property
    def roomy(self) -> bool:
        """`append` of a few records returns at once."""
        return len(self._librdkafka) < self.ROOMY

    def append(self, topic: str, partition: int, entries: Iterable[Entry], last: Entry) -> Future[list[Place]]:
        """Hands a run of records over, `last` at its end; the future has where it landed (see `landing`).

        For a thread: waits while there is no room, and takes about a microsecond a record. Nobody else of this process
        may write to that partition until it has landed.
        """
        landing, produce = Landing(), self._librdkafka.produce
        self._opened(landing)
        count = 0
        for key, value, headers in entries:
            more: dict[str, Any] = {"headers": list(headers)} if headers else {}
            if count % REPORT_EVERY == 0:
                more["on_delivery"] = bound(landing.report, count, False)
            try:
                produce(topic, value, key, partition, **more)
            except BufferError:
                self._retry(landing, topic, value, key, partition, more)
            except KafkaException as error:
                raise self._refused(landing, topic, value, error) from error
            count += 1
        key, value, headers = last
        self._retry(landing, topic, value, key, partition, {"on_delivery": bound(landing.report, count, True)})
        return landing.done

    def _retry(
        self, landing: Landing, topic: str, value: bytes | None, key: bytes, partition: int, more: dict[str, Any]
    ) -> None:
        while not landing.done.done():
            try:
                return self._librdkafka.produce(topic, value, key, partition, **more)  # type: ignore[no-any-return]
            except BufferError:
                self._stopping.wait(self.FULL_WAIT_S)
            except KafkaException as error:
                raise self._refused(landing, topic, value, error) from error
        landing.done.result()  # raises: it was given up meanwhile
        return None

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

    def _new(self, count: int) -> Delivery:
        delivery = Delivery(count)
        self._opened(delivery)
        return delivery

    def _opened(self, delivery: Delivery | Landing) -> None:
        with self._lock:
            self._open[delivery.done] = delivery, time.monotonic()
        delivery.done.add_done_callback(self._closed)

    def _closed(self, done: Future[Any]) -> None:
        with self._lock:
            self._open.pop(done, None)
            if not done.cancelled():
                self._failure = self._failure or done.exception()

    def _produce(self, record: Outgoing, delivery: Delivery, index: int) -> bool:
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
            raise self._refused(delivery, record.topic, record.value, error) from error
        return True

    def _refused(
        self, delivery: Delivery | Landing, topic: str, value: bytes | None, error: KafkaException
    ) -> DeliveryFailed:
        failure = DeliveryFailed(f"{topic}: {error.args[0].str()} ({len(value or b'')} bytes)")
        delivery.fail(failure)
        return failure

    def _poll(self) -> None:
        look_at_s = 0.0
        while not self._stopping.is_set():
            try:
                self._librdkafka.poll(0.1)
            except KafkaException as error:  # fatal: this producer sends nothing any more
                self._give_up(time.monotonic(), error.args[0].str())
                self._stopping.wait(self.LOOK_S)
            now_s = time.monotonic()
            if now_s >= look_at_s:
                look_at_s = now_s + self.LOOK_S
                self._give_up(now_s - self._timeout_s, f"not confirmed by the broker within {self._timeout_s} s")

    def _give_up(self, before_s: float, reason: str) -> None:
        """On deliveries that were begun before that (monotonic) and are not confirmed."""
        with self._lock:
            late = [delivery for delivery, since_s in self._open.values() if since_s <= before_s]
        for delivery in late:
            delivery.fail(DeliveryFailed(reason))
