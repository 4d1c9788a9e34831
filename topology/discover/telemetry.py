"""OpenTelemetry as a source of `maestro discover`: its topics on the broker, and ids as the telemetry bears them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.adapters.identity import asset_of
from streams.discovery.ports import DiscoveryProvider
from streams.discovery.providers.telemetry.feeds import Feed, FileFeed, Message
from streams.discovery.providers.telemetry.provider import TelemetryProvider
from streams.discovery.providers.telemetry.reading import MESSAGES
from topology.clock import now_ms
from topology.settings import Settings

MOST_MESSAGES = 500
KNOWN_S = 30.0
"""How long the list of a topic's partitions counts as known."""
ANSWER_S = 10.0


class TopicFeed:
    """All partitions of a topic, from `back_s` ago; nothing is committed, since who takes over learns anew."""

    def __init__(self, broker: str, topic: str, signal: str, back_s: float, clock: Callable[[], int] = now_ms) -> None:
        self._broker, self._topic, self._signal, self._back_s, self._clock = broker, topic, signal, back_s, clock
        self._consumer: Consumer | None = None
        self._next: dict[int, int] = {}
        self._known_at = 0

    def take(self, wait_s: float) -> Sequence[Message]:
        """Raises KafkaException, also if there is no such topic."""
        consumer = self._opened()
        if self._clock() - self._known_at > KNOWN_S * 1000:
            self._assign(consumer)
        found = []
        for message in consumer.consume(MOST_MESSAGES, timeout=wait_s):
            if (error := message.error()) is not None:
                if error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError.UNKNOWN_TOPIC_OR_PART) or error.fatal():
                    raise KafkaException(error)
                continue
            partition, offset = message.partition() or 0, message.offset() or 0
            self._next[partition] = offset + 1
            at = message.timestamp()[1]
            at = at if at > 0 else self._clock()
            if data := message.value():
                found.append(Message(self._signal, data, at, at, f"{self._topic}:{partition}:{offset}"))
        return found

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _opened(self) -> Consumer:
        if self._consumer is None:
            own = {"group.id": "maestro-discover-otel", "enable.auto.commit": False, "log_level": 0}
            limits = {"queued.max.messages.kbytes": 16_384, "auto.offset.reset": "earliest"}
            self._consumer = Consumer({"bootstrap.servers": self._broker, **own, **limits})
            self._known_at = 0
        return self._consumer

    def _assign(self, consumer: Consumer) -> None:
        about = consumer.list_topics(self._topic, timeout=ANSWER_S).topics[self._topic]
        if about.error is not None:
            raise KafkaException(about.error)
        new = [number for number in sorted(about.partitions) if number not in self._next]
        since = self._clock() - round(self._back_s * 1000)
        asked = [TopicPartition(self._topic, number, since) for number in new]
        found = consumer.offsets_for_times(asked, timeout=ANSWER_S) if asked else []
        if new or not self._known_at:
            self._next |= {place.partition: self._place(consumer, place) for place in found}
            consumer.assign([TopicPartition(self._topic, number, at) for number, at in sorted(self._next.items())])
        self._known_at = self._clock()

    def _place(self, consumer: Consumer, found: TopicPartition) -> int:
        """Nothing is as young as that: the end as it is now, and not as it will be when the feed is opened again."""
        return found.offset if found.offset >= 0 else int(consumer.get_watermark_offsets(found, timeout=ANSWER_S)[1])


def telemetry_source(name: str, addresses: Sequence[str], settings: Settings) -> DiscoveryProvider:
    """`addresses`: [spans:|metrics:|logs:]TOPIC or file:PATH."""
    feeds = [_feed(address, settings) for address in addresses]
    return TelemetryProvider(name, feeds, partial(identify, settings), settings.otel)


def identify(settings: Settings, attributes: Mapping[str, str]) -> str:
    return asset_of(settings.intake.otlp_identity, attributes, "")


def _feed(address: str, settings: Settings) -> Feed:
    form, _, rest = address.partition(":")
    if form == "file" and rest:
        return FileFeed(Path(rest), now_ms)
    signal, topic = (form, rest) if form in MESSAGES and rest else ("spans", address)
    return TopicFeed(settings.broker or "", topic, signal, settings.otel.edge_lapse_s)
