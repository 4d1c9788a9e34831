"""A live system on a broker of its own: worker processes, what is published, what came out, and its replay."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from confluent_kafka.admin import AdminClient

from schemas.codec import decode
from schemas.json_form import to_json
from topology import app, replay
from topology.admin import TopicAdmin, wanted_topics
from topology.client.publisher import Publisher
from topology.engines import build_layers
from topology.recording.broker_log import BrokerLog
from topology.recording.export import Exported, export
from topology.recording.lines import parse_line
from topology.settings import Settings
from topology.tables import LAYER_BY_NAME, LAYERS
from topology.topics import BY_NAME, TOPICS

if TYPE_CHECKING:
    from topology.embedded import EmbeddedKafka

WORKER = Path(__file__).with_name("worker.py")
DECIDED = tuple(t.name for t in TOPICS if t.records and set(t.written_by) <= set(LAYER_BY_NAME) - {"executors"})
"""Topics that only layers write which are replayed."""
Decisions = dict[str, dict[str, list[bytes]]]
"""Topic -> key -> the JSON of its records in order, each once."""


@dataclass(slots=True)
class Live:
    """`fields` of the settings: an `app_id` keeps the groups of one test apart from another's; topics are its own."""

    broker: str
    folder: Path
    fields: dict[str, object]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        return Settings(**self.fields)  # type: ignore[arg-type]

    # --- workers ---

    def start(self, name: str) -> None:
        """Returns at once; `ready` tells when it works."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        out, log = (self.folder / f"{name}.out").open("wb"), (self.folder / f"{name}.log").open("ab")
        command = [sys.executable, str(WORKER), self.broker, str(folder), json.dumps(self.fields)]
        self.processes[name] = subprocess.Popen(command, stdout=out, stderr=log)

    def ready(self, name: str) -> None:
        self.wait(lambda: b"ready" in (self.folder / f"{name}.out").read_bytes(), f"{name} is ready", 90)

    def stop(self) -> list[int]:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        statuses = [process.wait(60) for process in self.processes.values()]
        self.processes.clear()
        return statuses

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def owners(self, layer: str) -> list[int]:
        """How many partitions of the layer's first input each member of its group has."""
        card = LAYER_BY_NAME[layer]
        group = app.group_of(card, self.settings)
        admin = AdminClient({"bootstrap.servers": self.broker})
        described = admin.describe_consumer_groups([group])[group].result(30)
        places = [[tp for tp in m.assignment.topic_partitions if tp.topic == card.inputs[0]] for m in described.members]
        return sorted(len(of_member) for of_member in places)

    # --- what goes in and comes out ---

    def publish(self, lines: Iterable[bytes]) -> None:
        """Replay lines, as a user's records."""
        publisher = Publisher(self.broker)
        for number, raw in enumerate(lines, start=1):
            event = parse_line(raw, number)
            publisher.publish(event.topic, event.value, event.key)  # type: ignore[union-attr, arg-type]
        publisher.flush()

    def values(self, topic: str, **fields: object) -> list[dict[str, Any]]:
        """Everything in a topic that has these fields."""
        found = [orjson.loads(data) for of_key in self._read(topic).values() for data in of_key]
        return [v for v in found if all(v[name] == wanted for name, wanted in fields.items())]

    def _read(self, topic: str) -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = {}
        for messages in BrokerLog(self.broker).partitions(topic):
            for m in messages:
                record = decode(BY_NAME[topic].records, m.value, m.headers)
                _add(found, (m.key or b"").decode(), b"null" if record is None else to_json(record))
        return found

    def journalled(self, kind: str) -> bool:
        """Whether an entry of this kind is on the journal."""
        said = f'["{kind}"'.encode()
        return any(said in (m.value or b"") for part in BrokerLog(self.broker).partitions("journal") for m in part)

    def decided(self) -> Decisions:
        return {topic: self._read(topic) for topic in DECIDED}

    def replayed(self) -> tuple[Exported, Decisions]:
        """The log exported, and what the same engines make of it."""
        log = io.BytesIO()
        exported = export(self.broker, log, self.settings)
        decided: Decisions = {topic: {} for topic in DECIDED}
        for output in replay.run(log.getvalue().splitlines(keepends=True), build_layers(self.settings, hooks=())):
            head = orjson.loads(output)
            assert head["topic"] in decided, output
            _add(decided[head["topic"]], head["key"], _value_of(output))
        return exported, decided

    # --- waiting ---

    def wait(self, holds: Callable[[], object], what: str, within_s: float = 45) -> None:
        deadline = time.monotonic() + within_s
        while not holds():
            dead = {n: p.returncode for n, p in self.processes.items() if p.poll() is not None}
            assert not dead, f"workers ended: {dead}\n{self.logs()}"
            assert time.monotonic() < deadline, f"not within {within_s} s: {what}\n{self.logs()}"
            time.sleep(0.1)

    def wait_caught_up(self) -> None:
        """All that was published, by users and by layers, is taken in and committed."""
        look = BrokerEnds(self.broker)
        self.wait(lambda: not look.lag(self.settings), "no group is behind")

    def logs(self) -> str:
        return "\n".join(f"--- {f.name}\n{f.read_text()[-4000:]}" for f in sorted(self.folder.glob("*.log")))


