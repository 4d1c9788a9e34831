"""Healing and routing spend of one budget: what one has committed makes the other refuse, in live workers on Kafka.

jobs 6 of 40 ──► healing's standby of 35 is refused ── the job ends ──► healing commits 35 ──► a job is refused
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from schemas.records import (
    Anomaly,
    AnomalyKind,
    AnomalyState,
    Asset,
    Capability,
    Direction,
    DiscoveryEvent,
    JobOutcome,
    JobRequest,
    JobResult,
    Op,
    Severity,
)
from streams.kit import ids
from topology.client import governance
from topology.client.publisher import Publisher

SOURCE, SCOPE = "test", "test/shop"
JOB_USD, STANDBY_USD, LIMIT_USD = 6.0, 35.0, 40.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def register(publisher: Publisher) -> None:
    """A runner of jobs, and two services, each with a standby."""
    runner = (Capability(name="render", latency_ms=100.0, reliability=0.99),)
    assets = [Asset(id="runner", kind="job_runner", tenant="acme", capabilities=runner, cost_usd_per_hour=JOB_USD)]
    for name in ("one", "two"):
        labels = {"standby": "true", "pool": f"spare-{name}"}
        assets += [
            Asset(id=f"svc-{name}", tenant="acme", labels={"pool": name}, fallback_ids=(f"spare-{name}",)),
            Asset(id=f"spare-{name}", tenant="acme", labels=labels, cost_usd_per_hour=STANDBY_USD),
        ]
    said = {"source": SOURCE, "scope": SCOPE, "snapshot_id": "s1", "at": now_ms()}
    publisher.publish("discovery-events", DiscoveryEvent(op=Op.SNAPSHOT_BEGIN, **said), SCOPE)
    for asset in assets:
        publisher.publish("discovery-events", DiscoveryEvent(op=Op.UPSERT, asset_id=asset.id, asset=asset, **said))
    publisher.publish("discovery-events", DiscoveryEvent(op=Op.SNAPSHOT_COMPLETE, **said), SCOPE)
    publisher.flush()


def ill(publisher: Publisher, asset_id: str) -> None:
    at = now_ms()
    publisher.publish(
        "anomalies",
        Anomaly(
            id=ids.derive("anomaly", asset_id), incident_id=f"incident-{asset_id}", state=AnomalyState.OPENED,
            asset_id=asset_id, metric="latency_ms", kind=AnomalyKind.SPIKE, severity=Severity.CRITICAL, score=12.5,
            direction=Direction.UP, value=420.0, expected=110.0, slope_per_s=0.0, confidence=0.95, at=at,
            started_at=at, cause_id="signal-1", reason="420 ms against 110",
        ),
    )  # fmt: skip
    publisher.flush()


def route(live: Any, publisher: Publisher, job_id: str) -> dict[str, Any]:
    job = JobRequest(id=job_id, tenant="acme", required_capabilities=("render",), at=now_ms())
    publisher.publish("job-requests", job)
    publisher.flush()
    live.wait(lambda: live.values("routing-decisions", job_id=job_id), f"a decision about {job_id}")
    return live.values("routing-decisions", job_id=job_id)[0]


def spent(live: Any, layer: str) -> list[int]:
    """Micro-USD an hour of each record that the layer told, without its tombstones."""
    found = [v for v in live.values("spending") if v is not None and v["layer"] == layer]
    return [v["micro_usd_per_hour"] for v in found]


@pytest.mark.timeout(240)
def test_healing_and_routing_refuse_what_the_other_has_spent_and_the_replay_does_too(live: Any) -> None:
    for name in ("first", "second"):
        live.start(name)
        live.ready(name)
    publisher = Publisher(live.broker)
    register(publisher)
    live.wait(lambda: len(live.values("assets")) == 5, "the assets are registered")
    budget = governance.budget("tenant:acme", LIMIT_USD, author="ada", reason="a test", at=now_ms())
    publisher.publish("policies", budget)
    publisher.flush()
    time.sleep(1)
    named = f"{budget.id}@{budget.version}"

    assert route(live, publisher, "job-1")["target_id"] == "runner"
    live.wait(lambda: spent(live, "routing") == [6_000_000], "routing has told what its job spends")
    time.sleep(0.5)
    ill(publisher, "svc-one")
    live.wait(lambda: live.values("remediations", asset_id="svc-one", status="denied"), "healing refuses")
    (denied,) = live.values("remediations", asset_id="svc-one", status="denied")
    assert (
        f"budget {named} of tenant:acme, 40.00 USD/h: spent 6.00 by jobs and 0.00 by healing, 34.00 left, needs 35.00"
        in denied["reason"]
    )

    ended = JobOutcome(job_id="job-1", target_id="runner", outcome=JobResult.SUCCEEDED, at=now_ms())
    publisher.publish("job-outcomes", ended)
    publisher.flush()
    live.wait(lambda: spent(live, "routing") == [6_000_000, 0], "routing has told that its job has ended")
    time.sleep(0.5)
    ill(publisher, "svc-two")
    live.wait(lambda: spent(live, "healing") == [35_000_000], "healing has committed a standby")
    time.sleep(0.5)
    refused = route(live, publisher, "job-2")
    assert refused["outcome"] == "unroutable"
    assert f"budget {named} of tenant:acme: 0.00 of 1.25 (of 40.00 less 35.00 spent by healing" in refused["reason"]

    live.wait_caught_up()
    assert live.stop() == [0, 0], live.logs()
    exported, replayed = live.replayed()
    assert exported.missing == []
    decided = live.decided()
    for topic in ("spending", "remediations", "routing-decisions"):
        assert decided[topic] == replayed[topic], topic
