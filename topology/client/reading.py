"""Reads topics outside any consumer group: whole (what is there now), following (what comes), or one record."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, TopicPartition

from schemas.codec import decode
from schemas.errors import DecodeError
from schemas.records import Record
from schemas.schema_ids import SchemaIds
from streams.atleastonce.batch import RawMessage
from streams.command.ledger import Entry
from streams.command.ports import FeedError, Place, Positions
from streams.runtime.ingest import cause_id, event_time
from topology.client.consumer import METADATA_TIMEOUT_S, away, bounds, exists, open_consumer
from topology.limits import MAX_RECORD_BYTES
from topology.topics import BY_NAME


class NoSuchTopicError(FeedError, LookupError):
    """A topic that is to be read is not on the broker."""


@dataclass(frozen=True, slots=True)
class Read:
    """One record as it was read; `error` says why a value could not be decoded."""

    topic: str
    partition: int
    offset: int
    key: str
    at: int
    value: Record | None
    cause_id: str
    raw: RawMessage
    error: str = ""

    @property
    def coordinates(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"

    def entry(self) -> Entry | None:
        """For the ledger; None for tombstones and what could not be read."""
        if self.value is None:
            return None
        return Entry(self.cause_id, self.topic, self.key, self.at, self.value, self.coordinates)


class TopicReader:
    """A consumer assigned to all partitions of some topics. Use as a context manager; raises FeedError.

    It reads from `positions` where they name a partition that still has that offset, else from the beginning or, with
    `from_beginning=False`, from the end as it is *now*: what is published after the constructor returned is read.
    """

    def __init__(
        self,
        broker: str,
        topics: Sequence[str],
        *,
        from_beginning: bool,
        positions: Positions | None = None,
        schema_ids: SchemaIds | None = None,
    ) -> None:
        self._broker = broker
        self._schema_ids = schema_ids
        # A consumer must not be closed while another thread polls it.
        self._lock = threading.Lock()
        self._closed = False
        self._consumer = open_consumer(broker)
        try:
            self._unread = self._assign(topics, from_beginning, positions or {})
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> TopicReader:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                self._consumer.close()

    def follow(self, timeout_s: float | None = None) -> Iterator[Read]:
        """Every record as it comes; ends after `timeout_s` seconds (None = never)."""
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        while end_s is None or (left_s := end_s - time.monotonic()) > 0:
            yield from self.poll(0.2 if end_s is None else min(0.2, left_s))

    def read_all(self, timeout_s: float = 60.0) -> Iterator[Read]:
        """What the topics hold now; TimeoutError if the end is not reached in time."""
        end_s = time.monotonic() + timeout_s
        while self._unread:
            if time.monotonic() > end_s:
                raise TimeoutError(f"the end of {sorted(self._unread)} was not reached within {timeout_s} s")
            yield from self.poll(0.2)

    def poll(self, wait_s: float) -> list[Read]:
        """What has come, or after `wait_s` seconds nothing."""
        with self._lock:
            if self._closed:
                return []
            messages = self._consumer.consume(500, wait_s)
        return [read for m in messages if (read := self._read(m)) is not None]

    @property
    def caught_up(self) -> bool:
        """Whether the end of every partition was seen once."""
        return not self._unread

    def _assign(self, topics: Sequence[str], from_beginning: bool, positions: Positions) -> set[Place]:
        places = self._places(topics)
        starts = [self._start(place, from_beginning, positions) for place in places]
        self._consumer.assign(starts)
        return set(places)

    def _places(self, topics: Sequence[str]) -> list[Place]:
        try:
            known = self._consumer.list_topics(timeout=METADATA_TIMEOUT_S).topics
        except KafkaException as error:
            raise away(self._broker, error) from error
        missing = [t for t in topics if t not in known or known[t].error is not None]
        if missing:
            raise NoSuchTopicError(
                f"no such topic on the broker: {', '.join(missing)}; `maestro topics create` makes them"
            )
        return [(t, p) for t in topics for p in sorted(known[t].partitions)]

    def _start(self, place: Place, from_beginning: bool, positions: Positions) -> TopicPartition:
        """The end is asked for here and not left to the client: it would look for it only when it first fetches."""
        if from_beginning and place not in positions:
            return TopicPartition(*place, OFFSET_BEGINNING)
        low, high = bounds(self._consumer, self._broker, place)
        if place not in positions:
            return TopicPartition(*place, high)
        return TopicPartition(*place, positions[place] if low <= positions[place] <= high else low)

    def _read(self, message: Message) -> Read | None:
        topic, partition = message.topic() or "", message.partition() or 0
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._unread.discard((topic, partition))
            elif error.fatal() or not error.retriable():
                raise FeedError(f"{topic or self._broker}: {error.str()}")
            return None
        return decoded(message, topic, partition, self._schema_ids)


def read_one(
    broker: str,
    topic: str,
    partition: int,
    offset: int,
    *,
    timeout_s: float = 10.0,
    schema_ids: SchemaIds | None = None,
) -> Read | None:
    """The record at these coordinates; None if it is no longer, or not yet, there."""
    consumer = open_consumer(broker)
    try:
        if not exists(consumer, broker, topic, partition):
            return None
        low, high = bounds(consumer, broker, (topic, partition))
        if not low <= offset < high:
            return None
        consumer.assign([TopicPartition(topic, partition, offset)])
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            for message in consumer.consume(1, 0.2):
                if message.error() is not None:
                    return None
                found = decoded(message, topic, partition, schema_ids)
                return found if found.offset == offset else None
        return None
    finally:
        consumer.close()


def decoded(message: Message, topic: str, partition: int, schema_ids: SchemaIds | None = None) -> Read:
    """A message as a `Read`; never raises for its content."""
    headers = [(n, v) for n, v in message.headers() or [] if isinstance(v, bytes)]
    raw = RawMessage(message.offset() or 0, message.timestamp()[1], message.key(), message.value(), headers)
    key = (raw.key or b"").decode(errors="replace")
    records = BY_NAME[topic].records if topic in BY_NAME else ()
    value, problem = None, ""
    if records:
        try:
            value = decode(records, raw.value, headers, schema_ids=schema_ids, max_bytes=MAX_RECORD_BYTES)
        except DecodeError as failed:
            problem = str(failed)
    at = event_time(value, raw)
    cause = cause_id(topic, partition, raw, key, value, at)
    return Read(topic, partition, raw.offset, key, at, value, cause, raw, problem)
