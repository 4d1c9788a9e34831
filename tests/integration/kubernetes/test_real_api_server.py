"""What only a real API server can show of discovery: its own 410, its bookmarks, a crash, its refusals, its tokens.

Skipped without one (`fixtures/kubernetes_process.py`). The same tests as against the fake are in tests/unit/discovery.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes_process import ADMIN, KubernetesCluster, kubernetes
from watching import Watched, listed

from schemas.records import DiscoveryEvent, Op
from streams.discovery.ports import Relist
from streams.discovery.providers.kubernetes import KubernetesProvider
from streams.discovery.providers.kubernetes_objects import DEPLOYMENT, SERVICE
from streams.discovery.providers.poll import poll_once, run_all
from streams.discovery.settings import PollSettings
from streams.remote.kubernetes_access import given, kubeconfig
from streams.remote.kubernetes_api import KubernetesApi, KubernetesError

pytestmark = pytest.mark.timeout(120)
SERVICES = "/api/v1/namespaces/default/services"
READ = {"apiGroups": ["", "apps", "batch"], "resources": ["nodes", "services", "deployments", "jobs"]}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesCluster]:
    """Of this file: it is killed and its etcd compacted. Without a watch cache etcd's own versions are what is kept."""
    with kubernetes(tmp_path_factory.mktemp("kubernetes"), "--watch-cache=false") as running:
        yield running


@pytest.fixture
def services(cluster: KubernetesCluster) -> Iterator[None]:
    yield
    cluster.call("DELETE", f"{SERVICES}?labelSelector=made")


def put(cluster: KubernetesCluster, name: str, port: int = 80) -> str:
    """Its asset's id."""
    spec = {"ports": [{"port": port}]}
    body = {"metadata": {"name": name, "labels": {"made": "here"}}, "spec": spec}
    if cluster.answer("GET", f"{SERVICES}/{name}").is_success:
        cluster.merge(f"{SERVICES}/{name}", {"spec": spec})
    else:
        cluster.call("POST", SERVICES, body)
    return f"k8s:prod/default/service/{name}"


def provider_of(
    cluster: KubernetesCluster, page_objects: int = 500, watch_s: float = 120.0, token: str = ADMIN
) -> KubernetesProvider:
    access = given(cluster.url, token=token, ca_file=cluster.ca_file)
    api = KubernetesApi(access, 10, page_objects, watch_s)
    return KubernetesProvider(access, "prod", resume_s=0.05, api=api)


async def test_a_version_that_etcd_has_compacted_asks_for_a_listing(cluster, services) -> None:
    provider = provider_of(cluster)
    await listed(provider)
    asset_id = put(cluster, "missed")
    cluster.compact()
    put(cluster, "missed", 81)
    stream = provider.watch()
    assert isinstance(await asyncio.wait_for(anext(stream), 10), Relist)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert (await listed(provider))[asset_id].weak_keys[0].endswith(":81")


async def test_a_page_whose_version_etcd_has_compacted_begins_the_list_anew(cluster, services) -> None:
    ids = [put(cluster, f"s{i}") for i in range(6)]
    provider = provider_of(cluster, page_objects=2)
    real, seen = provider._following._api, []

    def pages(path: str):
        for page in KubernetesApi.pages(real, path):
            yield page
            seen.append(path)
            if path == "/api/v1/services" and seen.count(path) == 1:
                cluster.call("DELETE", f"{SERVICES}/s0")
                cluster.compact()
                put(cluster, "s5", 81)

    real.pages = pages  # type: ignore[method-assign]
    found = await listed(provider)
    assert [i for i in found if "/service/s" in i] == ids[1:]
    assert found[ids[5]].weak_keys[0].endswith(":81")


async def test_the_servers_own_bookmarks_keep_a_quiet_watch_from_being_listed_anew(tmp_path: Path) -> None:
    path = "/api/v1/namespaces/quiet/services"
    with kubernetes(tmp_path) as cluster:
        cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": "quiet"}})
        access = given(cluster.url, token=ADMIN, ca_file=cluster.ca_file)
        api = KubernetesApi(access, 10, 500, watch_s=5)
        provider = KubernetesProvider(access, "prod", "quiet", (SERVICE,), resume_s=0.05, api=api)
        async with Watched(provider) as watched:
            listed_at = int(provider._following._versions[path])
            coming = asyncio.create_task(anext(watched.stream))
            try:
                for port in range(1, 65):  # elsewhere, so that versions move on
                    put(cluster, "busy", port)
                    await asyncio.sleep(0.1)
                assert int(provider._following._versions[path]) > listed_at
                cluster.compact()
                cluster.call("POST", path, {"metadata": {"name": "b"}, "spec": {"ports": [{"port": 80}]}})
                assert (await asyncio.wait_for(coming, 10)).asset_id == "k8s:prod/quiet/service/b"
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)


