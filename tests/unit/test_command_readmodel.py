"""The read model on a real Redis: any order of writing gives one state, and it tells the same stories as the topics."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
import redis

from schemas.golden import examples
from schemas.records import (
    Anomaly,
    AnomalyKind,
    AnomalyState,
    Direction,
    JobRequest,
    Pause,
    PolicyRecord,
    Record,
    RegisteredAsset,
    Remediation,
    RemediationStatus,
    RoutingDecision,
    RoutingOutcome,
    Severity,
)
from streams.command.ledger import Entry, Ledger, story
from streams.command.ports import FeedError, Positions
from streams.command.projector import Projector
from streams.command.readmodel import ENTRY_TOPICS, LATEST_TOPICS, ReadModel
from topology.topics import BY_NAME

TYPES = {name: topic.records for name, topic in BY_NAME.items()}


@dataclass(frozen=True)
class Given:
    """A record as a feed gives it out."""

    topic: str
    offset: int
    key: str
    at: int
    value: Record | None
    id: str = ""
    partition: int = 0
    error: str = ""

    def entry(self) -> Entry | None:
        if self.value is None:
            return None
        place = f"{self.topic}:{self.partition}:{self.offset}"
        return Entry(self.id or place, self.topic, self.key, self.at, self.value, place)


def asset(offset: int, key: str, state: str) -> Given:
    return Given("assets", offset, key, 10 + offset, RegisteredAsset.model_validate({"id": key, "state": state}))


def anomaly(offset: int, name: str, at: int) -> Given:
    record = Anomaly(
        id=name, incident_id="inc-1", state=AnomalyState.OPENED, asset_id="a", metric="m", kind=AnomalyKind.SPIKE,
        severity=Severity.HIGH, score=9, direction=Direction.UP, value=9, expected=1, slope_per_s=0, confidence=1,
        at=at, started_at=at, cause_id="health-signals:0:1", reason="r",
    )  # fmt: skip
    return Given("anomalies", offset, "a", at, record, name)


def remediation(offset: int, name: str, at: int, cause: str) -> Given:
    record = Remediation(
        id=name, incident_id="inc-1", asset_id="a", strategy="restart", status=RemediationStatus.EXECUTING,
        action_id="act-1", cause_id=cause, reason="r", at=at,
    )  # fmt: skip
    return Given("remediations", offset, "a", at, record, name)


def decision(offset: int, name: str, job: str, at: int, cause: str) -> Given:
    record = RoutingDecision(
        id=name, job_id=job, revision=0, outcome=RoutingOutcome.ROUTED, target_id="a", registry_version="0",
        cause_id=cause, reason="r", at=at,
    )  # fmt: skip
    return Given("routing-decisions", offset, job, at, record, name, partition=2)


def pause(offset: int, holder: str) -> Given:
    record = PolicyRecord(id=f"pause:{holder}:*", kind="pause", version="1", pause=Pause(holder=holder), at=offset)
    return Given("policies", offset, record.id, offset, record)


LOG: list[Given] = [
    asset(0, "a", "registered"),
    asset(1, "b", "registered"),
    asset(2, "a", "updated"),
    Given("assets", 3, "b", 13, None),
    asset(4, "c", "registered"),
    anomaly(0, "an-1", 20),
    remediation(0, "re-1", 21, "an-1"),
    remediation(1, "re-2", 22, "re-1"),
    remediation(2, "re-1", 23, "an-1"),  # at least once: a repeat
    Given("job-requests", 0, "job-1", 5, JobRequest(id="job-1", at=5), "job-1", partition=2),
    decision(0, "de-1", "job-1", 6, "job-1"),
    decision(1, "de-2", "job-1", 24, "an-1"),
    pause(0, "ops"),
    pause(1, "ops"),
]
NAMES = ("inc-1", "an-1", "re-2", "act-1", "job-1", "de-2", "policies:0:0", "remediations:0:2", "nobody")


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url)
    client.flushall()
    yield client
    client.flushall()


@pytest.fixture
def model(server: redis.Redis) -> ReadModel:
    return ReadModel(server, TYPES)


def state(server: redis.Redis) -> dict[bytes, object]:
    """Everything but the times to live."""
    read = {b"hash": server.hgetall, b"string": server.get}
    keys: Sequence[bytes] = server.keys("maestro:*")  # type: ignore[assignment]
    return {
        key: server.zrange(key, 0, -1, withscores=True) if kind == b"zset" else read[kind](key)
        for key in sorted(keys)
        for kind in [server.type(key)]
    }  # type: ignore[misc, index]


@pytest.mark.parametrize("seed", range(10))
def test_the_order_of_writing_does_not_matter(server: redis.Redis, model: ReadModel, seed: int) -> None:
    model.write(LOG)
    expected = state(server)
    server.flushall()
    shuffled = [*LOG, *random.Random(seed).sample(LOG, 5)]
    random.Random(seed).shuffle(shuffled)
    for start in range(0, len(shuffled), 4):
        model.write(shuffled[start : start + 4])
    assert state(server) == expected


def test_the_newest_value_of_a_key_is_held_and_a_removed_key_is_not(model: ReadModel) -> None:
    model.write(reversed(LOG))
    registry = model.latest("assets")
    assert {k: v.state.value for k, v in registry.items() if isinstance(v, RegisteredAsset)} == {
        "a": "updated",
        "c": "registered",
    }
    assert model.latest_of("assets", "a") == registry["a"]
    assert model.latest_of("assets", "b") is None
    assert model.latest_of("assets", "nobody") is None


def test_the_first_copy_of_a_repeated_record_is_the_one_that_is_told(model: ReadModel) -> None:
    model.write(reversed(LOG))
    (held,) = model.find("re-1")
    assert (held.coordinates, held.at) == ("remediations:0:0", 21)
    assert [e.id for e in model.find("remediations:0:2")] == ["re-1"]


@pytest.mark.parametrize("name", NAMES)
def test_a_story_from_redis_equals_the_story_from_the_topics(model: ReadModel, name: str) -> None:
    model.write(LOG)
    ledger = Ledger(entry for given in LOG if (entry := given.entry()) is not None and given.topic in ENTRY_TOPICS)
    assert story(model, name) == ledger.story(name)
    assert bool(ledger.story(name)) == (name != "nobody")


def test_every_golden_record_comes_back_as_it_was(model: ReadModel) -> None:
    given = [
        Given(e.topic, i, e.key, e.at, e.record, f"id-{i}") for i, e in enumerate(examples()) if e.topic in ENTRY_TOPICS
    ]
    model.write(given)
    assert {g.topic for g in given} == ENTRY_TOPICS
    for one in given:
        assert model.find(one.id)[0].record == one.value


def test_entries_are_forgotten_after_their_time(server: redis.Redis) -> None:
    ReadModel(server, TYPES, keep_ms=60_000).write([anomaly(0, "an-1", 20)])
    for key in ("maestro:entry:an-1", "maestro:name:inc-1", "maestro:effects:health-signals:0:1"):
        assert 0 < int(server.pttl(key)) <= 60_000  # type: ignore[arg-type]


def test_positions_are_not_stored_over_an_emptied_model(server: redis.Redis, model: ReadModel) -> None:
    assert model.store_positions({("assets", 0): 5}, expect_some=False)
    assert model.store_positions({("job-requests", 3): 7}, expect_some=True)
    assert model.positions() == {("assets", 0): 5, ("job-requests", 3): 7}
    server.flushall()
    assert not model.store_positions({("assets", 0): 6}, expect_some=True)
    assert model.positions() == {}


class LogFeed:
    """Gives out a log two records at a time; what is appended later comes later."""

    def __init__(self, log: list[Given], positions: Positions) -> None:
        starts = dict(positions)
        self._left = [g for g in log if g.offset >= starts.get((g.topic, g.partition), 0)]
        self.closed = False

    def poll(self, wait_s: float) -> list[Given]:
        if not self._left:
            threading.Event().wait(0.005)
        out, self._left = self._left[:2], self._left[2:]
        return out

    @property
    def caught_up(self) -> bool:
        return not self._left

    def close(self) -> None:
        self.closed = True


class Broker:
    """Opens feeds on a log and remembers from where."""

    def __init__(self, log: list[Given]) -> None:
        self.log = log
        self.opened: list[dict[tuple[str, int], int]] = []
        self.feeds: list[LogFeed] = []
        self.down = 0

    def __call__(self, topics: Sequence[str], positions: Positions) -> LogFeed:
        assert set(topics) == ENTRY_TOPICS | LATEST_TOPICS
        if self.down:
            self.down -= 1
            raise FeedError("no Kafka")
        self.opened.append(dict(positions))
        self.feeds.append(LogFeed(self.log, positions))
        return self.feeds[-1]


def run(model: ReadModel, broker: Broker) -> Projector:
    projector = Projector(model, broker)
    projector.start()
    assert projector.wait_caught_up(20)
    return projector


def test_a_projector_fills_the_model_and_goes_on_from_where_it_was(server: redis.Redis, model: ReadModel) -> None:
    broker = Broker(LOG)
    first = run(model, broker)
    first.stop()
    filled = state(server)
    second = run(model, broker)
    second.stop()
    assert second.caught_up()
    assert (first.written, second.written) == (len(LOG), 0)
    assert broker.opened[0] == {}
    assert broker.opened[1][("assets", 0)] == 5
    assert state(server) == filled
    assert all(feed.closed for feed in broker.feeds)


def test_an_emptied_redis_is_filled_again_while_it_runs(server: redis.Redis, model: ReadModel) -> None:
    broker = Broker(LOG)
    projector = run(model, broker)
    filled = state(server)
    server.flushall()
    deadline = threading.Event()
    for _ in range(400):
        if state(server) == filled:
            break
        deadline.wait(0.05)
    projector.stop()
    assert state(server) == filled
    assert broker.opened == [{}, {}]


def test_a_broker_that_is_away_for_a_while_costs_only_time(server: redis.Redis, model: ReadModel) -> None:
    broker = Broker(LOG)
    broker.down = 2
    run(model, broker).stop()
    assert "a" in model.latest("assets")


def test_a_record_that_cannot_be_read_is_passed_by_and_is_no_tombstone(model: ReadModel) -> None:
    broken = replace(asset(9, "a", "updated"), value=None, error="undecodable: x")
    projector = run(model, Broker([*LOG, broken]))
    projector.stop()
    assert projector.refused == 1
    assert "a" in model.latest("assets")
    assert model.positions()[("assets", 0)] == 10
