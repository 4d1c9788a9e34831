"""Takes a changelog partition over: claim it, read it back, finish its last flush, repair what a crash left. Blocking.

    read to the end -> write a claim -> read up to the claim -> anything flushed in between? claim again
        -> send the last flush's outbox again -> write void keys' committed versions -> ready

Runs in a thread; every loop looks at `stop`. No group membership: partitions are assigned by hand.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streams.atleastonce import changelog
from streams.atleastonce.changelog import Claim, FlushId, Owner
from streams.atleastonce.errors import DeliveryFailed, Fenced, Interrupted
from streams.atleastonce.metrics import Metrics
from streams.atleastonce.producer import ConfirmedProducer, Outgoing
from streams.atleastonce.replay import Position, Replay
from streams.atleastonce.settings import AtLeastOnceSettings
from streams.atleastonce.staged import Tenure
from streams.atleastonce.store import PartitionStore

log = logging.getLogger(__name__)

CHUNK = 5_000
"""Records taken from the client at once."""
KEPT_ROWS = 50_000
"""Rows in memory before they are written: of a row with several versions in the changelog only the newest is."""
POLL_S = 0.02
_FATAL = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
}

_LEADERLESS = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION,
}


def changelog_consumer(bootstrap: str, name: str, settings: AtLeastOnceSettings) -> Consumer:
    """A reader outside of any group: its `group.id` is never used to commit or join."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "client.id": f"{name}-restore",
            "group.id": f"{name}-restore-is-not-a-group",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
            "fetch.message.max.bytes": 4_194_304,
            "queued.max.messages.kbytes": 32_768,
            "check.crcs": True,
            "reconnect.backoff.max.ms": 1_000,
        },
        logger=log,
    )


