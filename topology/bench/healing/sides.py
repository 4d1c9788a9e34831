"""Who looks after the pool: nobody, HAProxy's own checks, Prometheus with Alertmanager, Maestro at two rates."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.records import Asset, AssetKind, Capability, DiscoveryEvent, Endpoint, Op
from topology.admin import TopicAdmin, wanted_topics
from topology.bench.healing.alerting import alerting
from topology.bench.healing.pool import BACKEND, BenchError, Pool
from topology.bench.watched import child
from topology.client.publisher import Publisher, now_ms
from topology.embedded import embedded_kafka
from topology.settings import Settings

PARTITIONS = 2
MODULE = (sys.executable, "-W", "ignore", "-m")


@dataclass(frozen=True, slots=True)
class Side:
    """`fault_s`: how long each fault lasts; `telemetry_s` 0 = nothing is measured by anybody of ours."""

    name: str
    label: str
    telemetry_s: float
    fault_s: float
    checks: str = ""
    heals_back: bool = False
    """Puts a server back into service by itself; else the script does so when the fault is over."""


SIDES = {
    side.name: side
    for side in (
        Side("maestro", "maestro, telemetry each 1 s", 1.0, 8.0, heals_back=True),
        Side("maestro-fast", "maestro, telemetry each 100 ms", 0.1, 4.0, heals_back=True),
        Side("alertmanager", "Prometheus and Alertmanager, scrape each 1 s", 1.0, 8.0),
        Side("checks", "HAProxy's own checks, each 1 s, 3 failures", 1.0, 8.0, "check inter 1s fall 3 rise 2", True),
        Side("none", "nobody", 0.0, 8.0),
    )
}
BENCH_HEALING: dict[str, Any] = {
    "healthy_for_s": 3.0,
    "cooldown_s": 30.0,
    "storm_cooldown_s": 10.0,
    "failback_after_s": 5.0,
    "failback_gap_s": 1.0,
    "hourly_actions": 100,
}
"""Waits of minutes are cut, so that many faults fit into the time; what leads to an effect is as by default."""


def settings_of(pool: Pool, **healing: Any) -> dict[str, Any]:
    balancers = {"edge": {"address": str(pool.runtime)}}
    return {
        "app_id": "bench",
        "partitions": PARTITIONS,
        "healing": {**BENCH_HEALING, **healing},
        "executors": {"load_balancers": balancers},
    }


@contextmanager
def looked_after(side: Side, pool: Pool, folder: Path) -> Iterator[str | None]:
    """Ready when it yields; the broker, if the side has one."""
    if side.name == "alertmanager":
        with alerting(pool, folder, side.telemetry_s):
            yield None
    elif side.name.startswith("maestro"):
        with ExitStack() as stack:
            yield _maestro(stack, side, pool, folder)
    else:
        yield None


def _maestro(stack: ExitStack, side: Side, pool: Pool, folder: Path) -> str:
    broker = all_layers(stack, settings_of(pool), folder)
    register(broker, [asset_of(name) for name in pool.names])
    named = [f"{name}={port}" for name, port in pool.ports.items()]
    probe = [*MODULE, "topology.bench.healing.probe", broker, str(pool.runtime), str(side.telemetry_s), *named]
    stack.enter_context(child(probe))
    return broker


def all_layers(stack: ExitStack, settings: dict[str, Any], folder: Path) -> str:
    """All layers in one process, on a broker of their own, whose address it returns once they are ready."""
    broker = stack.enter_context(embedded_kafka()).bootstrap
    TopicAdmin(broker).create(wanted_topics(Settings(**settings)))
    worker = [*MODULE, "topology.bench.healing.worker", broker, str(folder / "state"), json.dumps(settings)]
    (folder / "state").mkdir()
    process: subprocess.Popen[bytes] = stack.enter_context(child(worker))
    if process.stdout is None or not process.stdout.readline():
        raise BenchError("the worker ended before it was ready")
    return broker


def asset_of(name: str) -> Asset:
    """A server of the pool, as healing is told of it."""
    return Asset(
        id=name,
        kind=AssetKind.MICROSERVICE,
        tenant="bench",
        labels={"pool": BACKEND},
        capabilities=(Capability(name=BACKEND),),
        endpoints=(Endpoint(type="haproxy", url=f"haproxy:edge/{BACKEND}/{name}"),),
    )


def register(broker: str, assets: Iterable[Asset]) -> None:
    publisher, at = Publisher(broker), now_ms()
    for asset in assets:
        event = DiscoveryEvent(source="bench", scope="bench", op=Op.UPSERT, asset_id=asset.id, asset=asset, at=at)
        publisher.publish("discovery-events", event, key=asset.id)
    publisher.flush()
