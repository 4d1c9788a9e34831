"""Consul as a source, from a real HTTP server with blocking queries: assets, changes, what must not look deleted."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from schemas.records import Asset, AssetKind, DiscoveryEvent, Endpoint, Op
from streams.discovery.ports import Change, DiscoveryProvider, Listing, Relist, Watching
from streams.discovery.providers import consul as consul_module
from streams.discovery.providers.consul import ConsulProvider, next_index
from streams.discovery.providers.consul_catalog import ConsulError
from streams.discovery.providers.http_json import SourceAnswerError
from streams.discovery.providers.poll import poll_once, run
from streams.discovery.settings import PollSettings

NODES, SERVICES = "/v1/catalog/nodes", "/v1/catalog/services"


class Consul(ThreadingHTTPServer):
    """A catalog: `put` sets what a path answers and its index; a query with that index hangs, as Consul's do."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.moved = threading.Condition()
        self.answers: dict[str, tuple[object, int]] = {}
        self.status, self.headers, self.ended = 200, dict[str, str](), False
        self.asked: list[tuple[str, dict[str, str]]] = []

    def put(self, path: str, content: object, index: int) -> None:
        with self.moved:
            self.answers[path] = (content, index)
            self.moved.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone away is part of these tests."""


class Handler(BaseHTTPRequestHandler):
    server: Consul

    def do_GET(self) -> None:
        url, consul = urlsplit(self.path), self.server
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        with consul.moved:
            consul.asked.append((url.path, {**query, "token": self.headers["X-Consul-Token"] or ""}))
            if "index" in query:
                until_s = float(query["wait"].removesuffix("ms")) / 1000
                consul.moved.wait_for(
                    lambda: consul.ended or consul.answers[url.path][1] != int(query["index"]), until_s
                )
            content, index = consul.answers[url.path]
            body = json.dumps(content).encode()
            self.send_response(consul.status)
        for name, value in {"X-Consul-Index": str(index), **consul.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the test's output."""


@pytest.fixture
def consul() -> Iterator[Consul]:
    server = Consul()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.put(NODES, [{"ID": "n-1", "Node": "web1", "Address": "10.0.0.7", "Datacenter": "eu", "Meta": None}], 5)
    server.put(SERVICES, {"api": ["v1"], "a/b": []}, 7)
    server.put("/v1/catalog/service/api", [instance("api-1", port=8080)], 7)
    server.put("/v1/catalog/service/a%2Fb", [], 3)
    yield server
    with server.moved:
        server.ended = True
        server.moved.notify_all()
    server.shutdown()
    thread.join()
    server.server_close()


def instance(service_id: str, service: str = "api", port: int = 0, **more: Any) -> dict[str, Any]:
    own = {"ServiceID": service_id, "ServiceName": service, "ServicePort": port, "ServiceAddress": ""}
    empty = {"ServiceTags": None, "ServiceMeta": None, "ServiceProxy": {}, "ModifyIndex": 7}
    return {"ID": "n-1", "Node": "web1", "Address": "10.0.0.7", "Datacenter": "eu", **empty, **own, **more}


async def by_id(provider: ConsulProvider) -> dict[str, Asset]:
    return {asset.id: asset for asset in await provider.list()}


async def test_nodes_services_and_instances(consul: Consul) -> None:
    more = {"ServiceTags": ["b", "a"], "ServiceMeta": {"version": "1.2"}, "ServiceAddress": "fd00::7"}
    consul.put("/v1/catalog/service/api", [instance("api-1", port=8080), instance("api-2", port=80, **more)], 8)
    provider = ConsulProvider(consul.url, "eu", datacenter="eu", token="t")
    assert isinstance(provider, DiscoveryProvider)
    assert isinstance(provider, Listing)
    assert isinstance(provider, Watching)
    found = await by_id(provider)
    one, two = "consul:eu/instance/web1/api-1", "consul:eu/instance/web1/api-2"
    assert list(found) == ["consul:eu/node/web1", "consul:eu/service/a/b", "consul:eu/service/api", one, two]
    node, service, first, second = (found[i] for i in ("consul:eu/node/web1", "consul:eu/service/api", one, two))
    assert (node.kind, node.strong_keys) == (AssetKind.INFRASTRUCTURE, ("consul-node:n-1",))
    assert (service.kind, service.depends_on) == (AssetKind.MICROSERVICE, (one, two))
    assert first.strong_keys == ("consul-service:n-1/api-1",)
    assert first.weak_keys == ("address:10.0.0.7:8080",)
    assert first.depends_on == (node.id,)
    assert second.endpoints == (Endpoint(type="tcp", url="tcp://[fd00::7]:80"),)
    assert second.version == "1.2"
    assert second.labels == {"datacenter": "eu", "service": "api", "tags": "a,b", "version": "1.2"}
    assert {(q["dc"], q["token"]) for _, q in consul.asked} == {("eu", "t")}


