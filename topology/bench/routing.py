"""Microseconds a routing decision takes in the engine, for growing numbers of candidates (R9: 10,000 in under 2 ms).

Every candidate is asked of the registry's columns, 3 of 4 are eligible; the record with its 16 candidates and its
counterfactual is part of the time. Jobs of one kind share their plan; of jobs that each ask for something else none
does. The soft term comes with a Cedar set, which is asked about the target and its fallbacks.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from schemas.records import Capability, Constraints, JobRequest, Performance, RegisteredAsset
from streams.kit.layer import Event
from streams.policy.cedar import CedarPolicySet
from streams.policy.gate import PolicyGate
from streams.routing.engine import RoutingLayer
from streams.routing.fleet import Fleet
from topology.bench.watched import load_average

REGIONS = ("us-east-1", "us-central1", "eu-west-1", "ap-south-1")


def asset(i: int) -> RegisteredAsset:
    region = REGIONS[i % len(REGIONS)]
    return RegisteredAsset(
        id=f"svc-{i:05d}",
        cloud=("aws", "gcp", "azure")[i % 3],
        region=region,
        zone=f"{region}-{i % 9}",
        compliance=("soc2", "hipaa") if i % 2 else ("soc2",),
        data_regions=(region[:2],),
        capabilities=(Capability(name="render", latency_ms=20 + i % 400, reliability=0.99 + (i % 97) / 10_000),),
        cost_usd_per_hour=1 + (i * 7919 % 1000) / 50,
        carbon_g_per_kwh=float(i % 700),
        capacity_units=4,
    )


def fleet_of(count: int, layer: RoutingLayer) -> Fleet:
    view = layer.new_view()
    for i in range(count):
        one = asset(i)
        layer.see(view, Event("assets", one.id, one, 0, one.id))
        seen = Performance(asset_id=one.id, at=0, window_s=300, samples=10, latency_ms_p95=25 + i % 380,
                           error_rate=(i % 50) / 1000, saturation=(i % 90) / 100)  # fmt: skip
        layer.see(view, Event("performance", one.id, seen, 0, one.id))
    return view


def request(i: int, alike: bool) -> JobRequest:
    """`alike`: asks for what all the others ask for."""
    limits = Constraints(regions=REGIONS[:3], compliance=("soc2",), max_latency_ms=900, max_cost_usd_per_hour=100)
    return JobRequest(id=f"job-{i}", required_capabilities=("render",), constraints=limits, at=1000,
                      metadata={} if alike else {"number": i})  # fmt: skip


SOFT_TERM = {
    "base.cedar": '@id("base")\npermit (principal, action, resource);',
    "soft.cel": '@id("near-solar") @weight("0.10") '
    "prefer { has(asset.carbon_g_per_kwh) ? 1.0 - asset.carbon_g_per_kwh / 1000.0 : 0.0 };",
}
SIDES = ("jobs of one kind", "each another kind", "the same with a soft term")


def layer_of(side: str) -> RoutingLayer:
    return RoutingLayer(policy=PolicyGate(initial=CedarPolicySet(SOFT_TERM))) if side == SIDES[2] else RoutingLayer()


def microseconds_per_decision(
    layer: RoutingLayer, view: Fleet, decisions: int, alike: bool
) -> tuple[float, float, float]:
    """(least, median, 99th percentile) of single decisions; the least is what a shared machine disturbs least."""
    gc.collect()
    gc.freeze()  # As a worker does after it has read its views: the fleet is not garbage to look through again.
    times = []
    for i in range(decisions):
        job = request(i, alike)
        event = Event("job-requests", job.id, job, 1000, job.id)
        begin = time.perf_counter_ns()
        layer.step({}, view, event, 1000)
        times.append((time.perf_counter_ns() - begin) / 1000)
    return min(times), statistics.median(times), statistics.quantiles(times, n=100)[98]


def figures() -> Iterator[dict[str, object]]:
    for count in (100, 1_000, 10_000, 50_000):
        view, floor = fleet_of(count, RoutingLayer()), microseconds_of_reading(count)
        for side in SIDES:
            least, median, p99 = microseconds_per_decision(layer_of(side), view, 300, alike=side == SIDES[0])
            view.derived.clear()
            yield {"candidates": count, "side": side, "least_us": least, "median_us": median, "p99_us": p99,
                   "floor_us": floor, "ratio": median / floor, "load_average": load_average()}  # fmt: skip


def microseconds_of_reading(count: int) -> float:
    """The floor: one ordering of that many costs by numpy, median."""
    costs, times = np.random.default_rng(1).random(count), []
    for _ in range(300):
        begin = time.perf_counter_ns()
        costs.argsort()
        times.append((time.perf_counter_ns() - begin) / 1000)
    return statistics.median(times)


def text(row: Mapping[str, Any]) -> str:
    return (
        "{candidates:>7,} candidates, {side:25} least {least_us:,.0f} us, median {median_us:,.0f} us, "
        "p99 {p99_us:,.0f} us, {ratio:.1f} times one ordering of their costs"
    ).format(**row)
