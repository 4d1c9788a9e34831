"""Milliseconds from a signal to its anomaly (one hop) and to the first healing step for it (two hops), by broker times.

Run: python tests/bench/hot_path_latency.py [--seconds 20] [--rate 100]

Every layer runs live, in one process, beside an embedded Kafka on the same machine. 400 registered assets send one
sample a message in turn; every fifth message is far off, one for each asset, so each is an incident of its own.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time

from confluent_kafka import Consumer, TopicPartition
from rich.console import Console

from schemas.codec import decode
from schemas.records import Anomaly, AnomalyState, DiscoveryEvent, HealthSignal, Op, RegisteredAsset, Remediation
from topology.admin import TopicAdmin, wanted_topics
from topology.client.publisher import SIGNALS, Publisher, now_ms
from topology.demo.run import running_layers
from topology.embedded import embedded_kafka
from topology.settings import Settings

ASSETS = 400
EVERY = 5
WARM_SAMPLES, WARM_GAP_MS = 60, 4_000
WARM_S, DRAIN_S = 15.0, 5.0


def asset(number: int) -> str:
    return f"svc-{number:04d}"


def signal(number: int, at: int, value: float) -> HealthSignal:
    return HealthSignal(asset_id=asset(number), metric="latency_p95", unit="ms", value=value, at=at, source="bench")


def register(publisher: Publisher, noise: random.Random) -> None:
    at = now_ms()
    for number in range(ASSETS):
        known = RegisteredAsset(id=asset(number), cloud="aws", region="us-east-1")
        event = DiscoveryEvent(source="bench", scope="bench", op=Op.UPSERT, asset_id=known.id, asset=known, at=at)
        publisher.publish("discovery-events", event, key=known.id)
    for step in range(WARM_SAMPLES, 0, -1):
        past = at - step * WARM_GAP_MS
        publisher.publish_signals(signal(n, past, noise.gauss(100, 5)) for n in range(ASSETS))
    publisher.flush()


def send(publisher: Publisher, noise: random.Random, rate: float, seconds: float) -> int:
    """Gives the number of samples that are far off."""
    begun, far_off = time.monotonic(), 0
    for number in range(int(rate * seconds)):
        is_far = number % EVERY == 0 and far_off < ASSETS
        # The far-off ones walk through the assets by themselves, so that each comes once.
        which = far_off if is_far else number % ASSETS
        publisher.publish(SIGNALS, signal(which, now_ms(), 400.0 if is_far else noise.gauss(100, 5)))
        far_off += is_far
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
    publisher.flush()
    return far_off


class Watch:
    """Broker times of signals by coordinates, of openings by incident, of first healing steps by incident."""

    def __init__(self, broker: str, partitions: int) -> None:
        self._consumer = Consumer({"bootstrap.servers": broker, "group.id": "bench-latency"})
        places = [(SIGNALS, p) for p in range(partitions)] + [("anomalies", 0), ("remediations", 0)]
        ends = [self._consumer.get_watermark_offsets(TopicPartition(*place))[1] for place in places]
        self._consumer.assign([TopicPartition(*place, end) for place, end in zip(places, ends, strict=True)])
        self.signals: dict[str, int] = {}
        self.opened: dict[str, tuple[str, int]] = {}
        self.healing: dict[str, int] = {}

    def read(self) -> None:
        """Everything there is."""
        while found := self._consumer.consume(500, 2.0):
            for m in found:
                if m.error() is not None:
                    continue
                at = m.timestamp()[1]
                if m.topic() == SIGNALS:
                    self.signals[f"{SIGNALS}:{m.partition()}:{m.offset()}"] = at
                    continue
                record = decode((Anomaly, Remediation), m.value(), m.headers())
                if isinstance(record, Anomaly) and record.state is AnomalyState.OPENED:
                    self.opened.setdefault(record.incident_id, (record.cause_id, at))
                elif isinstance(record, Remediation):
                    self.healing.setdefault(record.incident_id, at)

    def hops(self) -> tuple[list[int], list[int]]:
        one = [at - self.signals[cause] for cause, at in self.opened.values() if cause in self.signals]
        two = [
            self.healing[incident] - self.signals[cause]
            for incident, (cause, _) in self.opened.items()
            if incident in self.healing and cause in self.signals
        ]
        return one, two


def told(name: str, ms: list[int]) -> str:
    if len(ms) < 20:
        return f"{name}: only {len(ms)}, too few to say"
    cuts = statistics.quantiles(ms, n=100)
    return f"{name}: {len(ms)} of them, p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms, most {max(ms)} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=100.0, help="messages a second")
    options = parser.parse_args()
    settings, noise = Settings(), random.Random(1)
    with embedded_kafka() as kafka:
        TopicAdmin(kafka.bootstrap).create(wanted_topics(settings))
        with running_layers(settings, kafka.bootstrap, Console(quiet=True)):
            publisher = Publisher(kafka.bootstrap)
            register(publisher, noise)
            time.sleep(WARM_S)
            watch = Watch(kafka.bootstrap, settings.partitions)
            far_off = send(publisher, noise, options.rate, options.seconds)
            time.sleep(DRAIN_S)
            watch.read()
    one, two = watch.hops()
    print(f"{options.rate:g} messages/s for {options.seconds:g} s, {far_off} far off; load {os.getloadavg()[0]:.1f}")
    print(told("signal -> anomaly", one))
    print(told("signal -> anomaly -> remediation", two))


if __name__ == "__main__":
    main()
