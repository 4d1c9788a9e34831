"""OpenTelemetry's topics on a real Kafka: read from as far back as the setting says, taken up again, nothing missed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaException, Producer
from otel_spans import message, moved, recorded, server

from schemas.records import Op
from streams.discovery.providers.poll import poll_once
from streams.discovery.settings import OtelSettings, PollSettings
from topology.admin import TopicAdmin, WantedTopic
from topology.discover.telemetry import TopicFeed, telemetry_source
from topology.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]
CHECKOUT = "shop/checkout/checkout-1"


@pytest.fixture
def topic(kafka: str, unique: str) -> str:
    name = f"{unique}-otlp_spans"
    TopicAdmin(kafka).create([WantedTopic(name, 2, 1, {})])
    return name


@pytest.fixture
def send(kafka: str, topic: str) -> Callable[..., None]:
    def sent(*messages: bytes, ago_s: float = 0) -> None:
        producer = Producer({"bootstrap.servers": kafka})
        for number, data in enumerate(messages):
            at = round((time.time() - ago_s) * 1000)
            producer.produce(topic, data, partition=number % 2, timestamp=at)
        assert producer.flush(10) == 0

    return sent


def taken(feed: TopicFeed, count: int) -> list[bytes]:
    found: list[bytes] = []
    until = time.monotonic() + 15
    while len(found) < count and time.monotonic() < until:
        found += [m.data for m in feed.take(0.2)]
    return found + [m.data for m in feed.take(0.5)]


def test_a_feed_reads_back_as_far_as_it_is_told_and_goes_on_where_it_was_closed(
    kafka: str, topic: str, send: Callable[..., None]
) -> None:
    send(b"old-0", b"old-1", ago_s=1000)
    send(b"young", ago_s=10)  # partition 0; on partition 1 nothing is young enough
    feed = TopicFeed(kafka, topic, "spans", back_s=100)
    assert taken(feed, 1) == [b"young"]
    feed.close()
    send(b"new-0", b"new-1")
    assert sorted(taken(feed, 2)) == [b"new-0", b"new-1"]
    feed.close()


def test_a_message_bears_its_place(kafka: str, topic: str, send: Callable[..., None]) -> None:
    send(b"a", b"b", b"c")
    feed = TopicFeed(kafka, topic, "spans", back_s=100)
    found: dict[bytes, str] = {}
    until = time.monotonic() + 15
    while len(found) < 3 and time.monotonic() < until:
        found |= {m.data: m.where for m in feed.take(0.2)}
    feed.close()
    assert found == {b"a": f"{topic}:0:0", b"b": f"{topic}:1:0", b"c": f"{topic}:0:1"}


def test_a_topic_that_is_not_there_fails_the_source(kafka: str, unique: str) -> None:
    feed = TopicFeed(kafka, f"{unique}-none", "spans", 100)
    with pytest.raises(KafkaException, match="UNKNOWN_TOPIC"):
        feed.take(0.1)
    feed.close()


async def test_recorded_traces_on_a_topic_become_dependencies(
    kafka: str, topic: str, send: Callable[..., None]
) -> None:
    settings = Settings(broker=kafka, otel=OtelSettings(wait_s=0.5))
    provider = telemetry_source("eu", [f"spans:{topic}"], settings)
    send(*(moved(data, time.time_ns()) for data in recorded("otlp_proto")), b"no otlp", message("extra", server(1)))
    depends_on: dict[str, tuple[str, ...]] = {}
    async with asyncio.timeout(30):
        while len(depends_on.get(CHECKOUT, ())) < 5:
            events = await poll_once(provider, lambda: 1, PollSettings())
            assert {e.op for e in events} <= {Op.UPSERT}
            depends_on |= {e.asset.id: e.asset.depends_on for e in events if e.asset is not None}
            await asyncio.sleep(0.1)
    assert depends_on["shop/web/web-1"] == (CHECKOUT,)
    assert "extra" in depends_on
