"""The consumer that readings are made with, and what is asked of the broker before one."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.command.ports import FeedError, Place
from topology.limits import MAX_RECORD_BYTES

METADATA_TIMEOUT_S = 15.0
_PASSING = frozenset(
    {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART}
)
"""What a broker says of a partition that it has only just been given."""


def open_consumer(broker: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": "maestro-reader",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
            "fetch.message.max.bytes": MAX_RECORD_BYTES,
            "log_level": 0,  # what goes wrong is raised; a library does not print
        }
    )


def away(broker: str, error: KafkaException) -> FeedError:
    return FeedError(f"no Kafka answers at {broker} ({error.args[0].str()}). Start it, or correct MAESTRO_BROKER.")


def exists(consumer: Consumer, broker: str, topic: str, partition: int) -> bool:
    try:
        known = consumer.list_topics(timeout=METADATA_TIMEOUT_S).topics.get(topic)
    except KafkaException as error:
        raise away(broker, error) from error
    return known is not None and known.error is None and partition in known.partitions


def bounds(consumer: Consumer, broker: str, place: Place) -> tuple[int, int]:
    """First offset and the one after the last. A partition whose leader is just being chosen is waited for."""
    end_s = time.monotonic() + METADATA_TIMEOUT_S
    while True:
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(*place), timeout=METADATA_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() not in _PASSING or time.monotonic() > end_s:
                raise away(broker, error) from error
            time.sleep(0.1)
        else:
            return low, high
