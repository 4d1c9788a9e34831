"""Milliseconds from a signal to its anomaly (one hop) and to the first healing step for it (two), by broker times.

Every layer runs live beside an embedded Kafka on the same machine: all in one process, or telemetry and healing in one
and the others in another. The sender is a process apart from them. 400 registered assets send one sample a message in
turn; one sample of each is far off, evenly over the time, so each is an incident of its own. The peer has the same
signals and two hops with state, and a toy in the place of either engine.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from schemas.records import DiscoveryEvent, HealthSignal, Op, RegisteredAsset
from topology.admin import TopicAdmin, WantedTopic, wanted_topics
from topology.bench.hops import OUR_HOPS, PEER_HOPS, Hops, Watch
from topology.bench.peers import LABELS, Tools, environment
from topology.bench.watched import child, lines, load_average
from topology.bench.work import ANOMALIES, PARTITIONS, REMEDIATIONS
from topology.client.publisher import SIGNALS, Publisher, now_ms
from topology.embedded import embedded_kafka
from topology.settings import Settings
from topology.tables import LAYERS

ASSETS = 400
WARM_SAMPLES, WARM_GAP_MS = 60, 4_000
WARM_S, DRAIN_S = 15.0, 5.0
START_S = 60.0
FEWEST = 20
PEER = "kafka-streams"
HOP_LAYERS = ("telemetry", "healing")
_ALL = tuple(card.name for card in LAYERS)
SETUPS = {
    "maestro": ("maestro, one process", (_ALL,)),
    "maestro-split": ("maestro, two hops apart", (HOP_LAYERS, tuple(n for n in _ALL if n not in HOP_LAYERS))),
}
"""What it is called, and the layers of each worker process."""


def figures(rate: float, seconds: float, tools: Tools | None) -> Iterator[dict[str, object]]:
    """Rows of both hops of each side; `rate` in messages a second. Without `tools` there is no peer."""
    for side in (*SETUPS, *([] if tools is None else [PEER])):
        with embedded_kafka() as kafka, tempfile.TemporaryDirectory(prefix="maestro-bench-") as folder:
            stamped = {"message.timestamp.type": "LogAppendTime"}
            peers = [WantedTopic(name, PARTITIONS, None, stamped) for name in (ANOMALIES, REMEDIATIONS)]
            TopicAdmin(kafka.bootstrap).create([*wanted_topics(Settings(partitions=PARTITIONS)), *peers])
            with running(side, kafka.bootstrap, Path(folder), tools):
                one, two = run(kafka.bootstrap, OUR_HOPS if side in SETUPS else PEER_HOPS, rate, seconds)
        label = SETUPS[side][0] if side in SETUPS else LABELS[side]
        for hop, ms in (("signal -> anomaly", one), ("signal -> anomaly -> remediation", two)):
            yield {"side": side, "label": label, "rate": rate, "hop": hop, **cuts(ms),
                   "load_average": load_average()}  # fmt: skip


@contextmanager
def running(side: str, broker: str, folder: Path, tools: Tools | None) -> Iterator[None]:
    with ExitStack() as stack:
        for command in commands(side, broker, folder, tools):
            list(islice(lines(stack.enter_context(child(command, environment())), START_S), 1))
        yield


def commands(side: str, broker: str, folder: Path, tools: Tools | None) -> list[list[str]]:
    """The processes of a side; each prints a line when it is ready."""
    if side not in SETUPS:
        assert tools is not None
        return [[*tools.command(side, broker, "hops", "bench-hops", folder), "linger=0"]]
    module = [sys.executable, "-W", "ignore", "-m", "topology.bench.sides.layers", broker]
    return [[*module, ",".join(layers), "bench", str(folder / str(n))] for n, layers in enumerate(SETUPS[side][1])]


def run(broker: str, hops: Hops, rate: float, seconds: float) -> tuple[list[int], list[int]]:
    publisher, noise = Publisher(broker), random.Random(1)
    register(publisher, noise)
    time.sleep(WARM_S)
    watch = Watch(broker, hops)
    send(publisher, noise, rate, seconds)
    time.sleep(DRAIN_S)
    watch.read()
    return watch.hops()


def signal(number: int, at: int, value: float) -> HealthSignal:
    return HealthSignal(
        asset_id=f"svc-{number:04d}", metric="latency_p95", unit="ms", value=value, at=at, source="bench"
    )


def register(publisher: Publisher, noise: random.Random) -> None:
    at = now_ms()
    for number in range(ASSETS):
        known = RegisteredAsset(id=f"svc-{number:04d}", cloud="aws", region="us-east-1")
        event = DiscoveryEvent(source="bench", scope="bench", op=Op.UPSERT, asset_id=known.id, asset=known, at=at)
        publisher.publish("discovery-events", event, key=known.id)
    for step in range(WARM_SAMPLES, 0, -1):
        for number in range(ASSETS):
            publisher.publish(SIGNALS, signal(number, at - step * WARM_GAP_MS, noise.gauss(100, 5)))
    publisher.flush()


def send(publisher: Publisher, noise: random.Random, rate: float, seconds: float) -> None:
    """The far-off ones walk through the assets by themselves, so that each comes once."""
    begun, messages = time.monotonic(), int(rate * seconds)
    every = max(5, messages // ASSETS)
    for number in range(messages):
        far_off = number // every if number % every == 0 and number // every < ASSETS else None
        which, value = (number % ASSETS, noise.gauss(100, 5)) if far_off is None else (far_off, 400.0)
        publisher.publish(SIGNALS, signal(which, now_ms(), value))
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
    publisher.flush()


def cuts(ms: list[int]) -> dict[str, object]:
    """Percentiles; none where there are too few to say."""
    if len(ms) < FEWEST:
        return {"count": len(ms), "p50_ms": None, "p99_ms": None, "most_ms": None}
    centiles = statistics.quantiles(ms, n=100)
    return {"count": len(ms), "p50_ms": centiles[49], "p99_ms": centiles[98], "most_ms": max(ms)}


def text(row: Mapping[str, Any]) -> str:
    if row["p50_ms"] is None:
        return "{rate:g}/s {label:23} {hop}: only {count}, too few to say".format(**row)
    return (
        "{rate:g}/s {label:23} {hop}: {count} of them, p50 {p50_ms:.0f} ms, p99 {p99_ms:.0f} ms, most {most_ms} ms, "
        "load average {load_average:.1f}"
    ).format(**row)
