"""Topics on a real Kafka: created once, seen at once, checked exactly, never changed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from topology.admin import AdminError, TopicAdmin, WantedTopic, wanted_topics
from topology.embedded.process import free_ports
from topology.settings import Settings


@pytest.fixture
def topics(unique: str) -> list[WantedTopic]:
    return [replace(topic, name=f"{unique}-{topic.name}") for topic in wanted_topics(Settings(partitions=3))]


def test_created_as_declared_and_again_without_effect(kafka: str, topics: list[WantedTopic]) -> None:
    admin = TopicAdmin(kafka)
    assert [line.what for line in admin.check(topics)] == ["missing"] * len(topics)
    assert set(admin.create(topics)) == {topic.name for topic in topics}
    assert admin.check(topics) == []
    assert admin.create(topics) == []
    found = admin.find(topic.name for topic in topics)
    assert {t.name: found[t.name].partitions for t in topics} == {t.name: t.partitions for t in topics}


def test_many_workers_may_create_at_once(kafka: str, topics: list[WantedTopic]) -> None:
    with ThreadPoolExecutor(4) as pool:
        created = [name for names in pool.map(lambda _: TopicAdmin(kafka).create(topics), range(4)) for name in names]
    assert sorted(created) == sorted(topic.name for topic in topics)


def test_check_finds_every_difference_and_changes_nothing(kafka: str, topics: list[WantedTopic]) -> None:
    admin, client = TopicAdmin(kafka), AdminClient({"bootstrap.servers": kafka})
    admin.create(topics)
    name = topics[1].name
    client.create_partitions([NewPartitions(name, 5)])[name].result(30)
    entry = ConfigEntry("retention.ms", "61000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
    client.incremental_alter_configs([resource])[resource].result(30)
    expected = {(name, "partitions", "5"), (name, "retention.ms", "61000")}
    ends_at = time.monotonic() + 20
    while len(lines := admin.check(topics)) < len(expected) and time.monotonic() < ends_at:
        time.sleep(0.1)
    assert {(line.topic, line.what, line.found) for line in lines} == expected
    assert admin.check(topics) == lines


def test_ten_megabytes_and_an_old_timestamp_arrive(kafka: str, topics: list[WantedTopic], unique: str) -> None:
    TopicAdmin(kafka).create(topics)
    name = next(topic.name for topic in topics if topic.name.endswith("health-signals"))
    producer = Producer({"bootstrap.servers": kafka, "message.max.bytes": 12_000_000, "compression.type": "none"})
    producer.produce(name, b"x" * 10_000_000, partition=0, timestamp=1_000)
    assert producer.flush(30) == 0
    producer.produce(name, b"ahead", partition=0, timestamp=4_000_000_000_000)
    assert producer.flush(30) == 0
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": unique, "auto.offset.reset": "earliest"})
    consumer.subscribe([name])
    first, second = consumer.poll(30), consumer.poll(30)
    consumer.close()
    assert first is not None
    assert second is not None
    assert (len(first.value() or b""), second.value()) == (10_000_000, b"ahead")
    # The log's own time: neither expires at once nor stays for ever.
    assert abs(first.timestamp()[1] - second.timestamp()[1]) < 60_000


def test_no_broker_is_an_error_that_names_the_setting() -> None:
    admin = TopicAdmin(f"127.0.0.1:{free_ports(1)[0]}", timeout_s=1)
    with pytest.raises(AdminError, match=r"no Kafka answers at 127\.0\.0\.1:\d+ within 1 s .*MAESTRO_BROKER"):
        admin.create(wanted_topics(Settings()))
