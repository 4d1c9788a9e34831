"""A lab for workers that get killed: feeds a topic, runs counting workers, compares their state with an oracle."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.atleastonce import partition_for
from streams.atleastonce.replay import Replay

REPEATS = int(os.environ.get("MAESTRO_FAULT_REPEATS", "1"))
"""How often the kill tests run; 1 by default, 5 before a release."""
WORKER = Path(__file__).with_name("counting_worker.py")
FAST = {
    "commit_interval_s": 0.4,
    "flush_interval_s": 0.2,
    "session_timeout_s": 6.0,
    "heartbeat_interval_s": 1.0,
    "batch_messages": 200,
    "attempts": 2,
    "stop_grace_s": 20.0,
}
Row = tuple[int, int]
T = TypeVar("T")


class Lab:
    """One input topic, one group, any number of workers. Every value fed is a number, or what a test says."""

    def __init__(self, broker: str, name: str, folder: Path, partitions: int = 4, **settings: object) -> None:
        self.broker, self.name, self.folder, self.partitions = broker, name, folder, partitions
        self.settings = {**FAST, **settings}
        self.source = f"{name}-in"
        self.oracle: dict[bytes, Row] = {}
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self._random = random.Random(name)
        self._fed = 0
        admin = AdminClient({"bootstrap.servers": broker})
        for future in admin.create_topics([NewTopic(self.source, partitions, 1)]).values():
            future.result()
        self._producer = Producer({"bootstrap.servers": broker, "partitioner": "murmur2_random", "linger.ms": 5})

    @property
    def fed(self) -> int:
        """Messages, over all the lab's life."""
        return self._fed

    # --- input ------------------------------------------------------------------------------------------------------

    def feed(self, count: int) -> None:
        for _ in range(count):
            key, number = b"k%d" % self._random.randrange(100), self._fed % 100
            self.put(key, b"%d" % number)
        self._producer.flush()

    def put(self, key: bytes, value: bytes | None) -> None:
        if value is not None and value.isdigit():
            count, total = self.oracle.get(key, (0, 0))
            self.oracle[key] = count + 1, total + int(value)
        self._fed += 1
        while True:
            try:
                self._producer.produce(self.source, key=key, value=value)
                break
            except BufferError:  # on a busy machine we feed faster than the broker takes
                self._producer.poll(0.1)
        self._producer.poll(0)

    def sync(self) -> None:
        self._producer.flush()

    def feeding(self, per_s: int) -> Feeding:
        return Feeding(self, per_s)

    # --- workers ----------------------------------------------------------------------------------------------------

    def start(self, worker: str, *extra: str, wait: bool = True) -> subprocess.Popen[bytes]:
        """`wait`: until it says that its partitions flow."""
        flowed = self._flowed(worker)
        arguments = ["--name", self.name, "--broker", self.broker, "--datadir", str(self.folder / worker)]
        arguments += ["--source", self.source, "--partitions", str(self.partitions)]
        arguments += ["--settings", json.dumps(self.settings), *extra]
        log = (self.folder / f"{worker}.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, str(WORKER), *arguments], stderr=log, stdout=log, env=_environment()
        )
        self.workers[worker] = process
        deadline = time.monotonic() + 60
        while wait and self._flowed(worker) == flowed:
            assert process.poll() is None, self.logs()
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)
        return process

    def _flowed(self, worker: str) -> int:
        file = self.folder / f"{worker}.log"
        return file.read_text().count("flowing: partitions") if file.exists() else 0

    def kill(self, worker: str, wipe: bool = False) -> None:
        process = self.workers.pop(worker)
        process.kill()
        process.wait()
        if wipe:
            self.kill_folder(worker)

    def kill_folder(self, worker: str) -> None:
        shutil.rmtree(self.folder / worker, ignore_errors=True)

    def stop(self, worker: str, within_s: float = 30) -> int:
        process = self.workers.pop(worker)
        process.send_signal(signal.SIGTERM)
        return process.wait(within_s)

    def ended(self, worker: str, within_s: float = 40) -> int:
        return self.workers.pop(worker).wait(within_s)

    def stop_all(self) -> list[int]:
        return [self.stop(worker) for worker in list(self.workers)]

    def keep_running(self, worker: str, until: Callable[[], bool], within_s: float = 60) -> list[int]:
        """Restarts a worker that ends by itself, as a supervisor would; gives the statuses it ended with."""
        statuses, deadline = [], time.monotonic() + within_s
        while not until():
            assert time.monotonic() < deadline, self.logs()
            process = self.workers.get(worker) or self.start(worker, wait=False)
            try:
                statuses.append(process.wait(0.3))
                del self.workers[worker]
            except subprocess.TimeoutExpired:
                continue
        return statuses

    def logs(self) -> str:
        return "\n".join(f"--- {file.name}\n{file.read_text()[-4000:]}" for file in sorted(self.folder.glob("*.log")))

    # --- what came out ----------------------------------------------------------------------------------------------

    def committed(self) -> dict[int, tuple[int, int]]:
        """(committed, end) by partition."""
        reader = Consumer({"bootstrap.servers": self.broker, "group.id": self.name})
        where = [TopicPartition(self.source, p) for p in range(self.partitions)]
        found = {tp.partition: tp.offset for tp in _patiently(lambda: reader.committed(where, timeout=10))}
        ends = {
            p: _patiently(lambda p=p: reader.get_watermark_offsets(TopicPartition(self.source, p), timeout=10))[1]  # type: ignore[misc]
            for p in found
        }
        reader.close()
        return {p: (max(0, found[p]), ends[p]) for p in found}

    def caught_up(self) -> bool:
        return all(committed == end for committed, end in self.committed().values())

    def wait_caught_up(self, within_s: float = 60) -> None:
        deadline = time.monotonic() + within_s
        while not self.caught_up():
            dead = {name: p.poll() for name, p in self.workers.items() if p.poll() is not None}
            assert not dead, f"workers ended: {dead}\n{self.logs()}"
            assert time.monotonic() < deadline, f"{self.committed()}\n{self.logs()}"
            time.sleep(0.3)

    def read(self, topic: str) -> list[tuple[int, int, bytes, bytes | None, list[tuple[str, bytes]]]]:
        """(partition, offset, key, value, headers) of everything in a topic."""
        config = {"bootstrap.servers": self.broker, "group.id": "nobody", "enable.partition.eof": True}
        reader = Consumer({**config, "enable.auto.commit": False})
        partitions = len(reader.list_topics(topic, timeout=10).topics[topic].partitions)
        reader.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
        ends, found = 0, []
        while ends < partitions:
            for m in reader.consume(5000, 0.1):
                if m.error():
                    ends += 1
                else:
                    found.append((m.partition(), m.offset(), m.key() or b"", m.value(), m.headers() or []))
        reader.close()
        return found

    def state(self) -> dict[bytes, Row]:
        """What a fresh worker would restore, by the product's own reader of changelogs."""
        replays: dict[int, Replay] = {}
        for partition, offset, key, value, headers in self.read(f"{self.name}-state-changelog"):
            replays.setdefault(partition, Replay()).feed(offset, key, value, headers)
        rows: dict[bytes, Row] = {}
        for replay in replays.values():
            rows.update({key: tuple(json.loads(row)) for key, row in replay.drain()[0].items() if row})  # type: ignore[misc]
        return rows

    def verify(self) -> None:
        """Nothing missing, nothing twice in the state, every commit at its end, each decision published."""
        assert self.caught_up(), self.committed()
        assert self.state() == self.oracle
        outputs = Counter((key, value) for _, _, key, value, _ in self.read(f"{self.name}-out"))
        final = {(key, json.dumps(row).encode()) for key, row in self.oracle.items()}
        assert final <= outputs.keys()
        assert len(outputs) == sum(count for count, _ in self.oracle.values()), "a decision is missing or contradicted"
        for key, _ in self.oracle.items():
            assert 0 <= partition_for(key, self.partitions) < self.partitions

    def letters(self) -> list[tuple[bytes, dict[str, bytes]]]:
        """This lab's dead letters, each once: value and headers. A repeat must be equal in every byte."""
        found = {(value or b"", tuple(headers)) for _, _, _, value, headers in self.read("dead-letters")}
        mine = [(value, dict(headers)) for value, headers in found]
        mine = [(value, headers) for value, headers in mine if headers["topic"] == self.source.encode()]
        assert len({(h["partition"], h["offset"]) for _, h in mine}) == len(mine)
        return mine


class Feeding:
    """Feeds in the background while a test does things to the workers."""

    def __init__(self, lab: Lab, per_s: int) -> None:
        self._lab, self._per_s, self._stop = lab, per_s, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            self._lab.feed(self._per_s // 10)


def _patiently(ask: Callable[[], T]) -> T:
    """A broker that was just started has no coordinator for a moment, and no leaders."""
    for _ in range(50):
        try:
            return ask()
        except KafkaException:
            time.sleep(0.2)
    return ask()


def _environment() -> dict[str, str]:
    root = Path(__file__).parents[3]
    return {
        **os.environ,
        "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "PYTHONWARNINGS": "ignore",
    }


@pytest.fixture
def make_lab(kafka: str, unique: str, tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    labs: list[Lab] = []

    def make(broker: str = kafka, **settings: object) -> Lab:
        folder = tmp_path / f"lab{len(labs)}"
        folder.mkdir()
        labs.append(Lab(broker, f"{unique}-{len(labs)}", folder, **settings))  # type: ignore[arg-type]
        return labs[-1]

    yield make
    for lab in labs:
        for process in lab.workers.values():
            process.kill()
            process.wait()


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab()
