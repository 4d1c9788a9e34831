"""librdkafka's consumer in Python and our gatherer: no state, no outputs, no commits.

A floor for programs on that consumer. With a sample a message its objects are most of it, so that a program with a
consumer of its own may be below.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from confluent_kafka import Consumer

from schemas.records import HealthSignal, HealthSignalBatch
from streams.runtime.ingest import Rules
from streams.runtime.samples import Gatherer
from topology.bench.work import PARTITIONS, TOPIC, report

AT_ONCE = 10_000


class Fetched(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def main() -> None:
    broker, _, app_id = sys.argv[1:4]
    consumer = Consumer({"bootstrap.servers": broker, "group.id": app_id, "auto.offset.reset": "earliest"})
    consumer.subscribe([TOPIC])
    rules = Rules(TOPIC, (HealthSignal, HealthSignalBatch), PARTITIONS, 60_000, 10_000_000)
    gatherers = [Gatherer(rules, partition) for partition in range(PARTITIONS)]
    count = 0
    report(lambda: count)
    while True:
        fetched: dict[int, list[Fetched]] = defaultdict(list)
        for m in consumer.consume(AT_ONCE, 0.1):
            if m.error() is None:
                one = Fetched(m.offset(), m.timestamp()[1], m.key(), m.value(), m.headers() or ())
                fetched[m.partition()].append(one)
        for partition, messages in fetched.items():
            columns = gatherers[partition].gather(messages).columns
            count += len(columns) if columns is not None else 0


if __name__ == "__main__":
    main()