async def test_the_upstreams_of_a_sidecar_are_what_its_service_depends_on(consul: Consul) -> None:
    upstreams = [{"DestinationType": "service", "DestinationName": n} for n in ("db", "cache")]
    proxy = {"DestinationServiceID": "api-1", "DestinationServiceName": "api", "Upstreams": upstreams}
    sidecar = instance("side", "a/b", 21000, ServiceKind="connect-proxy", ServiceProxy=proxy)
    consul.put("/v1/catalog/service/a%2Fb", [sidecar], 9)
    found = await by_id(ConsulProvider(consul.url))
    wanted = ("consul:local/node/web1", "consul:local/service/cache", "consul:local/service/db")
    assert found["consul:local/instance/web1/api-1"].depends_on == wanted
    assert found["consul:local/instance/web1/side"].kind is AssetKind.INFRASTRUCTURE
    assert found["consul:local/service/a/b"].kind is AssetKind.INFRASTRUCTURE


async def test_a_node_without_an_id_gives_no_strong_key(consul: Consul) -> None:
    consul.put(NODES, [{"ID": "", "Node": "web1", "Address": "10.0.0.7"}], 6)
    consul.put("/v1/catalog/service/api", [instance("api-1", ID="")], 8)
    assert {a.strong_keys for a in await ConsulProvider(consul.url).list()} == {()}


@pytest.mark.parametrize(
    ("path", "content", "why"),
    [
        (NODES, [{"Node": "a", "Address": "x"}, {"Address": "b"}], r"v1/catalog/nodes: 1\.Node: Field required"),
        (SERVICES, ["api"], "v1/catalog/services: "),
        ("/v1/catalog/service/api", [{"Node": "a"}], r"v1/catalog/service/api: 0\.Address"),
        ("/v1/catalog/service/api", [instance("x" * 600)], "consul:local: "),
    ],
)
async def test_a_broken_entry_fails_the_listing(consul: Consul, path: str, content: object, why: str) -> None:
    consul.put(path, content, 9)
    provider = ConsulProvider(consul.url)
    with pytest.raises(ConsulError, match=why):
        await provider.list()
    assert [e.op for e in await poll_once(provider, lambda: 1, PollSettings())] == [Op.SNAPSHOT_BEGIN, Op.SOURCE_FAILED]


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"X-Consul-Results-Filtered-By-ACLs": "true"}, "the token may not see all of it"),
        ({"X-Consul-Index": "soon"}, "X-Consul-Index is 'soon'"),
    ],
)
async def test_an_answer_that_is_not_whole_fails_the_listing(consul: Consul, headers: dict[str, str], why: str) -> None:
    consul.headers = headers
    with pytest.raises(ConsulError, match=f"v1/catalog/nodes: {why}"):
        await ConsulProvider(consul.url).list()


@pytest.mark.parametrize(
    ("path", "whole", "part"),
    [(NODES, [{"Node": "web1", "Address": "10.0.0.7"}], []), (SERVICES, {"api": [], "consul": []}, {"api": []})],
)
async def test_without_a_token_where_acls_deny_an_answer_without_the_servers_fails_the_listing(
    consul: Consul, path: str, whole: object, part: object
) -> None:
    """Consul does not tell the nameless that it left something out."""
    consul.headers = {"X-Consul-Default-ACL-Policy": "deny"}
    consul.put(SERVICES, {"api": [], "consul": []}, 8)
    consul.put("/v1/catalog/service/consul", [], 8)
    consul.put(path, part, 9)
    with pytest.raises(ConsulError, match=f"{path[1:]}: the token may not see all of it"):
        await ConsulProvider(consul.url).list()
    await ConsulProvider(consul.url, token="t").list()
    consul.put(path, whole, 10)
    await ConsulProvider(consul.url).list()


async def test_another_status_fails_the_listing(consul: Consul) -> None:
    consul.status = 500
    with pytest.raises(SourceAnswerError, match="v1/catalog/nodes: status 500"):
        await ConsulProvider(consul.url).list()


@pytest.mark.parametrize(
    ("asked", "answered", "then"), [(5, 9, 9), (5, 5, 5), (9, 5, 0), (0, 0, 1), (0, 7, 7), (7, 0, 0)]
)
def test_the_next_index(asked: int, answered: int, then: int) -> None:
    assert next_index(asked, answered) == then


async def next_of(watch: Any) -> Change | Relist:
    async with asyncio.timeout(5):
        change: Change | Relist = await anext(watch)
        return change


