"""What comes out on a topic as it comes in, with the second at which it did."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from schemas.codec import decode


@dataclass
class Watch:
    """Records of type `record` from now on: (seconds by `time.monotonic`, partition, record), in order of arrival."""

    broker: str
    topic: str
    record: type[Any]
    partitions: int
    seen: list[tuple[float, int, Any]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _ready: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        consumer = Consumer({"bootstrap.servers": self.broker, "group.id": "watch", "fetch.wait.max.ms": 5})
        consumer.assign([TopicPartition(self.topic, p, OFFSET_END) for p in range(self.partitions)])
        consumer.poll(2.0)
        self._ready.set()
        while not self._stop.is_set():
            message = consumer.poll(0.05)
            if message is None or message.error():
                continue
            record = decode((self.record,), message.value() or b"", message.headers() or ())
            self.seen.append((time.monotonic(), message.partition() or 0, record))
        consumer.close()
