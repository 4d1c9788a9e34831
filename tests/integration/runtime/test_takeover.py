"""All layers in two processes, one killed with -9 in mid-stream: no decision is lost, none is made twice.

The oracle is the same engine in a plain partition driver, fed the same samples one by one.
"""

from __future__ import annotations

import math
import random
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

from schemas.codec import decode
from schemas.records import (
    Anomaly,
    AnomalyKind,
    Asset,
    AssetKind,
    Capability,
    DiscoveryEvent,
    HealthSignal,
    JobRequest,
    Op,
    Performance,
    Record,
    RoutingDecision,
)
from streams.atleastonce import partition_for
from streams.kit.layer import Event
from streams.kit.partition import Partition
from streams.optimisation.engine import OptimisationLayer
from streams.telemetry.engine import TelemetryLayer
from topology.settings import Settings
from topology.topics import BY_NAME

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
TICKS = 150
TICK_MS = 60_000
"""Longer in event time than a takeover takes on the wall: idle clocks must not outrun samples that only wait."""
START = time.time_ns() // 1_000_000 - (TICKS + 30) * TICK_MS
ASSETS = tuple(f"asset-{n:02d}" for n in range(16))
UNITS = {"latency_ms": "ms", "queue_depth": "1"}
KILLED_AT, STARTED_AT = 50, 90


def value(asset: str, metric: str, tick: int) -> float:
    """A noise of its own, and one jump at a time of its own, in ten of the sixteen assets."""
    noise = random.Random(f"{asset} {metric} {tick}").gauss(0, 2)
    number = ASSETS.index(asset)
    jumped = number < 10 and 0 <= tick - (40 + 8 * number) < 5
    return 100 + noise + 5 * math.sin(tick / 9) + (400 if jumped else 0)


def samples(tick: int) -> list[HealthSignal]:
    at = START + tick * TICK_MS
    return [
        HealthSignal(asset_id=asset, metric=metric, value=value(asset, metric, tick), unit=unit, at=at, source="test")
        for asset in ASSETS
        for metric, unit in UNITS.items()
    ]


def expected() -> dict[str, Anomaly]:
    """The incidents' records by id, of a run without Kafka."""
    layer = TelemetryLayer(Settings().telemetry)
    partition = Partition(layer, layer.new_view())
    found: dict[str, Anomaly] = {}
    for tick in range(TICKS):
        for signal in samples(tick):
            event = Event("health-signals", signal.asset_id, signal, signal.at, "oracle")
            found |= {a.id: a for e in partition.on_event(event) if isinstance(a := e.value, Anomaly)}
    return found


def without_causes(record: Record) -> dict[str, Any]:
    """Causes are coordinates, which the oracle has none of."""
    return {name: value for name, value in record.model_dump().items() if name != "cause_id"}


def asset(name: str) -> DiscoveryEvent:
    found = Asset(id=name, kind=AssetKind.JOB_RUNNER, capabilities=(Capability(name="render"),), capacity_units=2.0)
    return DiscoveryEvent(source="test", scope="all", op=Op.UPSERT, asset=found, at=START)


@pytest.fixture(scope="module")
def survived(lab: Any) -> Any:
    """Two workers, then one, then two; the stream goes on all the while."""
    lab.start("first")
    lab.start("second")
    for name in ASSETS:
        lab.send("discovery-events", asset(name))
    lab.flush()
    lab.wait(lambda: len(lab.records("assets")) >= len(ASSETS))
    for tick in range(TICKS):
        for signal in samples(tick):
            lab.send("health-signals", signal)
        if tick % 2 == 0:
            job = JobRequest(id=f"job-{tick:03d}", required_capabilities=("render",), at=START + tick * TICK_MS)
            lab.send("job-requests", job)
        if tick == KILLED_AT:
            lab.kill("second")
        if tick == STARTED_AT:
            lab.start("third", wait=False)
        lab.flush()
        time.sleep(0.1)
    lab.wait(lambda: "ready" in (lab.folder / "third.out").read_text(), 90)
    lab.wait(lambda: lab.caught_up(), 120)
    return lab


def test_every_incident_is_told_as_a_run_without_kafka_tells_it(survived: Any) -> None:
    told = {a.id: a for a in survived.records("anomalies") if a.kind is not AnomalyKind.ABSENCE}
    wanted = expected()
    assert len({a.asset_id for a in wanted.values()}) >= 10, "the oracle must have something to say"
    assert told.keys() == wanted.keys()
    assert {i: without_causes(a) for i, a in told.items()} == {i: without_causes(a) for i, a in wanted.items()}


@pytest.mark.parametrize(
    "topic",
    ["anomalies", "remediations", "recommendations", "routing-decisions", "lifecycle-events", "action-outcomes"],
)
def test_a_repeat_of_a_decision_is_the_same_decision(survived: Any, topic: str) -> None:
    """Outputs of a flush that a kill interrupted are published again by the next owner: byte for byte.

    A withdrawal has the id of the recommendation that it takes back.
    """
    copies: defaultdict[tuple[str, bool], set[bytes]] = defaultdict(set)
    for message in survived.read(topic):
        record: Any = decode(BY_NAME[topic].records, message.value(), message.headers())
        copies[record.id, getattr(record, "withdrawn", False)].add(message.value())
    assert {name: len(values) for name, values in copies.items() if len(values) > 1} == {}


def test_each_job_has_one_decision_a_revision_and_no_revision_is_missing(survived: Any) -> None:
    """Jobs whose target drains are pivoted, so there may be several revisions."""
    ids: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
    revisions: defaultdict[str, set[int]] = defaultdict(set)
    for decision in survived.records("routing-decisions"):
        assert isinstance(decision, RoutingDecision)
        ids[decision.job_id, decision.revision].add(decision.id)
        revisions[decision.job_id].add(decision.revision)
    assert revisions.keys() == {f"job-{tick:03d}" for tick in range(0, TICKS, 2)}
    assert {place: found for place, found in ids.items() if len(found) > 1} == {}
    gaps = {job: found for job, found in revisions.items() if len(found) != max(found) - min(found) + 1}
    assert gaps == {}


def test_every_group_is_at_its_end(survived: Any) -> None:
    assert {place: lag for place, lag in survived.lags().items() if lag} == {}


def snapshots(found: Iterable[Record | None]) -> dict[tuple[str, int], int]:
    """(asset, time) -> samples in the window. The first look may come between the first two samples: left out."""
    whole = (p for p in found if isinstance(p, Performance) and START < p.at < START + (TICKS - 1) * TICK_MS)
    return {(p.asset_id, p.at): p.samples for p in whole}


def test_snapshots_count_each_sample_once(survived: Any) -> None:
    """Windows are tables: a sample that was taken twice, or not at all, would show in the counts."""
    layer = OptimisationLayer(Settings().optimisation)
    partitions = [Partition(layer, layer.new_view()) for _ in range(4)]
    emitted: list[Record | None] = []
    for tick in range(TICKS):
        for signal in samples(tick):
            partition = partitions[partition_for(signal.asset_id.encode(), len(partitions))]
            event = Event("health-signals", signal.asset_id, signal, signal.at, "oracle")
            emitted += [e.value for e in partition.on_event(event)]
    wanted, told = snapshots(emitted), snapshots(survived.records("performance"))
    # When a live worker looks depends on its idle clock as well; what it sees then does not.
    both = wanted.keys() & told.keys()
    assert {asset for asset, _ in both} == set(ASSETS)
    assert len(both) > len(wanted) / 2
    assert {place: told[place] for place in both} == {place: wanted[place] for place in both}
