"""The loop on Kafka with a real load balancer: a server is killed, taken out, and given work again once it is well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from haproxy_process import haproxy_program

from schemas.records import Anomaly, AnomalyState, Remediation, RemediationStatus
from topology.bench.healing.pool import Pool, get, running_pool
from topology.bench.healing.sides import SIDES, looked_after
from topology.client.reading import TopicReader

SERVERS, TELEMETRY_S, WARM_S = 12, 0.25, 12.0
VICTIM = "web-03"
PATIENCE_S = 90.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Pool, str]]:
    """Servers behind HAProxy without checks of its own, all layers of ours, telemetry from a probe; warmed up."""
    haproxy_program()
    side = replace(SIDES["maestro-fast"], telemetry_s=TELEMETRY_S)
    with running_pool(tmp_path, SERVERS) as pool, looked_after(side, pool, tmp_path) as broker:
        assert broker is not None
        time.sleep(WARM_S)
        yield pool, broker


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def steps(broker: str, asset: str) -> tuple[list[Anomaly], list[Remediation]]:
    """Incidents and remediations of an asset, each topic in its order."""
    with TopicReader(broker, ("anomalies", "remediations"), from_beginning=True) as reader:
        found = [read.value for read in reader.read_all()]
    anomalies = [r for r in found if isinstance(r, Anomaly) and r.asset_id == asset]
    return anomalies, [r for r in found if isinstance(r, Remediation) and r.asset_id == asset]


@pytest.mark.kafka
@pytest.mark.timeout(400)
def test_a_killed_server_is_taken_out_and_back_while_requests_go_on(site):
    pool, broker = site
    pool.strike(VICTIM, "kill")
    until(lambda: VICTIM in pool.out_of_service())
    assert [get(pool.front, "/work") for _ in range(5 * SERVERS)] == [200] * (5 * SERVERS)

    pool.mend(VICTIM)
    until(lambda: VICTIM not in pool.out_of_service())
    until(lambda: any(r.status is RemediationStatus.ROLLED_BACK for r in steps(broker, VICTIM)[1]))
    assert get(pool.ports[VICTIM], "/work") == 200

    anomalies, remediations = steps(broker, VICTIM)
    opened = {a.incident_id: a for a in anomalies if a.state is AnomalyState.OPENED}
    first = next(r for r in remediations if r.status is RemediationStatus.EXECUTING)
    assert first.incident_id in opened
    chain = [r.status.value for r in remediations if r.action_id == first.action_id and not r.evidence.get("failback")]
    # Held back, if the machine's own jitter was an incident at that moment, or joined by another: said, and no step.
    assert [s for s in chain if s != "suppressed"] == ["planned", "executing", "succeeded", "verified"]
    back = [r for r in remediations if r.evidence.get("failback")]
    assert back[-1].status is RemediationStatus.ROLLED_BACK
    assert back[-1].at > first.at
    # Nothing is ordered twice: one action id for each order that an executor was given.
    orders = [r.action_id for r in remediations if r.status is RemediationStatus.EXECUTING]
    assert len(orders) == len(set(orders))
