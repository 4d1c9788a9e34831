"""What keeps a worker from starting says so and ends with status 2; one layer runs without the others."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from schemas.records import AnomalyState, HealthSignal
from topology.embedded import embedded_kafka
from topology.embedded.process import free_ports
from topology.tables import LAYER_BY_NAME

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]
NOW = time.time_ns() // 1_000_000


@pytest.fixture(scope="module")
def bare_broker() -> Iterator[str]:
    """A Kafka without any topic."""
    with embedded_kafka() as broker:
        yield broker.bootstrap


@pytest.fixture
def make_lab(bare_broker: str, tmp_path: Path, make_lab_on: Callable[..., Any]) -> Any:
    return make_lab_on(bare_broker, tmp_path)


def topics(broker: str) -> set[str]:
    return {t for t in AdminClient({"bootstrap.servers": broker}).list_topics(timeout=10).topics if t[:2] != "__"}


def test_one_layer_runs_alone_and_makes_the_topics_that_it_touches(make_lab: Any, bare_broker: str) -> None:
    lab = make_lab
    lab.start("alone", "telemetry")
    for n in range(124):
        value = 100.0 + n % 5 if n < 120 else 900.0
        at = NOW - 200_000 + n * 1_000
        lab.send("health-signals", HealthSignal(asset_id="a", metric="latency_ms", value=value, unit="ms", at=at))
    lab.flush()
    lab.wait(lambda: any(a.state is AnomalyState.OPENED for a in lab.records("anomalies")))
    lab.wait(lambda: lab.caught_up("telemetry"))
    assert lab.stop("alone") == 0
    card = LAYER_BY_NAME["telemetry"]
    own = {"dead-letters", "journal", f"{card.group}-state-changelog"}
    assert topics(bare_broker) == {*card.inputs, *card.views, *card.outputs, *own}


def test_other_partition_counts_than_declared_end_the_worker_with_every_difference(make_lab: Any) -> None:
    lab = make_lab
    process = lab.start("other", "telemetry", wait=False, partitions=3)
    assert process.wait(60) == 2
    error = lab.logs()
    for topic in ("health-signals", "journal", "dead-letters"):
        assert f"topic {topic} has 4 partitions, 3 are declared" in error
    assert "maestro-telemetry-state-changelog has 4 partitions" in error
    assert "Keys would land elsewhere" in error
    lab.workers.clear()


def test_a_broker_that_is_not_there_ends_the_worker_and_is_named(
    tmp_path: Path, make_lab_on: Callable[..., Any]
) -> None:
    [port] = free_ports(1)
    lab = make_lab_on(f"127.0.0.1:{port}", tmp_path)
    process: subprocess.Popen[bytes] = lab.start("lost", "telemetry", wait=False)
    assert process.wait(120) == 2
    assert f"broker 127.0.0.1:{port}" in lab.logs()
    assert "is it running and reachable?" in lab.logs()
    lab.workers.clear()