async def test_a_server_that_crashes_and_comes_back_is_followed_and_nothing_is_missed(cluster, services) -> None:
    gone = put(cluster, "gone")
    events: list[DiscoveryEvent] = []

    async def publish(event: DiscoveryEvent) -> None:
        events.append(event)

    times = itertools.count(1)
    settings = PollSettings(retry_s=0.5)
    task = asyncio.create_task(run_all([provider_of(cluster)], publish, lambda: next(times), settings))
    try:
        await _until(lambda: any(e.op is Op.SNAPSHOT_COMPLETE for e in events))
        await asyncio.to_thread(cluster.stop_api)
        await _until(lambda: any(e.op is Op.SOURCE_FAILED for e in events))
        await asyncio.to_thread(cluster.start, "--watch-cache=false")
        cluster.call("DELETE", f"{SERVICES}/gone")
        new = put(cluster, "new")
        await _until(lambda: any(e.asset_id == new for e in events))
        await _until(lambda: any(e.op is Op.DELETE and e.asset_id == gone for e in events) or gone not in _last(events))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _last(events: list[DiscoveryEvent]) -> set[str | None]:
    """Of the last whole listing."""
    whole = [e.snapshot_id for e in events if e.op is Op.SNAPSHOT_COMPLETE]
    return {e.asset_id for e in events if e.snapshot_id == whole[-1]}


async def _to_the_end(stream) -> None:
    async for _ in stream:
        pass


async def _until(true) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_an_account_that_may_read_is_enough(cluster, services) -> None:
    token = cluster.account("reader", [{**READ, "verbs": ["list", "watch"]}])
    asset_id = put(cluster, "a")
    async with Watched(provider_of(cluster, token=token)) as watched:
        put(cluster, "a", 81)
        assert (await watched.next()).asset_id == asset_id


async def test_what_an_account_may_not_list_fails_the_listing_and_is_named(cluster) -> None:
    token = cluster.account("services-only", [{**READ, "resources": ["services", "deployments"], "verbs": ["list"]}])
    events = await poll_once(provider_of(cluster, token=token), lambda: 1, PollSettings())
    assert [e.op for e in events] == [Op.SNAPSHOT_BEGIN, Op.SOURCE_FAILED]
    assert "/api/v1/nodes: status 403" in events[-1].reason
    assert "cannot list resource" in events[-1].reason
    access = given(cluster.url, token=token, ca_file=cluster.ca_file)
    kinds = KubernetesProvider(access, "prod", kinds=(SERVICE, DEPLOYMENT))
    assert "k8s:prod/default/service/kubernetes" in await listed(kinds)
    with pytest.raises(KubernetesError, match=r"status 403.*cannot watch"):
        await anext(kinds.watch())


async def test_a_token_in_a_file_is_renewed_while_a_cluster_is_watched(cluster, services, tmp_path) -> None:
    file = tmp_path / "token"
    rules = [{**READ, "verbs": ["list", "watch"]}]
    file.write_text(cluster.account("renewed", rules) + "\n")
    access = given(cluster.url, token_file=file, ca_file=cluster.ca_file)
    provider = KubernetesProvider(access, "prod", resume_s=0.05, api=KubernetesApi(access, 10, 500, 1))
    async with Watched(provider) as watched:
        coming = asyncio.create_task(anext(watched.stream))
        cluster.call("DELETE", "/api/v1/namespaces/default/serviceaccounts/renewed")
        cluster.call("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "renewed"}})
        file.write_text(cluster.account("renewed", rules) + "\n")
        await asyncio.sleep(2.5)  # each watch ends after 1 s, and the next one shows the token of then
        asset_id = put(cluster, "a")
        assert (await asyncio.wait_for(coming, 10)).asset_id == asset_id
        file.write_text("no token\n")
        with pytest.raises(KubernetesError, match="status 401"):
            await asyncio.wait_for(_to_the_end(watched.stream), 10)
    with pytest.raises(KubernetesError, match="status 401"):
        await listed(provider)


async def test_a_kubeconfig_is_read_with_its_authority(cluster) -> None:
    provider = KubernetesProvider(kubeconfig(cluster.kubeconfig(ADMIN)))
    assert "k8s:c/default/service/kubernetes" in await listed(provider)