class Restorer:
    """Brings one local store up to its changelog partition."""

    def __init__(
        self,
        topic: str,
        partition: int,
        store: PartitionStore,
        consumer: Consumer,
        producer: ConfirmedProducer,
        settings: AtLeastOnceSettings,
        metrics: Metrics,
        stop: Callable[[], bool],
    ) -> None:
        self._where, self._topic, self._partition = f"{topic}[{partition}]", topic, partition
        self._store, self._consumer, self._producer = store, consumer, producer
        self._settings, self._metrics, self._stop = settings, metrics, stop
        self._replay = Replay()
        self._next = 0

    def take_over(self) -> Tenure:
        """Afterwards nobody else's flush can become part of this partition's state."""
        self._open()
        self._read(until=None)
        owner = self._claim()
        tenure = Tenure(owner, self._next, self._replay.position())
        outbox = self._replay.outbox()
        self._producer.deliver_blocking(Outgoing.of(output) for output in outbox)
        self._metrics.resent_outputs += len(outbox)
        return self._repair(tenure)

    def _open(self) -> None:
        start = self._store.position()
        low, high = self._watermarks()
        if start.restart_at > high or (start.last is not None and start.restart_at >= high):
            log.warning("%s ends at %s, the local store is at %s: rebuilt", self._where, high, start.restart_at)
            self._store.wipe()
            start = Position()
        self._replay, self._next = Replay(start), max(start.restart_at, low)
        begin = start.restart_at if start.last is not None else OFFSET_BEGINNING
        self._consumer.assign([TopicPartition(self._topic, self._partition, begin)])

    def _watermarks(self) -> tuple[int, int]:
        """First and next offset. A partition that was just created, or is moving, has no leader for a moment."""
        place = TopicPartition(self._topic, self._partition)
        end_s = time.monotonic() + self._settings.request_timeout_s
        while True:
            try:
                low, high = self._consumer.get_watermark_offsets(
                    place, timeout=self._settings.request_timeout_s, cached=False
                )
            except KafkaException as error:
                if not error.args[0].retriable() and error.args[0].code() not in _LEADERLESS:
                    raise
                if self._stop() or time.monotonic() > end_s:
                    raise
                time.sleep(POLL_S)
            else:
                return low, high

    def _claim(self) -> Owner:
        while True:
            owner = Owner(self._replay.owner.epoch + 1, secrets.randbits(64))
            previous = self._replay.last
            entry = changelog.claim_entry(Claim(owner, previous))
            [(_, offset)] = self._producer.deliver_blocking([Outgoing(self._topic, self._partition, *entry)])
            self._read(until=offset)
            if self._replay.owner == owner and self._replay.last == previous:
                return owner

    def _read(self, until: int | None) -> None:
        """Up to and with offset `until`, or (None) to the end of the log."""
        silent_since_s = time.monotonic()
        while until is None or self._next <= until:
            if self._stop():
                raise Interrupted(f"restore of {self._where} given up")
            if time.monotonic() - silent_since_s > self._settings.delivery_timeout_s:
                raise DeliveryFailed(f"{self._where} could not be read for {self._settings.delivery_timeout_s} s")
            messages = self._consumer.consume(CHUNK, timeout=POLL_S)
            at_end = self._feed(messages)
            if self._replay.waiting >= KEPT_ROWS:
                self._keep()
            silent_since_s = time.monotonic() if messages else silent_since_s
            if at_end and until is None:
                break
        self._keep()

    def _feed(self, messages: list[Any]) -> bool:
        at_end, feed = False, self._replay.feed
        for message in messages:
            error = message.error()
            if error is None:
                offset, value = message.offset(), message.value()
                feed(offset, message.key() or b"", value, () if value is not None else message.headers() or ())
                self._next = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                at_end = True
                self._next = max(self._next, message.offset())
            elif error.fatal() or error.code() in _FATAL:
                raise KafkaException(error)
        return at_end

    def _keep(self) -> None:
        rows, position = self._replay.drain()
        if rows:
            self._store.write(rows.items(), position)
            self._metrics.restored_rows += len(rows)

    def _repair(self, tenure: Tenure) -> Tenure:
        """Writes the committed version of each void key and a marker, so that compaction can't lose them (`replay`)."""
        position = tenure.position
        if not position.needs_repair:
            self._store.write((), position)
            return tenure
        rows = {key: self._store.get(key) for key in position.void}
        flush = FlushId(tenure.owner, 0)
        *entries, marker = changelog.flush_entries(flush, rows, (), position.applied)
        places = self._producer.append(self._topic, self._partition, entries, marker).result()
        if any(offset != tenure.next_offset + index for index, offset in places):
            raise Fenced(f"{self._where} was claimed by another worker during our restore")
        after = Position(tenure.next_offset, flush, position.applied, frozenset(), position.attempts)
        self._store.write(rows.items(), after)
        self._metrics.repaired_rows += len(rows)
        return Tenure(tenure.owner, tenure.next_offset + len(entries) + 1, after)


class StandbyReader:
    """Follows the changelog of partitions that others own, in one thread, so that taking over is quick."""

    def __init__(self, topic: str, stores: Mapping[int, PartitionStore], consumer: Consumer) -> None:
        self._topic, self._stores, self._consumer = topic, stores, consumer
        self._replays = {partition: Replay(store.position()) for partition, store in stores.items()}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"{topic}-standby", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        begin = [
            TopicPartition(self._topic, p, s.restart_at if s.last else OFFSET_BEGINNING)
            for p, s in ((p, store.position()) for p, store in self._stores.items())
        ]
        self._consumer.assign(begin)
        self._thread.start()

    def stop(self) -> None:
        """Blocking; afterwards the stores are closed and hold a committed state."""
        self._stopping.set()
        self._thread.join()
        self._consumer.close()
        for store in self._stores.values():
            store.close()

    def _follow(self) -> None:
        try:
            while not self._stopping.is_set():
                self._apply(self._consumer.consume(CHUNK, timeout=POLL_S))
        except Exception as error:  # a broken standby is no reason to end the process: it is rebuilt on take-over
            self.failure = error
            log.exception("standby of %s stopped", self._topic)

    def _apply(self, messages: list[Any]) -> None:
        touched = set()
        for message in messages:
            if message.error() is None:
                replay = self._replays[message.partition()]
                replay.feed(message.offset(), message.key() or b"", message.value(), message.headers() or ())
                touched.add(message.partition())
        for partition in touched:
            rows, position = self._replays[partition].drain()
            if rows:
                self._stores[partition].write(rows.items(), position)
