"""A Kafka of its own with the declared topics, worker processes on it, and what went in and came out.

Topic names are fixed, so these tests do not share the session's broker: each module starts one.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from schemas.codec import decode, encode
from schemas.records import Record
from streams.runtime.ingest import key_of
from topology.admin import TopicAdmin, wanted_topics
from topology.embedded import embedded_kafka
from topology.settings import Settings
from topology.tables import LAYER_BY_NAME
from topology.topics import BY_NAME

WORKER = Path(__file__).with_name("layers_worker.py")
SETTINGS: dict[str, object] = {"session_timeout_s": 6.0}


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a record landed."""

    topic: str
    partition: int
    offset: int


@dataclass
class Lab:
    """Worker processes on `broker`, and its topics."""

    broker: str
    folder: Path
    settings: dict[str, object] = field(default_factory=lambda: dict(SETTINGS))
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": self.broker,
                "partitioner": "murmur2_random",
                "message.max.bytes": 12 * 1024 * 1024,
                "linger.ms": 2,
                "log_level": 0,
            }
        )

    # --- input ---

    def put(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> list[Sent]:
        """The list gets the record's place when it is delivered."""
        landed: list[Sent] = []

        def delivered(error: object, message: Message) -> None:
            assert error is None, error
            landed.append(Sent(topic, message.partition() or 0, message.offset() or 0))

        place = {} if partition is None else {"partition": partition}
        self._producer.produce(topic, key=key, value=value, headers=list(headers), on_delivery=delivered, **place)
        self._producer.poll(0)
        return landed

    def send(self, topic: str, record: Record, key: str | None = None, partition: int | None = None) -> list[Sent]:
        return self.put(topic, (key or key_of(record) or "").encode(), encode(record), partition=partition)

    def flush(self) -> None:
        assert self._producer.flush(30) == 0

    # --- workers ---

    def start(self, name: str, *layers: str, wait: bool = True, **settings: object) -> subprocess.Popen[bytes]:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        output, errors = (self.folder / f"{name}.out").open("wb"), (self.folder / f"{name}.log").open("ab")
        arguments = [self.broker, str(folder), json.dumps({**self.settings, **settings}), *layers]
        process = subprocess.Popen([sys.executable, str(WORKER), *arguments], stdout=output, stderr=errors)
        self.workers[name] = process
        if wait:
            self.wait(lambda: "ready" in (self.folder / f"{name}.out").read_text(), 90)
        return process

    def kill(self, name: str) -> None:
        process = self.workers.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str) -> int:
        process = self.workers.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(60)

    def end(self) -> None:
        for process in self.workers.values():
            process.kill()
            process.wait()
        self.workers.clear()

    def logs(self) -> str:
        return "\n".join(f"--- {f.name}\n{f.read_text()[-5000:]}" for f in sorted(self.folder.glob("*.log")))

    # --- what came out ---

    def wait(self, holds: Callable[[], object], within_s: float = 60) -> None:
        """Fails with the workers' logs if a worker ends or `holds` stays false."""
        deadline = time.monotonic() + within_s
        while not holds():
            dead = {name: p.returncode for name, p in self.workers.items() if p.poll() is not None}
            assert not dead, f"workers ended: {dead}\n{self.logs()}"
            assert time.monotonic() < deadline, f"not within {within_s} s\n{self.logs()}"
            time.sleep(0.25)

    def read(self, topic: str) -> list[Message]:
        """Everything in the topic, by partition."""
        config = {"bootstrap.servers": self.broker, "group.id": "reader", "enable.partition.eof": True}
        reader = Consumer({**config, "enable.auto.commit": False, "fetch.message.max.bytes": 16_000_000})
        partitions = len(reader.list_topics(topic, timeout=10).topics[topic].partitions)
        reader.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
        ends, found = 0, []
        while ends < partitions:
            for m in reader.consume(5000, 0.2):
                if m.error():
                    ends += 1
                else:
                    found.append(m)
        reader.close()
        return sorted(found, key=lambda m: (m.partition(), m.offset()))

    def records(self, topic: str) -> list[Record]:
        """The decoded values, tombstones and undecodable ones left out."""
        kinds = BY_NAME[topic].records
        return [r for m in self.read(topic) if (r := decode(kinds, m.value(), m.headers())) is not None]

    def lags(self, *layers: str) -> dict[tuple[str, str, int], int]:
        """Messages that each group has not committed, by (layer, topic, partition)."""
        lags = {}
        for name in layers or tuple(LAYER_BY_NAME):
            reader = Consumer({"bootstrap.servers": self.broker, "group.id": LAYER_BY_NAME[name].group})
            for topic in LAYER_BY_NAME[name].inputs:
                count = len(reader.list_topics(topic, timeout=10).topics[topic].partitions)
                for at in reader.committed([TopicPartition(topic, p) for p in range(count)], timeout=10):
                    end = reader.get_watermark_offsets(TopicPartition(topic, at.partition), timeout=10)[1]
                    lags[name, topic, at.partition] = end - max(0, at.offset)
            reader.close()
        return lags

    def caught_up(self, *layers: str) -> bool:
        return not any(self.lags(*layers).values())


@pytest.fixture(scope="module")
def own_broker() -> Iterator[str]:
    """A Kafka for this module alone, with the declared topics."""
    with embedded_kafka() as broker:
        TopicAdmin(broker.bootstrap).create(wanted_topics(Settings()))
        yield broker.bootstrap


@pytest.fixture(scope="module")
def lab(own_broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(own_broker, tmp_path_factory.mktemp("workers"))
    yield lab
    lab.end()


@pytest.fixture
def make_lab_on() -> Iterator[Callable[[str, Path], Lab]]:
    """Labs on any broker; their workers end with the test."""
    made: list[Lab] = []

    def make(broker: str, folder: Path) -> Lab:
        made.append(Lab(broker, folder))
        return made[-1]

    yield make
    for lab in made:
        lab.end()
