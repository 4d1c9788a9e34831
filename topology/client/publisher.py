"""Publishes records to their topics: keyed by the contract, on the right partition, encoded, confirmed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.codec import encode
from schemas.columns import Series
from schemas.records import DiscoveryEvent, HealthSignal, HealthSignalBatch, Record, SeriesKey
from schemas.schema_ids import SchemaIds
from schemas.wire import Wire
from streams.atleastonce.batch import partition_for
from streams.runtime.ingest import key_of
from topology.clock import now_ms as now_ms  # beside `Publisher`, whose callers stamp what they publish
from topology.limits import MAX_RECORD_BYTES
from topology.topics import BY_NAME, Topic

SIGNALS = "health-signals"
METADATA_TIMEOUT_S = 15.0
BATCH_ROWS = 500
"""Rows of one HealthSignalBatch: enough to share the cost of a message, and far below the record limit."""


class DeliveryError(Exception):
    """Records that the broker did not confirm. `failures` holds one line each; the others of the same call are in."""

    def __init__(self, failures: Sequence[str]) -> None:
        self.failures = tuple(failures)
        more = f" (and {len(failures) - 5} more)" if len(failures) > 5 else ""
        super().__init__("; ".join(failures[:5]) + more)


class Publisher:
    """One producer, for one thread. `murmur2_random` puts a key where Java, aiokafka and Faust put it.

    Nothing counts as published before `flush` has returned.
    """

    def __init__(self, broker: str, *, schema_ids: SchemaIds | None = None, client_id: str = "maestro-client") -> None:
        self._wire = Wire.SINGLE_OBJECT if schema_ids is None else Wire.CONFLUENT
        self._schema_ids = schema_ids
        self._failures: list[str] = []
        self._partitions: dict[str, int] = {}
        self._broker = broker
        self._producer = Producer(
            {
                "bootstrap.servers": broker,
                "client.id": client_id,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 2,
                "delivery.timeout.ms": 30_000,
                "log.connection.close": False,
                "message.max.bytes": MAX_RECORD_BYTES,
                "log_level": 0,  # what goes wrong is raised; a library does not print
            }
        )

    def publish(self, topic: str, value: Record, key: str | None = None) -> None:
        """Queues one record. ValueError if the topic carries no such record, DeliveryError if there is no topic."""
        declared = _declared(topic, value)
        own_key = key or natural_key(value)
        if not own_key:
            raise ValueError(f"{type(value).__name__} for {topic} has no key: give {declared.key}")
        self.partitions_of(topic)
        self._send(topic, own_key, value)

    def remove(self, topic: str, key: str) -> None:
        """Queues a tombstone (compacted topics)."""
        self._produce(topic, key.encode(), None, [])

    def publish_signals(self, signals: Iterable[HealthSignal]) -> int:
        """Queues samples as batches, so that each asset's samples reach its partition in their order; gives the count.

        A sample with tags or a trace id goes alone: a batch has no place for them.
        """
        count = 0
        waiting: dict[int, list[HealthSignal]] = {}
        partitions = self.partitions_of(SIGNALS)
        for signal in signals:
            count += 1
            of_partition = waiting.setdefault(partition_for(signal.asset_id.encode(), partitions), [])
            alone = bool(signal.tags or signal.trace_id)
            if not alone:
                of_partition.append(signal)
            if of_partition and (alone or len(of_partition) >= BATCH_ROWS):
                self._send(SIGNALS, of_partition[0].asset_id, as_batch(of_partition))
                of_partition.clear()
            if alone:
                self._send(SIGNALS, signal.asset_id, signal)
        for rest in waiting.values():
            if rest:
                self._send(SIGNALS, rest[0].asset_id, as_batch(rest))
        return count

    def flush(self, timeout_s: float = 30.0) -> None:
        """Returns when everything queued is confirmed; raises DeliveryError else."""
        left = self._producer.flush(timeout_s)
        failures, self._failures = self._failures, []
        if left:
            failures.append(f"{left} records were not confirmed within {timeout_s:g} s by {self._broker}")
        if failures:
            raise DeliveryError(failures)

    def partitions_of(self, topic: str) -> int:
        """How many the topic has on the broker; DeliveryError if there is no such topic or no broker."""
        if topic not in self._partitions:
            try:
                # All of them: asking for one by name would have it made, where the broker makes topics by itself.
                known = self._producer.list_topics(timeout=METADATA_TIMEOUT_S).topics
            except KafkaException as error:
                told = error.args[0].str()
                raise DeliveryError(
                    [f"no Kafka answers at {self._broker} ({told}). Start it, or correct MAESTRO_BROKER."]
                ) from error
            self._partitions = {name: len(found.partitions) for name, found in known.items() if found.error is None}
        if topic not in self._partitions:
            raise DeliveryError([f"topic {topic} is not on {self._broker}; `maestro topics create` makes it"])
        return self._partitions[topic]

    def _send(self, topic: str, key: str, value: Record) -> None:
        encoded = encode(value, self._wire, schema_ids=self._schema_ids)
        self._produce(topic, key.encode(), encoded, [("content-type", self._wire.value.encode())])

    def _produce(self, topic: str, key: bytes, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, headers=headers, on_delivery=self._delivered)
            except BufferError:  # the local queue is full: wait for room, as a blocking client would
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failures.append(f"{message.topic()}: {error.str()}")


def as_batch(signals: Sequence[HealthSignal]) -> HealthSignalBatch:
    """The samples as columns; tags and trace ids, which belong to single samples, are not in a batch."""
    index: dict[Series, int] = {}
    rows = [index.setdefault(Series(s.asset_id, s.metric, s.unit), len(index)) for s in signals]
    return HealthSignalBatch(
        source=_common_source({s.source for s in signals}),
        series=tuple(SeriesKey(asset_id=s.asset_id, metric=s.metric, unit=s.unit) for s in index),
        series_index=tuple(rows),
        at=tuple(s.at for s in signals),
        value=tuple(s.value for s in signals),
    )


def _common_source(sources: set[str]) -> str:
    """The one they share, or the part before the colon that they share ("csv" of "csv:a.csv" and "csv:b.csv")."""
    if len(sources) == 1:
        return next(iter(sources))
    families = {source.partition(":")[0] for source in sources}
    return families.pop() if len(families) == 1 else ""


def natural_key(value: Record) -> str | None:
    """The contract's key: asset id, job id or policy record id; of a snapshot's marks, which name no asset, the scope.

    A batch has the key of its first series: whoever mixes assets of several partitions in one has it sent on by them.
    """
    if isinstance(value, HealthSignalBatch):
        return value.series[0].asset_id if value.series else None
    return key_of(value) or (value.scope if isinstance(value, DiscoveryEvent) else None)


def _declared(topic: str, value: Record) -> Topic:
    declared = BY_NAME.get(topic)
    if declared is None:
        raise ValueError(f"there is no topic {topic!r}; topics: {', '.join(BY_NAME)}")
    if not isinstance(value, declared.records):
        names = " or ".join(r.__name__ for r in declared.records)
        raise ValueError(f"topic {topic} carries {names}, not {type(value).__name__}")
    return declared
