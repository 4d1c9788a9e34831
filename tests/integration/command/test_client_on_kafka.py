"""`MaestroConductor` against a real Kafka and a real Redis. No worker runs: what layers would say is published here."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
import redis

from schemas.records import (
    Anomaly,
    AnomalyKind,
    AnomalyState,
    Asset,
    Direction,
    HealthSignal,
    HealthSignalBatch,
    JobOutcome,
    JobRequest,
    JobResult,
    RegisteredAsset,
    Remediation,
    RemediationStatus,
    RoutingDecision,
    RoutingOutcome,
    Severity,
)
from streams.atleastonce.batch import partition_for
from streams.command.ports import FeedError
from topology.client import (
    AsyncMaestroConductor,
    DeliveryError,
    MaestroConductor,
    now_ms,
    projector,
)
from topology.client.reading import TopicReader
from topology.settings import SettingsError

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


def decision(job_id: str, cause_id: str, record_id: str, at: int, target: str | None = "a") -> RoutingDecision:
    outcome = RoutingOutcome.ROUTED if target else RoutingOutcome.UNROUTABLE
    return RoutingDecision(
        id=record_id, job_id=job_id, revision=0, outcome=outcome, target_id=target, registry_version="0",
        cause_id=cause_id, reason="cheapest of 1", at=at,
    )  # fmt: skip


class FakeRouter(threading.Thread):
    """Answers job requests as the routing layer would, after saying something about the job that answers nothing."""

    def __init__(self, broker: str, prefix: str) -> None:
        super().__init__(daemon=True)
        self.reader = TopicReader(broker, ["job-requests"], from_beginning=False)
        self.client = MaestroConductor(broker)
        self.prefix = prefix
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            for read in self.reader.poll(0.1):
                job = read.value
                if isinstance(job, JobRequest) and job.id.startswith(self.prefix):
                    other = decision(job.id, "an-old-incident", f"{job.id}-pivot", job.at)
                    answer = decision(job.id, job.id, f"{job.id}-answer", job.at)
                    for one in (other, answer):
                        self.client.publisher.publish("routing-decisions", one)
                    self.client.publisher.flush()
        self.reader.close()

    def __enter__(self) -> FakeRouter:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stopping.set()
        self.join(10)


def test_samples_reach_the_partition_of_their_asset(conductor: MaestroConductor, unique: str) -> None:
    given = [
        HealthSignal(
            asset_id=f"{unique}-{i % 11}", metric="latency_ms", unit="ms", value=i / 7, at=1_700_000_000_000 + i
        )
        for i in range(2_000)
    ]
    with conductor.reader("health-signals") as reader:
        assert conductor.ingest_health_signals(given) == 2_000
        found: list[tuple[str, int, float]] = []
        partitions = conductor.publisher.partitions_of("health-signals")
        for read in reader.follow(20):
            batch = read.value
            if isinstance(batch, HealthSignalBatch) and batch.series[0].asset_id.startswith(unique):
                for index, at, value in zip(batch.series_index, batch.at, batch.value, strict=True):
                    key = batch.series[index]
                    assert partition_for(key.asset_id.encode(), partitions) == read.partition
                    assert (key.metric, key.unit) == ("latency_ms", "ms")
                    found.append((key.asset_id, at, value))
            if len(found) == 2_000:
                break
    assert sorted(found, key=lambda s: s[1]) == [(s.asset_id, s.at, s.value) for s in given]
    for name in {s.asset_id for s in given}:
        times = [at for asset, at, _ in found if asset == name]
        assert times == sorted(times)


def test_a_single_sample_keeps_its_tags_and_is_keyed_by_its_asset(conductor: MaestroConductor, unique: str) -> None:
    signal = HealthSignal(asset_id=unique, metric="m", value=1, at=5, tags={"k": "v"}, trace_id="ab")
    with conductor.reader("health-signals") as reader:
        conductor.ingest_health_signal(signal)
        read = next(r for r in reader.follow(20) if r.key == unique)
    assert read.value == signal
    assert read.raw.headers == [("content-type", b"avro/binary")]


def test_a_job_waits_for_the_decision_that_its_request_caused(
    topics: str, conductor: MaestroConductor, unique: str
) -> None:
    with FakeRouter(topics, unique):
        for n in range(5):
            job = JobRequest(id=f"{unique}-{n}", at=now_ms())
            answer = conductor.submit_job(job, wait_s=20)
            assert answer is not None
            assert answer.id == f"{job.id}-answer"


def test_without_a_router_the_wait_ends_and_the_job_is_there(conductor: MaestroConductor, unique: str) -> None:
    started_s = time.monotonic()
    assert conductor.submit_job(JobRequest(id=unique, at=now_ms()), wait_s=1.0) is None
    assert 0.9 < time.monotonic() - started_s < 10
    assert conductor.submit_job(JobRequest(id=f"{unique}-2", at=now_ms())) is None
    with conductor.reader("job-requests", from_beginning=True) as reader:
        assert {unique, f"{unique}-2"} <= {read.key for read in reader.read_all()}


def test_decisions_of_one_job_and_of_all(conductor: MaestroConductor, unique: str) -> None:
    mine = [decision(f"{unique}-a", "x", f"{unique}-{n}", n) for n in range(3)]
    other = decision(f"{unique}-b", "x", f"{unique}-9", 9)
    for one in (*mine, other):
        conductor.publisher.publish("routing-decisions", one)
    conductor.publisher.flush()
    assert list(conductor.decisions(f"{unique}-a", from_beginning=True, timeout_s=0)) == mine
    everything = [d.id for d in conductor.decisions(from_beginning=True, timeout_s=0) if d.id.startswith(unique)]
    assert sorted(everything) == sorted(d.id for d in (*mine, other))
    assert list(conductor.decisions(f"{unique}-a", timeout_s=0.5)) == []


def test_decisions_are_heard_from_the_call_on(conductor: MaestroConductor, unique: str) -> None:
    heard = conductor.decisions(unique, timeout_s=20)
    late = decision(unique, "x", f"{unique}-late", 1)
    conductor.publisher.publish("routing-decisions", late)
    conductor.publisher.flush()
    assert next(heard) == late


def test_a_pause_is_one_record_of_its_holder(conductor: MaestroConductor, unique: str) -> None:
    first = conductor.pause(f"{unique}-ops", "tenant:acme", reason="deploy")
    conductor.pause(f"{unique}-release", "tenant:acme")
    last = conductor.resume(f"{unique}-ops", "tenant:acme")
    assert first.id == last.id
    with conductor.reader("policies", from_beginning=True) as reader:
        newest = {read.key: read.value for read in reader.read_all() if unique in read.key}
    assert newest[first.id] == last
    lifted = [r.pause.lifted for r in newest.values() if r is not None and r.pause is not None]  # type: ignore[union-attr]
    assert sorted(lifted) == [False, True]


def test_outcomes_and_discovery_go_to_their_topics(conductor: MaestroConductor, unique: str) -> None:
    outcome = JobOutcome(job_id=unique, target_id="a", outcome=JobResult.FAILED, error="boom", at=1)
    conductor.report_outcome(outcome)
    conductor.register_asset(Asset(id=unique), source="test", scope="test/1", at=7)
    conductor.remove_asset(unique, source="test", scope="test/1", at=8)
    with conductor.reader("job-outcomes", "discovery-events", from_beginning=True) as reader:
        reads = [read for read in reader.read_all() if read.key == unique]
    assert [r.value for r in reads if r.topic == "job-outcomes"] == [outcome]
    assert [r.value.op.value for r in reads if r.topic == "discovery-events"] == ["upsert", "delete"]  # type: ignore[union-attr]


def publish_story(conductor: MaestroConductor, unique: str) -> None:
    """A sample in a batch, the incident it opened, the action, the job that pivoted, an asset and its removal."""
    with conductor.reader("health-signals") as reader:
        conductor.ingest_health_signals(
            [HealthSignal(asset_id=unique, metric="latency_ms", unit="ms", value=v, at=10) for v in (100.0, 900.0)]
        )
        sample = next(read for read in reader.follow(20) if read.key == unique)
    anomaly = Anomaly(
        id=f"{unique}-an", incident_id=f"{unique}-inc", state=AnomalyState.OPENED, asset_id=unique, metric="latency_ms",
        kind=AnomalyKind.SPIKE, severity=Severity.HIGH, score=9, direction=Direction.UP, value=900, expected=100,
        slope_per_s=0, confidence=1, at=11, started_at=10, cause_id=f"{sample.coordinates}#1", reason="900 ms",
    )  # fmt: skip
    action = Remediation(
        id=f"{unique}-re", incident_id=f"{unique}-inc", asset_id=unique, strategy="failover", action_id=f"{unique}-act",
        status=RemediationStatus.EXECUTING, cause_id=anomaly.id, reason="drain", at=12,
    )  # fmt: skip
    publisher = conductor.publisher
    publisher.publish("anomalies", anomaly)
    publisher.publish("remediations", action)
    publisher.publish("routing-decisions", decision(f"{unique}-job", anomaly.id, f"{unique}-de", 13, "b"))
    for name in (unique, f"{unique}-gone"):
        publisher.publish("assets", RegisteredAsset(id=name))
    publisher.remove("assets", f"{unique}-gone")
    publisher.flush()


def test_explain_and_registry_say_the_same_from_redis_as_from_the_topics(
    topics: str, conductor: MaestroConductor, unique: str, redis_url: str
) -> None:
    server = redis.Redis.from_url(redis_url)
    server.flushall()
    publish_story(conductor, unique)
    from_topics = {name: conductor.explain(f"{unique}-{name}") for name in ("inc", "an", "act", "de", "job")}
    projecting = projector(topics, redis_url)
    projecting.start()
    try:
        assert projecting.wait_caught_up(60)
    finally:
        projecting.stop()
    with MaestroConductor(topics, redis_url=redis_url) as quick:
        for name, story in from_topics.items():
            told = quick.explain(f"{unique}-{name}")
            assert (told.source, story.source) == ("read model", "topics")
            assert (told.entries, told.sentences) == (story.entries, story.sentences)
        assert quick.registry() == conductor.registry()
    told = from_topics["inc"]
    assert [e.topic for e in told.entries] == ["health-signals", "anomalies", "remediations", "routing-decisions"]
    assert told.sentences[0] == f"latency_ms of {unique} was 900 ms"
    registry = conductor.registry()
    assert unique in registry
    assert f"{unique}-gone" not in registry
    server.flushall()


def test_an_unknown_id_has_no_story_and_coordinates_have_one(conductor: MaestroConductor, unique: str) -> None:
    publish_story(conductor, unique)
    assert not conductor.explain(f"{unique}-nobody")
    assert not conductor.explain("health-signals:0:999999999")
    assert not conductor.explain("health-signals:999:0")
    cause = conductor.explain(f"{unique}-an").entries[0]
    assert conductor.explain(cause.id).entries[0] == cause
    assert conductor.explain(cause.coordinates).sentences[0] == "2 samples of 1 series"


def test_with_redis_away_or_empty_the_topics_are_asked(topics: str, unique: str, redis_url: str) -> None:
    redis.Redis.from_url(redis_url).flushall()
    with MaestroConductor(topics) as conductor:
        publish_story(conductor, unique)
    for url in (redis_url, "redis://127.0.0.1:1/0"):
        with MaestroConductor(topics, redis_url=url) as conductor:
            assert conductor.explain(f"{unique}-inc").source == "topics"
            assert unique in conductor.registry()


def test_what_is_published_to_no_topic_is_an_error_at_once(kafka: str) -> None:
    with MaestroConductor(kafka) as conductor, pytest.raises(DeliveryError, match="topics create"):
        conductor.publisher.partitions_of("no-such-topic")
    with pytest.raises(FeedError, match="topics create"):
        TopicReader(kafka, ["no-such-topic"], from_beginning=True)


def test_no_broker_is_said_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAESTRO_BROKER", raising=False)
    with pytest.raises(SettingsError, match="MAESTRO_BROKER"):
        MaestroConductor()


async def test_the_asynchronous_client_does_the_same(topics: str, unique: str) -> None:
    async with AsyncMaestroConductor(topics) as maestro:
        with FakeRouter(topics, unique):
            jobs = [JobRequest(id=f"{unique}-{n}", at=now_ms()) for n in range(4)]
            answers = await asyncio.gather(*(maestro.submit_job(job, wait_s=20) for job in jobs))
        assert [a.id for a in answers if a is not None] == [f"{job.id}-answer" for job in jobs]
        found = [d.id async for d in maestro.decisions(jobs[0].id, from_beginning=True, timeout_s=0)]
        assert found == [f"{jobs[0].id}-pivot", f"{jobs[0].id}-answer"]
        assert await maestro.submit_job(JobRequest(id=f"x{unique}", at=now_ms()), wait_s=0.5) is None
        assert (await maestro.explain(jobs[0].id)).entries
        assert (await maestro.pause(unique)).pause is not None


async def test_a_cancelled_listener_leaves_nothing_behind(topics: str, unique: str) -> None:
    async with AsyncMaestroConductor(topics) as maestro:

        async def listen() -> None:
            async for _ in maestro.decisions(unique):
                pass

        task = asyncio.create_task(listen())
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 15)
