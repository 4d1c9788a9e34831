"""Two live workers decide exactly as the replay of their log: faults, jobs, bad input and a rebalance included."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from schemas.records import DiscoveryEvent, HealthSignal, JobOutcome, JobRequest, JobResult, Op, PolicyRecord, PolicySet
from topology.client.publisher import Publisher
from topology.demo.fleet import SCOPE, SOURCE, Fault, Fleet

POLICIES = Path(__file__).parents[3] / "docs" / "examples" / "policies"
T0 = 1_700_000_000_000
STEP_MS = 5_000
STEPS = 160
FAULTS = {90: ("render-aws", Fault.SLOW), 100: ("checkout-gcp", Fault.HUNG), 110: ("ingest-azure", Fault.OVERLOADED)}
JOIN_AT = 50
"""When the second worker comes, so that partitions with a past change hands."""
JOB_TYPES = ("render", "ingest", "checkout")


def world(publisher: Publisher, fleet: Fleet) -> None:
    files = {f.name: f.read_text() for f in sorted(POLICIES.glob("*.cedar"))}
    policy = PolicyRecord(
        id="rules", kind="policy_set", version="1", policy_set=PolicySet(files=files), at=T0 - 2 * STEP_MS
    )
    publisher.publish("policies", policy)
    at = T0 - STEP_MS
    said = {"source": SOURCE, "scope": SCOPE, "snapshot_id": "s1", "at": at}
    publisher.publish("discovery-events", DiscoveryEvent(op=Op.SNAPSHOT_BEGIN, **said), SCOPE)
    for asset in fleet.assets():
        publisher.publish("discovery-events", DiscoveryEvent(op=Op.UPSERT, asset_id=asset.id, asset=asset, **said))
    publisher.publish("discovery-events", DiscoveryEvent(op=Op.SNAPSHOT_COMPLETE, **said), SCOPE)


def bad_input(broker: str) -> None:
    """A NaN, half a record, and a sample on a partition that is not its key's."""
    producer = Producer({"bootstrap.servers": broker})
    nan = b'{"asset_id": "render-aws", "metric": "latency_ms", "value": NaN, "at": 1700000000001}'
    lost = HealthSignal(asset_id="render-gcp", metric="latency_ms", value=120.0, unit="ms", at=T0 + 1).model_dump_json()
    for partition in range(4):
        producer.produce("health-signals", nan, b"render-aws", partition=partition)
        producer.produce("health-signals", b'{"asset_id": "rend', b"render-aws", partition=partition)
        producer.produce("health-signals", lost.encode(), b"render-gcp", partition=partition)
        producer.produce("job-requests", b'{"id": "job-lost", "at": 1700000000001}', b"job-lost", partition=partition)
    assert producer.flush(30) == 0


def play(live: Any) -> None:
    fleet, publisher = Fleet(), Publisher(live.broker)
    world(publisher, fleet)
    bad_input(live.broker)
    for step in range(STEPS):
        at = T0 + step * STEP_MS
        if step in FAULTS:
            fleet.break_down(*FAULTS[step])
        publisher.publish_signals(fleet.signals(at))
        if step % 8 == 5:
            wanted = JOB_TYPES[step // 8 % 3]
            publisher.publish(
                "job-requests",
                JobRequest(id=f"job-{step}", type=wanted, tenant="demo", required_capabilities=(wanted,), at=at),
            )
        if step % 40 == 39:
            failed = JobOutcome(job_id=f"job-{step - 2}", target_id="render-gcp", outcome=JobResult.FAILED, at=at)
            publisher.publish("job-outcomes", failed)
        publisher.flush()
        if step == JOIN_AT:
            live.start("two")
            threading.Thread(target=live.ready, args=("two",)).start()
        time.sleep(0.01 if step < JOIN_AT else 0.05)


def test_two_live_workers_decide_as_the_replay_of_their_log(live: Any) -> None:
    live.fields |= {"optimisation": {"look_every_s": 2, "performance_refresh_s": 3}}
    live.start("one")
    live.ready("one")
    play(live)
    live.ready("two")
    live.wait(lambda: all(len(live.owners(layer)) == 2 for layer in ("telemetry", "routing")), "two members")
    live.wait(lambda: min(live.owners("telemetry")) > 0, "both own partitions")
    owned = {layer: live.owners(layer) for layer in ("telemetry", "optimisation", "routing")}
    live.wait_caught_up()
    live.wait(lambda: live.journalled("tick"), "the idle clock has fired a timer")
    assert live.stop() == [0, 0], live.logs()
    exported, replayed = live.replayed()
    decided = live.decided()
    assert exported.missing == []
    assert all(min(counts) > 0 and len(counts) == 2 for counts in owned.values()), owned
    for topic, of_key in decided.items():
        assert replayed[topic].keys() == of_key.keys(), topic
        for key, records in of_key.items():
            assert replayed[topic][key] == records, (topic, key)
    for topic in ("anomalies", "remediations", "recommendations", "routing-decisions", "performance", "assets"):
        assert decided[topic], f"nothing on {topic}: the run shows nothing"
