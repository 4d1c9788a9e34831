"""Broker times of signals, of what was found in them and of what was done about it, joined by their causes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from confluent_kafka import Consumer, Message, TopicPartition

from schemas.codec import decode
from schemas.records import Anomaly, AnomalyState, Remediation
from topology.bench.work import ANOMALIES, REMEDIATIONS, TOPIC


class Link(NamedTuple):
    """An incident by its name, and the signal that it came from where the message says so."""

    incident: str
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Hops:
    anomalies: str
    remediations: str
    link: Callable[[Message], Link | None]


def _ours(message: Message) -> Link | None:
    record = decode((Anomaly, Remediation), message.value(), message.headers())
    if isinstance(record, Remediation):
        return Link(record.incident_id)
    if isinstance(record, Anomaly) and record.state is AnomalyState.OPENED:
        return Link(record.incident_id, record.cause_id)
    return None


def _peers(message: Message) -> Link | None:
    cause = message.value().decode()
    return Link(cause, cause)


OUR_HOPS = Hops("anomalies", "remediations", _ours)
PEER_HOPS = Hops(ANOMALIES, REMEDIATIONS, _peers)


@dataclass(slots=True)
class Times:
    signals: dict[str, int] = field(default_factory=dict)
    """By coordinates."""
    opened: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By incident: the cause's coordinates, and when."""
    healing: dict[str, int] = field(default_factory=dict)
    """By incident."""


class Watch:
    """What comes from now on."""

    def __init__(self, broker: str, hops: Hops) -> None:
        self._hops, self._times = hops, Times()
        self._consumer = Consumer({"bootstrap.servers": broker, "group.id": "bench-latency"})
        places = [
            (topic, partition)
            for topic in (TOPIC, hops.anomalies, hops.remediations)
            for partition in self._consumer.list_topics(topic, 10).topics[topic].partitions
        ]
        ends = [self._consumer.get_watermark_offsets(TopicPartition(*place))[1] for place in places]
        self._consumer.assign([TopicPartition(*place, end) for place, end in zip(places, ends, strict=True)])

    def read(self) -> None:
        """Everything there is."""
        while found := self._consumer.consume(500, 2.0):
            for message in found:
                if message.error() is None:
                    self._take(message)

    def _take(self, message: Message) -> None:
        at, times = message.timestamp()[1], self._times
        if message.topic() == TOPIC:
            times.signals[f"{TOPIC}:{message.partition()}:{message.offset()}"] = at
            return
        link = self._hops.link(message)
        if link is None:
            return
        if message.topic() == self._hops.remediations:
            times.healing.setdefault(link.incident, at)
        elif link.cause is not None:
            times.opened.setdefault(link.incident, (link.cause, at))

    def hops(self) -> tuple[list[int], list[int]]:
        """ms of one hop, of two."""
        t = self._times
        known = {incident: (t.signals[cause], at) for incident, (cause, at) in t.opened.items() if cause in t.signals}
        one = [at - begun for begun, at in known.values()]
        return one, [t.healing[incident] - begun for incident, (begun, _) in known.items() if incident in t.healing]