async def test_a_changed_instance_is_told_and_a_gone_one_asks_for_a_listing(consul: Consul) -> None:
    provider = ConsulProvider(consul.url, wait_s=5)
    await provider.list()
    watch = provider.watch()
    waiting = asyncio.create_task(next_of(watch))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    hanging = {(p, q["index"], q["wait"]) for p, q in consul.asked if "index" in q}
    assert (NODES, "5", "5000ms") in hanging
    assert ("/v1/catalog/service/a%2Fb", "3", "5000ms") in hanging
    began = time.monotonic()
    consul.put("/v1/catalog/service/api", [instance("api-1", port=9090)], 8)
    change = await waiting
    assert time.monotonic() - began < 1
    assert isinstance(change, Change)
    assert change.asset is not None
    assert change.asset.weak_keys == ("address:10.0.0.7:9090",)
    consul.put("/v1/catalog/service/api", [], 9)
    changes = [await next_of(watch), await next_of(watch)]
    assert [getattr(c, "asset_id", None) for c in changes] == ["consul:local/service/api", None]
    assert changes[1] == Relist("1 are gone")
    await watch.aclose()


async def test_another_service_asks_for_a_listing(consul: Consul) -> None:
    provider = ConsulProvider(consul.url, wait_s=5)
    await provider.list()
    watch = provider.watch()
    consul.put(SERVICES, {"api": [], "a/b": [], "new": []}, 8)
    assert await next_of(watch) == Relist("other services than before")
    await watch.aclose()


async def test_an_index_that_goes_backwards_is_asked_anew_and_nothing_is_missed(consul: Consul) -> None:
    provider = ConsulProvider(consul.url, wait_s=5)
    await provider.list()
    watch = provider.watch()
    consul.put("/v1/catalog/service/api", [instance("api-1", port=1)], 2)
    assert isinstance(await next_of(watch), Change)
    waiting = asyncio.create_task(next_of(watch))
    await asyncio.sleep(0.4)
    asked = [q.get("index") for p, q in consul.asked if p.endswith("/api")]
    assert asked == [None, "7", None, "2"]
    consul.put("/v1/catalog/service/api", [instance("api-1", port=2)], 3)
    change = await waiting
    assert isinstance(change, Change)
    assert change.asset is not None
    assert change.asset.weak_keys == ("address:10.0.0.7:2",)
    await watch.aclose()


async def test_a_query_that_comes_back_without_news_tells_nothing(consul: Consul) -> None:
    provider = ConsulProvider(consul.url, wait_s=0.1)
    await provider.list()
    watch = provider.watch()
    waiting = asyncio.create_task(next_of(watch))
    await asyncio.sleep(0.6)
    assert not waiting.done()
    asked = [q["index"] for p, q in consul.asked if p == NODES and "index" in q]
    assert 2 <= len(asked) <= 6
    assert set(asked) == {"5"}
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_watch_ends_with_the_error_of_any_of_its_queries(consul: Consul) -> None:
    provider = ConsulProvider(consul.url, wait_s=5)
    await provider.list()
    watch = provider.watch()
    consul.status = 500
    consul.put(NODES, [], 6)
    with pytest.raises(SourceAnswerError, match="v1/catalog/nodes: status 500"):
        await next_of(watch)


async def test_of_too_many_services_nodes_and_names_are_watched(
    consul: Consul, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consul_module, "MOST_WATCHED", 3)
    provider = ConsulProvider(consul.url, wait_s=5)
    await provider.list()
    waiting = asyncio.create_task(next_of(provider.watch()))
    await asyncio.sleep(0.3)
    assert {p for p, q in consul.asked if "index" in q} == {NODES, SERVICES}
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_service_that_comes_is_on_the_topic_within_a_second_under_the_runner(consul: Consul) -> None:
    events: list[DiscoveryEvent] = []
    seen = asyncio.Event()

    async def publish(event: DiscoveryEvent) -> None:
        events.append(event)
        if event.op is Op.SNAPSHOT_COMPLETE or event.asset_id == "consul:local/instance/web1/n":
            seen.set()

    settings = PollSettings(relist_s=0.1)
    task = asyncio.create_task(run(ConsulProvider(consul.url, wait_s=5), publish, lambda: 1, settings))
    await asyncio.wait_for(seen.wait(), 5)
    await asyncio.sleep(0.2)
    seen.clear()
    consul.put("/v1/catalog/service/new", [instance("n", "new")], 8)
    consul.put(SERVICES, {"api": [], "a/b": [], "new": []}, 8)
    await asyncio.wait_for(seen.wait(), 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert Op.SOURCE_FAILED not in {e.op for e in events}
