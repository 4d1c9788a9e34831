"""What `LayerRunner` journals is replayed to the same decisions: takeovers, crashes, lagging views, repeated outputs.

Two workers without Kafka: logs are lists, a flush is a call. The layer is a toy whose every decision is a digest of all
that it can see (rows and their order, view, clock, event), so that nothing can differ unnoticed.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import orjson
import pytest

from schemas.codec import decode, encode
from schemas.json_form import to_json
from schemas.records import JobOutcome, JobRequest, JobResult, Performance, PolicyVerdict, Record
from streams.atleastonce.batch import Batch, Output, RawMessage, partition_for
from streams.kit.layer import Emission, Event, Step
from streams.policy.port import Answer, Outcome, Point, Question
from streams.policy.recorded import Tape, recorded
from streams.runtime.ingest import Rules, read_event
from streams.runtime.runner import JOURNAL_ENTRIES, LayerRunner, RunnerConfig
from streams.runtime.views import ViewRecord
from topology import replay
from topology.recording.export import Exported, export_log
from topology.settings import Settings
from topology.topics import BY_NAME

T0 = 1_700_000_000_000
PARTITIONS = 2
INPUT, OTHER_INPUT, VIEW = "job-requests", "job-outcomes", "performance"
VIEWS = ("assets", VIEW, "anomalies", "remediations", "policies")
COUNTS = {INPUT: PARTITIONS, OTHER_INPUT: PARTITIONS, VIEW: PARTITIONS}


@dataclass(frozen=True)
class Row:
    digest: str
    due: int | None


class Outside:
    """A policy that is not pure: it never says the same twice."""

    id, version, pure = "outside", "1", False

    def __init__(self) -> None:
        self.said = 0

    def decide(self, question: Question) -> Answer:
        self.said += 1
        verdict = PolicyVerdict(id=self.id, version=uuid4().hex, allowed=True, reason=f"answer {self.said}")
        return Answer(Outcome.ALLOW, (verdict,), ("notify:x",) * (self.said % 2))


class Digest:
    """Answers everything with a digest of everything, and often asks a policy whose answers come from outside."""

    name = "routing"

    def __init__(self, tape: Tape) -> None:
        [self.policy] = recorded([Outside()], tape)

    inputs = (INPUT, OTHER_INPUT)
    views = VIEWS

    def new_view(self) -> dict[str, str]:
        return {}

    def see(self, view: dict[str, str], event: Event) -> None:
        """Depends on the order within a topic's key, as views may; not on the order between topics."""
        place = f"{event.topic} {event.key}"
        view[place] = f"{view.get(place)}|{event.cause_id}"[-200:]

    def step(self, rows: Mapping[str, Row], view: dict[str, str], event: Event, now: int) -> Step[Row]:
        return self._told(rows, view, event.key, now, f"step {event}", now + 4_000)

    def on_view(self, rows: Mapping[str, Row], view: dict[str, str], event: Event, now: int) -> Step[Row]:
        if event.at % 3 == 0:
            return Step()
        if event.at % 3 == 1:
            return Step({}, self._told(rows, view, event.key, now, f"view {event}", None).emissions)
        return self._told(rows, view, event.key, now, f"view {event}", now + 6_000)

    def due_at(self, row: Row) -> int | None:
        return row.due

    def on_timer(self, rows: Mapping[str, Row], view: dict[str, str], key: str, now: int) -> Step[Row]:
        return self._told(rows, view, key, now, "timer", None)

    def encode_row(self, row: Row) -> bytes:
        return orjson.dumps([row.digest, row.due])

    def decode_row(self, data: bytes) -> Row:
        return Row(*orjson.loads(data))

    def _told(
        self, rows: Mapping[str, Row], view: dict[str, str], key: str, now: int, what: str, due: int | None
    ) -> Step[Row]:
        asked = [Question(Point.ROUTING, "layer:routing", "route", f"{key}-{n}") for n in range(now % 3)]
        answers = [self.policy.decide(question) for question in asked]
        seen = repr((list(rows.items()), sorted(view.items()), key, now, what, answers))
        digest = hashlib.sha256(seen.encode()).hexdigest()[:16]
        said = JobOutcome(job_id=key, target_id=digest, outcome=JobResult.FAILED, at=max(now, 0))
        return Step({key: Row(digest, due)}, (Emission("routing-decisions", key, said, now, "cause"),))


