"""librdkafka's consumer and our decoder: no state, no outputs, no commits."""

from __future__ import annotations

import sys

from confluent_kafka import Consumer

from schemas.samples import decode_samples, read_common_signal
from topology.bench.work import TOPIC, report


def main() -> None:
    broker, workload, app_id = sys.argv[1:4]
    consumer = Consumer({"bootstrap.servers": broker, "group.id": app_id, "auto.offset.reset": "earliest"})
    consumer.subscribe([TOPIC])
    count = 0
    report(lambda: count)
    while True:
        for message in consumer.consume(1_000, 0.1):
            if message.error() is not None:
                continue
            data, headers = message.value(), message.headers()
            if workload == "w1" and read_common_signal(data, headers) is not None:
                count += 1
            else:
                count += len(decode_samples(data, headers))


if __name__ == "__main__":
    main()
