"""Telemetry in, a recommendation out; its condition becomes void, it is withdrawn: as `maestro recommend` shows it.

event time   now-240 s            now-120 s                       now
telemetry    |--- 0.95 busy ------|--- 0.68 busy, at target ------|
recommended         |-- scale out ----------------| withdrawn
/units/pool   404   |  200                        | 404
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from schemas.records import DiscoveryEvent, HealthSignal, Op, RegisteredAsset
from topology.client.publisher import Publisher

ASSET = "pool"


@contextmanager
def served(broker: str) -> Iterator[str]:
    command = [sys.executable, "-m", "topology", "recommend", "--serve", "0", "--broker", broker]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        yield re.findall(r"http://127\.0\.0\.1:\d+", server.stderr.readline())[0] + f"/units/{ASSET}"
    finally:
        server.terminate()
        server.communicate(timeout=60)


def say(publisher: Publisher, from_ms: int, to_ms: int, value: float) -> None:
    for at in range(from_ms, to_ms, 5_000):
        publisher.publish("health-signals", HealthSignal(asset_id=ASSET, metric="utilization", value=value, at=at))
    publisher.flush()


def register(publisher: Publisher, at: int) -> None:
    asset = RegisteredAsset(id=ASSET, capacity_units=4, cost_usd_per_hour=2.0)
    said: dict[str, Any] = {"source": "test", "scope": "all", "snapshot_id": "s1", "at": at}
    publisher.publish("discovery-events", DiscoveryEvent(op=Op.SNAPSHOT_BEGIN, **said), "all")
    publisher.publish("discovery-events", DiscoveryEvent(op=Op.UPSERT, asset_id=ASSET, asset=asset, **said))
    publisher.publish("discovery-events", DiscoveryEvent(op=Op.SNAPSHOT_COMPLETE, **said), "all")
    publisher.flush()


@pytest.mark.timeout(240)
def test_a_recommendation_is_published_and_withdrawn_when_its_condition_is_void(live: Any) -> None:
    live.start("one")
    live.ready("one")
    publisher, now = Publisher(live.broker), time.time_ns() // 1_000_000
    register(publisher, now - 300_000)
    live.wait(lambda: live.values("assets"), "the pool is registered")
    with served(live.broker) as units:
        live.wait(lambda: httpx.get(units).status_code == 404, "nothing stands yet")
        say(publisher, now - 240_000, now - 120_000, 0.95)
        live.wait(lambda: live.values("recommendations", withdrawn=False), "it is recommended to add units")
        live.wait_caught_up()
        *_, told = live.values("recommendations", withdrawn=False)
        assert (told["asset_id"], told["action"], told["from_units"]) == (ASSET, "scale_out", 4)
        assert told["to_units"] > 4
        live.wait(lambda: httpx.get(units).json().get("id") == told["id"], "maestro recommend shows it")
        shown = httpx.get(units).json()
        assert (shown["units"], shown["action"]) == (told["to_units"], "scale_out")
        say(publisher, now - 120_000, now, 0.68)
        live.wait(lambda: live.values("recommendations", withdrawn=True), "it is withdrawn")
        (gone,) = live.values("recommendations", withdrawn=True)
        *_, last = live.values("recommendations", withdrawn=False)
        assert gone["id"] == last["id"], "it takes back what stood last"
        assert "no longer holds: utilization 0.68 against a target of 0.70 asks for nothing" in gone["reason"]
        live.wait(lambda: httpx.get(units).status_code == 404, "maestro recommend shows nothing any more")
    assert live.stop() == [0], live.logs()