@dataclass
class Broker:
    """Topics, tables and how far each table is; the time is a count of messages."""

    topics: dict[str, list[list[RawMessage]]] = field(default_factory=dict)
    tables: dict[int, dict[bytes, bytes]] = field(default_factory=lambda: {p: {} for p in range(PARTITIONS)})
    applied: dict[tuple[str, int], int] = field(default_factory=dict)
    told: dict[int, list[bytes]] = field(default_factory=lambda: {p: [] for p in range(PARTITIONS)})

    def partitions(self, topic: str) -> list[list[RawMessage]]:
        return self.topics.setdefault(topic, [[] for _ in range(COUNTS.get(topic, 1))])

    def append(self, topic: str, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        parts = self.partitions(topic)
        part = parts[partition_for(key, len(parts))]
        at = T0 + sum(len(p) for ps in self.topics.values() for p in ps)
        part.append(RawMessage(len(part), at, key, value, tuple(headers)))


class Staged:
    """`runner.Host` for one worker. `flush` makes the staged durable and publishes it, as one."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.rows_: dict[int, dict[bytes, bytes | None]] = {}
        self.outputs: dict[int, list[Output]] = {}
        self.applied: dict[int, dict[str, int]] = {}
        self.failure: BaseException | None = None

    def stage(
        self,
        partition: int,
        *,
        rows: Mapping[bytes, bytes | None],
        outputs: Sequence[Output],
        applied: Mapping[str, int],
    ) -> None:
        self.rows_.setdefault(partition, {}).update(rows)
        self.outputs.setdefault(partition, []).extend(outputs)
        self.applied.setdefault(partition, {}).update(applied)

    def rows(self, partition: int) -> Iterable[tuple[bytes, bytes]]:
        return list(self.broker.tables[partition].items())

    def fail(self, error: BaseException) -> None:
        self.failure = error

    def drop(self, partition: int) -> None:
        for staged in (self.rows_, self.outputs, self.applied):
            staged.pop(partition, None)  # type: ignore[attr-defined]


class Worker:
    """A runner with its views read as far as they were when it came."""

    def __init__(self, broker: Broker, rules: Mapping[str, Rules], chance: random.Random) -> None:
        self.broker, self.rules, self.chance = broker, rules, chance
        self.host = Staged(broker)
        inputs = {t: rules[t] for t in Digest.inputs}
        views, tape = {t: rules[t] for t in VIEWS}, Tape()
        config = RunnerConfig(inputs=inputs, views=views, broker="", journal_topic="journal", tape=tape)
        self.runner = LayerRunner(Digest(tape), config, self.host)
        self.read: dict[tuple[str, int], int] = {}
        self.read_views(10**9)
        self.runner._reader.ready.set()

    def read_views(self, count: int) -> None:
        for _ in range(count):
            behind = [
                (t, p)
                for t in VIEWS
                for p, part in enumerate(self.broker.partitions(t))
                if self.read.get((t, p), 0) < len(part)
            ]
            if not behind:
                return
            topic, partition = self.chance.choice(behind)
            offset = self.read.get((topic, partition), 0)
            message = self.broker.partitions(topic)[partition][offset]
            self.read[topic, partition] = offset + 1
            rules = Rules(topic, self.rules[topic].records, 1, 10**12, 10**6)
            record = ViewRecord(topic, partition, offset, read_event(rules, partition, message), message)
            self.runner.take_views([record])

    def take_input(self, partition: int, count: int) -> None:
        topic = self.chance.choice(Digest.inputs)
        at = max(self.broker.applied.get((topic, partition), 0), self.next.get((topic, partition), 0))
        messages = self.broker.partitions(topic)[partition][at : at + count]
        if messages:
            self.next[topic, partition] = at + len(messages)
            self.runner.process(Batch(topic, partition, messages))

    next: dict[tuple[str, int], int]

    def gain(self, partition: int) -> None:
        self.next = {k: v for k, v in getattr(self, "next", {}).items() if k[1] != partition}
        self.runner.gained(partition)

    def flush(self, partition: int, *, repeated: bool = False) -> None:
        """`repeated`: a restore publishes the outputs once more."""
        host = self.host
        if not (host.rows_.get(partition) or host.outputs.get(partition) or host.applied.get(partition)):
            return
        outputs = [*host.outputs.get(partition, []), *self.runner.journal_of(partition)]
        table = self.broker.tables[partition]
        for key, row in host.rows_.get(partition, {}).items():
            if row is None:
                table.pop(key, None)
            else:
                table[key] = row
        for topic, offset in host.applied.get(partition, {}).items():
            self.broker.applied[topic, partition] = offset
        host.drop(partition)
        self.broker.told[partition] += [o.value or b"" for o in outputs if o.topic == "routing-decisions"]
        for output in outputs * (1 + repeated):
            self.broker.append(output.topic, output.key or b"", output.value, output.headers)

    def idle(self, partition: int, seconds: float) -> None:
        owned = self.runner.owned[partition]
        owned.heard_s -= seconds
        self.runner.commit(partition, owned, owned.on_silence())


class Run:
    """A random life of two workers and two partitions."""

    def __init__(self, seed: int) -> None:
        self.chance, self.broker, self.at, self.count = random.Random(seed), Broker(), T0, 0
        self.rules = {
            t: Rules(t, BY_NAME[t].records, COUNTS.get(t, 1), 10**12, 10**6) for t in (*Digest.inputs, *VIEWS)
        }
        self.feed(10)
        self.workers = [self.new_worker(), self.new_worker()]
        self.owner = [0, 1]
        for partition, worker in enumerate(self.owner):
            self.workers[worker].gain(partition)

    def new_worker(self) -> Worker:
        return Worker(self.broker, self.rules, self.chance)

    def feed(self, count: int) -> None:
        for _ in range(count):
            self.at += self.chance.choice((0, 1, 500, 3_000))
            self.count += 1
            key = f"k{self.chance.randrange(6)}"
            topic = self.chance.choice((INPUT, OTHER_INPUT, VIEW, VIEW, "assets"))
            self.broker.append(topic, key.encode(), *self._message(topic, key))

    def _message(self, topic: str, key: str) -> tuple[bytes | None, tuple[tuple[str, bytes], ...]]:
        record: Record | None = None
        if topic == INPUT:
            record = JobRequest(id=key, type=str(self.count), at=self.at)
        elif topic == OTHER_INPUT:
            record = JobOutcome(job_id=key, target_id=str(self.count), outcome=JobResult.FAILED, at=self.at)
        elif topic == VIEW:
            record = Performance(asset_id=key, at=self.at, window_s=1, samples=self.count)
        return (None if record is None else encode(record)), ()

    def act(self) -> None:
        partition = self.chance.randrange(PARTITIONS)
        worker = self.workers[self.owner[partition]]
        act = self.chance.choice(("feed", "views", "views", "input", "input", "flush", "idle", "move", "crash"))
        if act == "feed":
            self.feed(self.chance.randrange(1, 8))
        elif act == "views":
            self.chance.choice(self.workers).read_views(self.chance.randrange(1, 6))
        elif act == "input":
            worker.take_input(partition, self.chance.randrange(1, 4))
        elif act == "flush":
            worker.flush(partition, repeated=self.chance.random() < 0.3)
        elif act == "idle":
            worker.idle(partition, self.chance.uniform(0, 8))
        elif self.chance.random() < 0.4:
            self.hand_over(partition, crashed=act == "crash")

    def hand_over(self, partition: int, *, crashed: bool) -> None:
        old = self.owner[partition]
        if not crashed:
            self.workers[old].flush(partition)
            self.workers[old].runner.lost(partition)
            self.workers[old].host.drop(partition)
            self.owner[partition] = 1 - old
            self.workers[1 - old].gain(partition)
            return
        self.workers[old] = self.new_worker()
        for lost, owner in enumerate(self.owner):
            if owner == old:
                self.owner[lost] = self.chance.randrange(2)
                self.workers[self.owner[lost]].gain(lost)

    def end(self) -> None:
        for partition, owner in enumerate(self.owner):
            self.workers[owner].flush(partition)


def decided(run: Run) -> tuple[Exported, dict[int, list[bytes]], list[bytes]]:
    """What was exported; what was told live and by the replay, by partition."""
    file = io.BytesIO()
    exported = export_log(run.broker, file, Settings())
    lines = file.getvalue().splitlines(keepends=True)
    told: dict[int, list[bytes]] = {}
    for partition in range(PARTITIONS):
        mine = [raw for raw in lines if orjson.loads(raw)["to"] == f"routing:{partition}"]
        tape = Tape(replays=True)
        layers: dict[str, Any] = {"routing": Digest(tape)}
        told[partition] = [_value(out) for out in replay.run(mine, layers, tape=tape)]
    return exported, told, lines


def _value(output: bytes) -> bytes:
    return output[output.index(b',"value":') + len(b',"value":') : output.rindex(b',"cause":')]


def _live(run: Run, partition: int) -> list[bytes]:
    found = []
    for value in run.broker.told[partition]:
        record = decode((JobOutcome,), value)
        assert record is not None
        found.append(to_json(record))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_a_random_life_is_replayed_exactly(seed: int) -> None:
    async def play() -> Run:
        run = Run(seed)
        for _ in range(200):
            run.act()
        run.end()
        return run

    run = asyncio.run(play())
    exported, told, lines = decided(run)
    assert exported.missing == []
    for partition in range(PARTITIONS):
        live = _live(run, partition)
        assert live, "nothing was decided: the run shows nothing"
        assert told[partition] == live
    assert any(b'"said"' in line for line in lines), "no answer from outside was recorded"


def test_the_random_lives_have_everything_in_them() -> None:
    """Each kind of entry and line occurs; else the test above shows less than it says."""

    async def play() -> Run:
        run = Run(3)
        for _ in range(600):
            run.act()
        run.end()
        return run

    run = asyncio.run(play())
    entries = [e for m in run.broker.topics["journal"][0] for e in orjson.loads(m.value or b"[]")]
    assert {e[0] for e in entries} == {"flush", "start", "in", "view", "seen", "tick", "said"}
    flushes = [tuple(e[1:]) for e in entries if e[0] == "flush"]
    assert len(set(flushes)) < len(flushes), "no output was repeated"
    _, _, lines = decided(run)
    uses = {(heads.get("view"), "start" in heads) for heads in map(orjson.loads, lines)}
    assert {(None, False), ("see", False), ("show", False), ("kept", True), ("new", True)} <= uses


def test_what_is_not_in_the_log_any_more_is_said() -> None:
    async def play() -> Run:
        run = Run(5)
        for _ in range(200):
            run.act()
        run.end()
        return run

    run = asyncio.run(play())
    for part in run.broker.topics[INPUT]:
        del part[:2]
    exported, _, _ = decided(run)
    assert any("job-requests[" in text and "retention" in text for text in exported.missing)
    journal = run.broker.topics["journal"][0]
    names = [tuple(orjson.loads(m.value or b"[]")[0][1:]) for m in journal]
    lost = next((tenure, number) for tenure, number in names if (tenure, number + 1) in names)
    run.broker.topics["journal"][0] = [m for m, name in zip(journal, names, strict=True) if name != lost]
    exported, _, _ = decided(run)
    assert any(f"before message {lost[1] + 1} of {lost[0]}" in text for text in exported.missing)


def test_a_layer_without_input_does_not_collect_its_journal_for_ever() -> None:
    """Views go on while nothing is decided; what they add to the journal must not outgrow a record."""

    async def play() -> Run:
        run = Run(1)
        run.at = T0 + 3_000_000 - (T0 % 3)
        worker = run.workers[run.owner[0]]
        worker.flush(0)
        for n in range(2 * JOURNAL_ENTRIES):  # two partitions in turn: no two entries can be joined
            key = ("k0", "k1", "k2", "k3")[n % 4].encode()
            run.broker.append(VIEW, key, encode(Performance(asset_id=key.decode(), at=run.at, window_s=1, samples=n)))
            worker.read_views(1)
            assert len(worker.runner.owned[0].journal.entries) <= JOURNAL_ENTRIES + 50
            if worker.host.rows_.get(0):
                worker.flush(0)
        return run

    run = asyncio.run(play())
    longest = max(len(orjson.loads(m.value or b"[]")) for m in run.broker.topics["journal"][0])
    assert longest <= JOURNAL_ENTRIES + 50
