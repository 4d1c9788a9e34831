"""Topics of a broker read whole, as they are: raw messages by partition, in order of offset."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.atleastonce.batch import RawMessage
from topology.admin import AdminError

CHUNK = 5_000
WAIT_S = 0.05
TIMEOUT_S = 15.0


class BrokerLog:
    """Each topic is read once and kept: what is exported is needed by several machines."""

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self._config: dict[str, str | int | bool] = {
            "bootstrap.servers": broker,
            "group.id": "maestro-export",
            "client.id": "maestro-export",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
        self._topics: dict[str, list[list[RawMessage]]] = {}

    def partitions(self, topic: str) -> Sequence[Sequence[RawMessage]]:
        """Messages of each partition. AdminError if there is no broker or no such topic."""
        if topic not in self._topics:
            self._topics[topic] = self._read(topic)
        return self._topics[topic]

    def _read(self, topic: str) -> list[list[RawMessage]]:
        consumer = Consumer(self._config)
        try:
            count = self._count(consumer, topic)
            found: list[list[RawMessage]] = [[] for _ in range(count)]
            unread = set(range(count))
            consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(count)])
            while unread:
                for message in consumer.consume(CHUNK, WAIT_S):
                    self._take(message, found, unread)
            return found
        finally:
            consumer.close()

    def _count(self, consumer: Consumer, topic: str) -> int:
        try:
            # All of them: asking for one by name would have it made, where the broker makes topics by itself.
            known = consumer.list_topics(timeout=TIMEOUT_S).topics
        except KafkaException as error:
            raise AdminError(f"no Kafka answers at {self._broker} ({error.args[0].str()})") from error
        if topic not in known:
            raise AdminError(f"topic {topic} is not on {self._broker}: nothing has run there yet")
        return len(known[topic].partitions)

    @staticmethod
    def _take(message: Message, found: list[list[RawMessage]], unread: set[int]) -> None:
        partition, error = message.partition() or 0, message.error()
        if error is None:
            headers = [(name, value) for name, value in message.headers() or [] if isinstance(value, bytes)]
            offset, at = message.offset() or 0, message.timestamp()[1]
            if partition in unread:  # what arrives after the end was reached is not of this export
                found[partition].append(RawMessage(offset, at, message.key(), message.value(), headers))
        elif error.code() == KafkaError._PARTITION_EOF:
            unread.discard(partition)
        elif error.fatal() or not error.retriable():
            raise KafkaException(error)
