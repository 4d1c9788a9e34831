"""What `landing` takes for granted of librdkafka and a broker: no record of a run is missing before one that landed."""

from __future__ import annotations

import os

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.atleastonce import AtLeastOnceSettings
from streams.atleastonce.changelog import Entry
from streams.atleastonce.errors import DeliveryFailed
from streams.atleastonce.producer import ConfirmedProducer, Outgoing

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]
MARKER: Entry = (b"m", b"marker", ())


def topic(broker: str, name: str, **config: str) -> str:
    admin = AdminClient({"bootstrap.servers": broker})
    for future in admin.create_topics([NewTopic(name, 1, 1, config=config)]).values():
        future.result()
    return name


def keys(broker: str, name: str) -> list[bytes]:
    reader = Consumer({"bootstrap.servers": broker, "group.id": "nobody", "enable.auto.commit": False})
    place = TopicPartition(name, 0, 0)
    end = reader.get_watermark_offsets(place)[1]
    reader.assign([place])
    found: list[bytes] = []
    while len(found) < end:
        found += [message.key() for message in reader.consume(10_000, 0.2) if message.error() is None]
    reader.close()
    return found


def test_a_long_run_lands_in_order_and_says_where(kafka: str, unique: str) -> None:
    name, producer = topic(kafka, unique), ConfirmedProducer(kafka, unique, AtLeastOnceSettings())
    run = [(b"r%d" % i, os.urandom(900), ()) for i in range(20_000)]
    places = producer.append(name, 0, run, MARKER).result(60)
    producer.stop()
    assert all(offset == index for index, offset in places)
    assert places[-1] == (20_000, 20_000)
    assert keys(kafka, name) == [key for key, _, _ in run] + [b"m"]


def test_nothing_lands_behind_a_record_that_the_broker_refuses(kafka: str, unique: str) -> None:
    """The record in the middle is larger than this topic allows."""
    name = topic(kafka, unique, **{"max.message.bytes": "100000"})
    producer = ConfirmedProducer(kafka, unique, AtLeastOnceSettings(delivery_timeout_s=20))
    small = [(b"r%d" % i, os.urandom(900), ()) for i in range(5_000)]
    run: list[Entry] = [*small[:2_500], (b"big", os.urandom(400_000), ()), *small[2_500:]]
    with pytest.raises(DeliveryFailed):
        producer.append(name, 0, run, MARKER).result(60)
    producer.stop()
    landed = keys(kafka, name)
    assert b"m" not in landed
    assert landed == [key for key, _, _ in run][: len(landed)]


def test_a_delivery_says_where_each_of_its_records_is(kafka: str, unique: str) -> None:
    name, producer = topic(kafka, unique), ConfirmedProducer(kafka, unique, AtLeastOnceSettings())
    records = [Outgoing(name, None, b"k%d" % i, b"v", (("n", b"%d" % i),)) for i in range(300)]
    assert producer.deliver_blocking(records, 60) == [(0, n) for n in range(300)]
    assert producer.deliver_blocking([Outgoing(name, 0, b"one", None)], 60) == [(0, 300)]
    assert producer.deliver_blocking([], 60) == []
    producer.stop()
    assert keys(kafka, name) == [*(record.key for record in records), b"one"]


def test_a_delivery_of_which_one_record_is_refused_fails(kafka: str, unique: str) -> None:
    name = topic(kafka, unique, **{"max.message.bytes": "2000"})
    producer = ConfirmedProducer(kafka, unique, AtLeastOnceSettings(delivery_timeout_s=20))
    sizes = [10] * 50 + [5_000] + [10] * 50
    with pytest.raises(DeliveryFailed):
        producer.deliver_blocking([Outgoing(name, None, b"k", os.urandom(size)) for size in sizes], 60)
    producer.stop()
