"""The provider against a real Consul agent: its catalog, its blocking queries, its ACLs.

`consul` is taken from PATH or from `MAESTRO_TEST_CONSUL`. Without it the tests are skipped and say so; what a server
may do wrong is in tests/unit/discovery/test_discovery_consul.py, against a server that does it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from receive_process import free_port

from schemas.records import Asset, AssetKind, DiscoveryEvent, Op
from streams.discovery.ports import Change, Relist
from streams.discovery.providers.consul import ConsulProvider
from streams.discovery.providers.consul_catalog import ConsulError
from streams.discovery.providers.poll import run
from streams.discovery.settings import PollSettings

CONSUL = os.environ.get("MAESTRO_TEST_CONSUL") or shutil.which("consul")
ROOT_TOKEN = "5f4dcc3b-0000-4000-8000-000000000001"  # Of an agent that lives for a test.
NODE, HERE = "web1", "consul:local"


@dataclass(frozen=True)
class Agent:
    url: str
    token: str

    def put(self, path: str, content: object = None) -> Any:
        with httpx.Client(base_url=self.url, headers={"X-Consul-Token": self.token}, trust_env=False) as client:
            answer = client.put(path, json=content)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json() if answer.content else None

    def register(self, service_id: str, name: str, port: int, **more: object) -> None:
        self.put("/v1/agent/service/register", {"ID": service_id, "Name": name, "Port": port, **more})

    def deregister(self, service_id: str) -> None:
        self.put(f"/v1/agent/service/deregister/{service_id}")

    def provider(self, **more: Any) -> ConsulProvider:
        return ConsulProvider(self.url, **{"token": self.token, "wait_s": 30.0} | more)


@pytest.fixture
def agent(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Agent]:
    """A server of a datacenter of one; with `acl` only who shows a token may see."""
    if CONSUL is None:
        pytest.skip("consul is not installed")
    acl = getattr(request, "param", "") == "acl"
    ports = {name: free_port() for name in ("http", "server", "serf_lan")}
    off = dict.fromkeys(("dns", "grpc", "grpc_tls", "https", "serf_wan"), -1)
    config: dict[str, object] = {"ports": ports | off, "node_name": NODE, "disable_update_check": True}
    if acl:
        config["acl"] = {"enabled": True, "default_policy": "deny", "tokens": {"initial_management": ROOT_TOKEN}}
    (tmp_path / "agent.json").write_text(json.dumps(config))
    command = [CONSUL, "agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", f"-config-file={tmp_path}/agent.json"]
    with (tmp_path / "consul.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        here = Agent(f"http://127.0.0.1:{ports['http']}", ROOT_TOKEN if acl else "")
        end = time.monotonic() + 60
        while not _has_a_node(here):
            assert process.poll() is None, (tmp_path / "consul.log").read_text()[-3000:]
            assert time.monotonic() < end, "consul is not up"
            time.sleep(0.1)
        yield here
    finally:
        process.kill()
        process.wait()


def _has_a_node(agent: Agent) -> bool:
    try:
        answer = httpx.get(f"{agent.url}/v1/catalog/nodes", headers={"X-Consul-Token": agent.token}, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK and bool(answer.json())


async def by_id(provider: ConsulProvider) -> dict[str, Asset]:
    return {asset.id: asset for asset in await provider.list()}


async def next_of(watch: Any, within_s: float = 10) -> Change | Relist:
    async with asyncio.timeout(within_s):
        change: Change | Relist = await anext(watch)
        return change


async def test_what_an_agent_has_registered_is_found(agent: Agent) -> None:
    agent.register("api-1", "api", 8080, Tags=["b", "a"], Meta={"version": "1.2"}, Address="127.0.0.9")
    agent.register("api/2", "api", 8081)
    proxy = {"DestinationServiceName": "api", "DestinationServiceID": "api-1"}
    upstreams = [{"DestinationName": "db", "LocalBindPort": 9191}]
    agent.register("side", "api-sidecar", 21000, Kind="connect-proxy", Proxy=proxy | {"Upstreams": upstreams})
    found = await by_id(agent.provider())
    node = found[f"{HERE}/node/{NODE}"]
    assert node.kind is AssetKind.INFRASTRUCTURE
    assert node.strong_keys[0].startswith("consul-node:")
    first, second = (found[f"{HERE}/instance/{NODE}/{name}"] for name in ("api-1", "api/2"))
    assert (first.version, first.labels["tags"], first.weak_keys) == ("1.2", "a,b", ("address:127.0.0.9:8080",))
    assert first.depends_on == (node.id, f"{HERE}/service/db")
    assert second.weak_keys == ("address:127.0.0.1:8081",)
    assert found[f"{HERE}/service/api"].depends_on == (first.id, second.id)
    assert found[f"{HERE}/instance/{NODE}/side"].kind is AssetKind.INFRASTRUCTURE


async def test_changes_come_by_blocking_queries(agent: Agent) -> None:
    agent.register("api-1", "api", 8080)
    agent.register("api-2", "api", 8081)
    provider = agent.provider()
    await provider.list()
    watch = provider.watch()
    waiting = asyncio.create_task(next_of(watch, 20))
    await asyncio.sleep(1)
    assert not waiting.done(), "nothing has changed"
    agent.register("api-1", "api", 9090)
    change = await waiting
    assert isinstance(change, Change)
    assert change.asset is not None
    assert (change.asset.id, change.asset.weak_keys) == (f"{HERE}/instance/{NODE}/api-1", ("address:127.0.0.1:9090",))
    agent.deregister("api-2")
    seen: list[Change | Relist] = []
    while not seen or isinstance(seen[-1], Change):
        seen.append(await next_of(watch))
    assert seen[-1] == Relist("1 are gone")
    agent.register("db-1", "db", 5432)
    assert await next_of(watch) == Relist("other services than before")
    await watch.aclose()


async def test_a_check_that_fails_is_no_change_of_an_asset(agent: Agent) -> None:
    agent.register("api-1", "api", 8080, Check={"CheckID": "alive", "TTL": "60s", "Status": "passing"})
    provider = agent.provider(wait_s=1.0)
    await provider.list()
    watch = provider.watch()
    waiting = asyncio.create_task(next_of(watch, 20))
    await asyncio.sleep(0.5)
    agent.put("/v1/agent/check/fail/alive")
    await asyncio.sleep(2.5)  # Longer than a query hangs.
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


@pytest.mark.parametrize("agent", ["acl"], indirect=True)
async def test_a_token_that_may_not_see_all_fails_the_listing(agent: Agent) -> None:
    """What it may not see would look like a deletion of everything."""
    agent.register("api-1", "api", 8080)
    agent.register("secret-1", "secret", 8081)
    assert f"{HERE}/service/secret" in await by_id(agent.provider())
    rules = 'node_prefix "" { policy = "read" } service "api" { policy = "read" }'
    agent.put("/v1/acl/policy", {"Name": "some", "Rules": rules})
    some = agent.put("/v1/acl/token", {"Policies": [{"Name": "some"}]})["SecretID"]
    for token in (some, ""):
        with pytest.raises(ConsulError, match="the token may not see all of it"):
            await agent.provider(token=token).list()


async def test_what_comes_and_goes_is_told_by_the_runner(agent: Agent) -> None:
    agent.register("api-1", "api", 8080)
    events: asyncio.Queue[DiscoveryEvent] = asyncio.Queue()
    clock = lambda: time.time_ns() // 1_000_000  # noqa: E731
    settings = PollSettings(relist_s=0.1)
    task = asyncio.create_task(run(agent.provider(), events.put, clock, settings))

    async def until(holds: Any) -> float:
        began_s = time.monotonic()
        async with asyncio.timeout(10):
            while not holds(await events.get()):
                pass
        return time.monotonic() - began_s

    try:
        await until(lambda event: event.op is Op.SNAPSHOT_COMPLETE)
        agent.register("db-1", "db", 5432)
        wanted = f"{HERE}/instance/{NODE}/db-1"
        assert await until(lambda event: event.asset_id == wanted) < 2
        await until(lambda event: event.op is Op.SNAPSHOT_COMPLETE)
        agent.deregister("api-1")
        gone: set[str] = set()

        def listed_without(event: DiscoveryEvent) -> bool:
            gone.add(event.asset_id or "")
            return event.op is Op.SNAPSHOT_COMPLETE

        await until(listed_without)
        assert wanted in gone
        assert f"{HERE}/instance/{NODE}/api-1" not in gone
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
