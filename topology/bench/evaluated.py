"""`maestro bench routing`, its second part: the routing layer on the composed case, beside an oracle and baselines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from schemas.records import (
    Anomaly,
    AnomalyKind,
    AnomalyState,
    Direction,
    JobOutcome,
    JobResult,
    RoutingDecision,
    Severity,
)
from streams.kit.layer import Emission, Event
from streams.kit.machine import Machine
from streams.kit.partition import machine_of
from streams.routing.engine import RoutingLayer
from streams.routing.fleet import Fleet
from streams.routing.state import Row
from topology.bench.placement import Baseline, Placed, Playing, Router, baselines, oracle_usd
from topology.bench.regions import START_MS, Composed, Job, composed

SHARED = Path(__file__).parents[3] / "shared" / "data"
"""Beside the checkout, where somebody has put it."""


class Ours:
    name = "maestro"

    def __init__(self, case: Composed) -> None:
        self.layer = RoutingLayer()
        self.view: Fleet = self.layer.new_view()
        self.partition: Machine[Row, Fleet] = machine_of(self.layer, self.view)
        for asset in case.assets():
            self.layer.see(self.view, Event("assets", asset.id, asset, START_MS, asset.id))

    def arrives(self, job: Job, at: int) -> Placed:
        return _placed(self.partition.on_event(Event("job-requests", job.request.id, job.request, at, job.request.id)))

    def ended(self, job: Job, region: str, ok: bool, at: int) -> Placed:
        result = JobResult.SUCCEEDED if ok else JobResult.FAILED
        outcome = JobOutcome(job_id=job.request.id, target_id=region, outcome=result, at=at)
        return _placed(self.partition.on_event(Event("job-outcomes", job.request.id, outcome, at, f"outcome-{at}")))

    def health(self, region: str, up: bool, at: int) -> Placed:
        event = Event("anomalies", region, _incident(region, up, at), at, f"{region}-{at}")
        self.layer.see(self.view, event)
        return _placed(self.partition.on_view(event))

    def tick(self, at: int) -> Placed:
        return _placed(self.partition.advance(at))


def _placed(emissions: list[Emission]) -> Placed:
    decisions = [e.value for e in emissions if isinstance(e.value, RoutingDecision)]
    return [(d.job_id, d.target_id) for d in decisions if d.target_id is not None]


def _incident(region: str, up: bool, at: int) -> Anomaly:
    return Anomaly(
        id=f"{region}-{at}",
        incident_id=region,
        state=AnomalyState.CLOSED if up else AnomalyState.OPENED,
        asset_id=region,
        metric="error_rate",
        kind=AnomalyKind.SHIFT,
        severity=Severity.CRITICAL,
        score=9,
        direction=Direction.UP,
        value=1,
        expected=0,
        slope_per_s=0,
        confidence=1,
        at=at,
        started_at=at,
        cause_id="probe",
        reason="the region fails",
    )


def figures(jobs: int, folder: Path | None = None, seed: int = 1) -> Iterator[dict[str, object]]:
    case = composed(folder if folder is not None else SHARED, jobs, seed)
    least = oracle_usd(case)
    routers: list[Router | Baseline] = [Ours(case), *baselines(case)]
    for router in routers:
        tally = Playing(case, router).play()
        yield {"router": router.name, "regret_share": tally.usd / least - 1, "oracle_usd": least,
               "jobs": len(case.jobs), "case": f"composed: {case.source}", **asdict(tally)}  # fmt: skip


def text(row: Mapping[str, Any]) -> str:
    return (
        "{router:12} {usd:8.3f} USD, regret {regret_share:+7.1%}; sovereignty broken {policy_violations:5,}, latency "
        "limit {latency_violations:5,}, deadlines missed {deadline_misses:4,}, runs lost {failures:4,}, sent elsewhere "
        "{fallbacks:4,}, never done {refused:3,} of {jobs:,} ({case})"
    ).format(**row)