class BrokerEnds:
    """Where the topics end and the groups are."""

    def __init__(self, broker: str) -> None:
        from confluent_kafka import Consumer

        self._broker = broker
        self._consumer = Consumer({"bootstrap.servers": broker, "group.id": "looks", "enable.auto.commit": False})

    def ends(self) -> dict[tuple[str, int], int]:
        """Of the topics that users and layers write; the journal may go on with the clock."""
        from confluent_kafka import TopicPartition

        known = self._consumer.list_topics(timeout=10).topics
        places = [(t.name, p) for t in TOPICS if t.records for p in known[t.name].partitions]
        return {p: self._consumer.get_watermark_offsets(TopicPartition(*p), timeout=10)[1] for p in places}

    def lag(self, settings: Settings) -> dict[tuple[str, str, int], int]:
        from confluent_kafka import ConsumerGroupTopicPartitions

        admin, ends, lag = AdminClient({"bootstrap.servers": self._broker}), self.ends(), {}
        for card in LAYERS:
            asked = ConsumerGroupTopicPartitions(app.group_of(card, settings))
            (future,) = admin.list_consumer_group_offsets([asked]).values()
            done = {(tp.topic, tp.partition): tp.offset for tp in future.result(30).topic_partitions}
            for (topic, partition), end in ends.items():
                if topic in card.inputs and (left := end - max(0, done.get((topic, partition), 0))):
                    lag[card.name, topic, partition] = left
        return lag


def _add(found: dict[str, list[bytes]], key: str, value: bytes) -> None:
    of_key = found.setdefault(key, [])
    if value not in of_key:
        of_key.append(value)


def _value_of(output: bytes) -> bytes:
    """The value's own bytes in an output line: between its name and that of the cause, which is last."""
    start, end = output.index(b',"value":') + len(b',"value":'), output.rindex(b',"cause":')
    return output[start:end]


def clean(broker: str) -> None:
    """The declared topics, empty."""
    admin = AdminClient({"bootstrap.servers": broker})
    old = [name for name in admin.list_topics(timeout=10).topics if not name.startswith("__")]
    for future in admin.delete_topics(old).values() if old else ():
        future.result(30)
    deadline = time.monotonic() + 30
    while set(old) & set(admin.list_topics(timeout=10).topics):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    TopicAdmin(broker).create(wanted_topics(Settings()))


@pytest.fixture
def live(own_broker: EmbeddedKafka, tmp_path: Path, unique: str) -> Iterator[Live]:
    clean(own_broker.bootstrap)
    system = Live(own_broker.bootstrap, tmp_path, {"app_id": unique})
    yield system
    system.end()
