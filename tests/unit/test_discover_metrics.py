"""The metrics page of `maestro discover`: how each source is doing, and who runs it."""

from __future__ import annotations

import asyncio
import re
import socket
import urllib.request

import pytest
import structlog
from kubernetes_server import ApiServer
from otel_spans import identify, message, server

from schemas.records import Asset, DiscoveryEvent
from streams.discovery.ports import DiscoveryProvider
from streams.discovery.providers.mesh.provider import MeshProvider
from streams.discovery.providers.poll import SourceRun
from streams.discovery.providers.telemetry.feeds import Message
from streams.discovery.providers.telemetry.provider import TelemetryProvider
from streams.discovery.settings import OtelSettings, PollSettings
from streams.remote.kubernetes_access import given
from streams.remote.kubernetes_api import KubernetesApi
from topology.discover.command import Running
from topology.discover.metrics import OF_STATUS, SourceCollector
from topology.metrics import metrics_page, serving
from topology.receiver.running import Listening
from topology.settings import Settings

NOW_MS = 1_790_000_000_500


class Fleet:
    source, scope, complete, freshness_s = "cmdb:dc", "all", True, 60.0

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def list(self) -> list[Asset]:
        if self.error:
            raise self.error
        return [Asset(id="a"), Asset(id="b")]


class Feed:
    def __init__(self, *data: bytes) -> None:
        self.waiting = [Message("spans", one, NOW_MS, where=f"spans:0:{i}") for i, one in enumerate(data)]

    def take(self, wait_s: float) -> list[Message]:
        found, self.waiting = self.waiting, []
        return found

    def close(self) -> None:
        pass


async def nowhere(event: DiscoveryEvent) -> None:
    pass


def run_of(provider: DiscoveryProvider) -> SourceRun:
    return SourceRun(provider, nowhere, lambda: NOW_MS, PollSettings())


def listed(provider: DiscoveryProvider, epoch: int | None = None) -> Running:
    run = run_of(provider)
    asyncio.run(run.listing())
    return Running(provider, run.status, epoch)


def page(*running: Running, others: tuple[str, ...] = ()) -> str:
    by_source = {one.provider.source: one for one in running}
    with serving(SourceCollector([*by_source, *others], by_source), "127.0.0.1", 0) as port:
        return str(urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode())


def lines(told: str, source: str) -> list[str]:
    """Of one source: what stands after `maestro_source_`, without the label `source`."""
    own = f'source="{source}"'
    found = [
        line.removeprefix("maestro_source_") for line in told.splitlines() if own in line and "_created{" not in line
    ]
    return sorted(line.replace(f"{{{own}}}", "").replace(f",{own}", "") for line in found)


def test_a_source_that_answers() -> None:
    assert lines(page(listed(Fleet(), epoch=1_790_000_000_001)), "cmdb:dc") == [
        "assets 2.0",
        "changes_total 0.0",
        "epoch 1.790000000001e+12",
        "failures_in_a_row 0.0",
        "failures_total 0.0",
        "listed_timestamp_seconds 1.7900000005e+09",
        "listing_seconds 0.0",
        "listings_total 1.0",
        "run_here 1.0",
        "up 1.0",
        "watches_broken_total 0.0",
    ]


def test_a_source_that_fails_keeps_its_last_listing_and_tells_the_type_of_its_error_and_not_its_text() -> None:
    fleet = Fleet()
    run = run_of(fleet)
    asyncio.run(run.listing())
    fleet.error = ConnectionError("10.0.0.7:4711 refused at 12:01:03")
    asyncio.run(run.listing())
    asyncio.run(run.listing())
    told = page(Running(fleet, run.status, None))
    for line in ("up 0.0", "failures_in_a_row 2.0", "failures_total 2.0", "assets 2.0", "listings_total 1.0"):
        assert line in lines(told, "cmdb:dc")
    assert 'error{error="ConnectionError"} 1.0' in lines(told, "cmdb:dc")
    assert "4711" not in told
    assert "epoch" not in "".join(lines(told, "cmdb:dc"))


def test_of_a_source_that_has_not_answered_yet_nothing_is_claimed() -> None:
    fleet = Fleet()
    told = lines(page(Running(fleet, run_of(fleet).status, None)), "cmdb:dc")
    assert [line for line in told if line.startswith(("up", "assets", "listed", "listing_"))] == []
    assert "failures_in_a_row 0.0" in told


def test_a_source_of_another_instance_is_only_said_to_be_that() -> None:
    assert lines(page(others=("cmdb:dc",)), "cmdb:dc") == ["run_here 0.0"]


def test_what_was_lost_of_opentelemetry() -> None:
    damaged = server(3)
    damaged.trace_id = b"x"
    feed = Feed(b"\xff\xff", message("a", server(1), damaged), message("b", server(2)), message("c", server(4)))
    told = lines(
        page(listed(TelemetryProvider("eu", [feed], identify, OtelSettings(max_assets=2)))), "opentelemetry:eu"
    )
    assert [line for line in told if "lost" in line] == [
        'telemetry_lost_total{outcome="failed"} 0.0',
        'telemetry_lost_total{outcome="faults"} 1.0',
        'telemetry_lost_total{outcome="forgotten"} 1.0',
        'telemetry_lost_total{outcome="unreadable"} 1.0',
    ]


def test_kinds_that_a_mesh_does_not_serve_and_objects_that_cannot_be_read() -> None:
    api = ApiServer()
    try:
        api.absent = {"workloadentries"}
        meta = {"name": "x", "namespace": "shop", "uid": "u1"}
        api.put({"kind": "ServiceEntry", "metadata": meta, "spec": {"hosts": []}})
        access = given(api.url)
        told = lines(page(listed(MeshProvider(access, "prod", api=KubernetesApi(access, 5, 500)))), "mesh:prod")
    finally:
        api.stop()
    assert 'kind_not_served{kind="workloadentries"} 1.0' in told
    assert [line for line in told if "not_served" in line] == ['kind_not_served{kind="workloadentries"} 1.0']
    assert "unreadable_objects 1.0" in told


def test_every_declared_metric_has_a_meaning() -> None:
    told = page(listed(Fleet()))
    for declared in OF_STATUS:
        assert f"# HELP {declared.name} {declared.meaning}" in told


def test_there_is_a_page_only_where_a_port_is_set() -> None:
    none = SourceCollector([], {})
    with metrics_page(none, Settings()):
        pass
    with (
        serving(none, "127.0.0.1", 0) as port,
        pytest.raises(OSError),
        metrics_page(none, Settings(metrics_port=port)),
    ):
        pass


def test_the_page_of_an_ipv6_host_is_told_as_a_url_that_can_be_opened() -> None:
    none = SourceCollector([], {})
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with structlog.testing.capture_logs() as logs, metrics_page(none, Settings(metrics_port=0, metrics_host="::1")):
        (url,) = [str(line["url"]) for line in logs]
        assert urllib.request.urlopen(url, timeout=5).status == 200
    assert re.fullmatch(r"http://\[::1\]:\d+/metrics", url)
    assert Listening("::1", 8080, None).url == "http://[::1]:8080"
