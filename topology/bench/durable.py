"""`maestro bench routing --durable`: decisions a second of one worker, durable on Kafka, and the round trip of a job.

One routing worker in a process of its own beside an embedded Kafka, 1,000 candidates, of which 3 of 4 are eligible. A
backlog of jobs is there before it starts: a rate is what it publishes from the first quarter to the last, by broker
times, so what is started and compiled does not count. Then jobs come evenly: a round trip is from the broker's time of
a request to that of its decision.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psutil
from confluent_kafka import Consumer, TopicPartition

from schemas.codec import decode
from schemas.records import JobRequest, Performance, RoutingDecision
from topology.admin import TopicAdmin, WantedTopic, wanted_topics
from topology.bench.latency import cuts
from topology.bench.routing import asset, request
from topology.bench.watched import SideError, child, cpu_s, load_average
from topology.bench.work import PARTITIONS
from topology.client.publisher import Publisher, now_ms
from topology.embedded import embedded_kafka
from topology.settings import Settings

CANDIDATES = 1_000
START_S, STUCK_S = 120.0, 30.0
SETTLE_S = 5.0
"""Until what the backlog left to be flushed is flushed."""
STAMPED = {"message.timestamp.type": "LogAppendTime"}
WATCHED = ("job-requests", "routing-decisions")


@dataclass(slots=True)
class Seen:
    """Broker times (ms) of requests and of the first decision for each job."""

    requests: dict[str, int] = field(default_factory=dict)
    decisions: dict[str, int] = field(default_factory=dict)


class Watcher:
    def __init__(self, broker: str) -> None:
        self.seen = Seen()
        self._consumer = Consumer({"bootstrap.servers": broker, "group.id": "bench-routing"})
        self._consumer.assign([TopicPartition(t, p, 0) for t in WATCHED for p in range(PARTITIONS)])

    def until(self, decisions: int, first_within_s: float) -> None:
        """Reads until there are so many; SideError if nothing comes for a while."""
        deadline = time.monotonic() + first_within_s
        while len(self.seen.decisions) < decisions:
            for message in self._consumer.consume(1_000, 1.0):
                self._take(message.topic(), message.key().decode(), message.timestamp()[1], message.value())
                if message.topic() == WATCHED[1]:
                    deadline = time.monotonic() + STUCK_S
            if time.monotonic() > deadline:
                raise SideError(f"{len(self.seen.decisions)} of {decisions} decisions, and no more come")

    def _take(self, topic: str, key: str, at: int, data: bytes) -> None:
        if topic == WATCHED[0]:
            self.seen.requests[key] = at
        elif key not in self.seen.decisions:
            if not self.seen.decisions:
                self._check(data)
            self.seen.decisions[key] = at

    def _check(self, data: bytes) -> None:
        decision = decode((RoutingDecision,), data)
        if not isinstance(decision, RoutingDecision) or decision.target_id is None:
            raise SideError(f"not a routed job: {decision}")


def figures(
    backlog: int, rates: tuple[float, ...], seconds: float, kinds: int = 1, changing: bool = False
) -> Iterator[dict[str, object]]:
    """`kinds` of jobs come in turn; `changing`: each second a measurement comes, after which no plan is known."""
    settings = Settings(partitions=PARTITIONS)
    with embedded_kafka() as kafka, tempfile.TemporaryDirectory(prefix="maestro-bench-") as folder:
        TopicAdmin(kafka.bootstrap).create([_stamped(wanted) for wanted in wanted_topics(settings)])
        publisher = Publisher(kafka.bootstrap)
        for i in range(CANDIDATES):
            publisher.publish("assets", asset(i).model_copy(update={"capacity_units": 1e6}))
        _send(publisher, range(backlog), None, kinds)
        env = {"MAESTRO_BROKER": kafka.bootstrap, "MAESTRO_STATE_DIR": folder, "MAESTRO_PARTITIONS": str(PARTITIONS)}
        command = [sys.executable, "-m", "topology", "worker", "--layers", "routing"]
        with child(command, env) as worker, _measurements(publisher if changing else None):
            watcher, process = Watcher(kafka.bootstrap), psutil.Process(worker.pid)
            watcher.until(backlog // 4, START_S)
            before = cpu_s(process), len(watcher.seen.decisions)
            watcher.until(backlog, STUCK_S)
            cpu_us = (cpu_s(process) - before[0]) / (backlog - before[1]) * 1e6
            yield {"what": "backlog", **_rate(watcher.seen, backlog), "kinds": kinds, "changing": changing,
                   "cpu_us": cpu_us, "load_average": load_average()}  # fmt: skip
            sent = backlog
            time.sleep(SETTLE_S)
            for rate in rates:
                jobs = range(sent, sent + int(rate * seconds))
                _send(publisher, jobs, rate, kinds)
                sent = jobs.stop
                watcher.until(sent, STUCK_S)
                seen = watcher.seen
                ms = [seen.decisions[f"job-{i}"] - seen.requests[f"job-{i}"] for i in jobs]
                yield {"what": "round trip", "rate": rate, **cuts(ms), "load_average": load_average()}


def _stamped(wanted: WantedTopic) -> WantedTopic:
    return replace(wanted, config={**wanted.config, **STAMPED}) if wanted.name in WATCHED else wanted


@contextmanager
def _measurements(publisher: Publisher | None) -> Iterator[None]:
    """Until the end one record on `performance` each second, of one candidate after the other; None = none."""
    over = threading.Event()

    def measure(publisher: Publisher) -> None:
        for i in itertools.count():
            if over.wait(1.0):
                return
            at, name = now_ms(), f"svc-{i % CANDIDATES:05d}"
            publisher.publish(
                "performance", Performance(asset_id=name, at=at, window_s=300, samples=10, latency_ms_p95=25 + i % 380)
            )

    thread = threading.Thread(target=measure, args=(publisher,), daemon=True)
    if publisher is not None:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if publisher is not None:
            thread.join()


def _send(publisher: Publisher, jobs: range, rate: float | None, kinds: int) -> None:
    begun = time.monotonic()
    for n, i in enumerate(jobs):
        kind = {"metadata": {"number": i % kinds}} if kinds > 1 else {}
        job: JobRequest = request(i, alike=True).model_copy(update={"at": now_ms(), **kind})
        publisher.publish("job-requests", job)
        if rate is not None:
            time.sleep(max(0.0, begun + n / rate - time.monotonic()))
    publisher.flush(120)


def _rate(seen: Seen, backlog: int) -> dict[str, object]:
    times = sorted(seen.decisions.values())
    first, last = times[len(times) // 4], times[-1]
    per_s = (backlog - len(times) // 4) / max(1, last - first) * 1000
    return {"decisions": backlog, "candidates": CANDIDATES, "per_s": per_s}


def text(row: Mapping[str, Any]) -> str:
    if row["what"] == "backlog":
        return (
            "{decisions:,} jobs of {kinds} kinds, {candidates:,} candidates each, a view that {view}: "
            "{per_s:,.0f} durable decisions/s of one worker, "
            "{cpu_us:,.0f} us CPU each, load average {load_average:.1f}"
        ).format(**row, view="changes each second" if row["changing"] else "stays as it is")
    if row["p50_ms"] is None:
        return "{rate:g} jobs/s: only {count}, too few to say".format(**row)
    return (
        "{rate:g} jobs/s: round trip p50 {p50_ms:.0f} ms, p99 {p99_ms:.0f} ms, most {most_ms} ms of {count}, "
        "load average {load_average:.1f}"
    ).format(**row)
