"""Istio's registry, against a server that lists and watches as the API server does, and against a real one.

The real one (as in test_discovery_kubernetes.py) serves both kinds with Istio's names and versions. Where KUBECONFIG
names a cluster, with Istio or without, what only reads runs against that too.
"""

from __future__ import annotations

import asyncio
import itertools
import os

import pytest
import structlog
from kubernetes_process import servers
from kubernetes_real import RealServer
from kubernetes_server import ApiServer
from watching import Watched, after_a_bookmark, after_a_fault, listed, until

from schemas.records import AssetKind, DiscoveryEvent, Op
from streams.discovery.ports import Change, DiscoveryProvider, Listing, Relist, Watching
from streams.discovery.providers.events import change_event
from streams.discovery.providers.kubernetes_objects import SERVICE, Cluster, Place, asset_of
from streams.discovery.providers.mesh.entries import MOST
from streams.discovery.providers.mesh.provider import MeshProvider
from streams.discovery.providers.poll import poll_once, run_all
from streams.discovery.settings import PollSettings
from streams.remote.kubernetes_access import from_environment, given
from streams.remote.kubernetes_api import GoneError, KubernetesApi, KubernetesError

STRIPE, VM1 = "mesh:prod/shop/service-entry/stripe", "mesh:prod/shop/workload-entry/vm1"
DETAILS, BLUE = "mesh:prod/shop/service-entry/details", "k8s:prod/shop/deployment/blue"


@pytest.fixture
def fake():
    running = ApiServer(faulty="serviceentries")
    yield running
    running.stop()


@pytest.fixture
def real(request):
    running = RealServer(request.getfixturevalue("kubernetes_cluster"), faulty="serviceentries")
    yield running
    running.stop()


@pytest.fixture(params=servers())
def server(request):
    return request.getfixturevalue(request.param)


def provider_of(server, page_objects=500, **more):
    access = given(server.url)
    return MeshProvider(access, "prod", resume_s=0.01, api=KubernetesApi(access, 5, page_objects), **more)


def made(kind, name, spec, namespace="shop", labels=None, **more):
    meta = {"name": name, "namespace": namespace, "uid": f"u-{namespace}-{name}", "labels": labels or {}}
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": meta, "spec": spec, **more}


def port(number, name="https", protocol="TLS", **more):
    return {"number": number, "name": name, "protocol": protocol, **more}


def entry(name, hosts=None, ports=None, namespace="shop", labels=None, **spec):
    spec = {"hosts": hosts or [f"{name}.example.com"], "ports": ports or [port(443)], **spec}
    return made("ServiceEntry", name, spec, namespace, labels)


def chosen(name, namespace="shop", **labels):
    return entry(name, namespace=namespace, location="MESH_INTERNAL", workloadSelector={"labels": labels})


def workload(name, address="2.2.2.2", namespace="shop", labels=None, status=None, **spec):
    return made("WorkloadEntry", name, {"address": address, **spec}, namespace, labels, status=status)


def labelled(thing, **labels):
    return {**thing, "spec": {**thing["spec"], "labels": labels}}


def deployment(name, **labels):
    pods = {"metadata": {"labels": {"run": name, **labels}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"run": name}}, "template": pods}
    return {**made("Deployment", name, spec), "apiVersion": "apps/v1"}


@pytest.mark.parametrize("cluster", ["local", "KUBECONFIG"])
async def test_a_mesh_is_listed_and_then_watched_without_a_gap(cluster, server):
    if cluster == "KUBECONFIG":
        if not os.environ.get("KUBECONFIG"):
            pytest.skip("KUBECONFIG names no API server")
        provider = MeshProvider(from_environment(os.environ), "prod")
    else:
        provider = provider_of(server)
        server.put(entry("stripe"))
    found = await listed(provider)
    assert provider.not_served or provider.unreadable == 0
    assert all(asset.strong_keys for asset in found.values() if "/endpoint/" not in asset.id)
    try:
        async with asyncio.timeout(1):
            async for change in provider.watch():
                assert isinstance(change, Change)
    except TimeoutError:
        pass  # it neither ended nor raised


async def test_a_service_outside_the_mesh_is_an_external_api_known_by_its_hosts(server):
    hosts = ["API.stripe.com", "*.stripe.com"]
    ports = [port(443), port(80, "http", "HTTP")]
    made = server.put(entry("stripe", hosts, ports, labels={"team": "pay"}, resolution="DNS", exportTo=["."]))
    asset = (await listed(provider_of(server)))[STRIPE]
    assert (asset.kind, asset.name, asset.strong_keys) == (
        AssetKind.EXTERNAL_API,
        "stripe",
        (f"service-entry-uid:{made['metadata']['uid']}",),
    )
    assert asset.weak_keys == ("dns:api.stripe.com", "address:api.stripe.com:443", "address:api.stripe.com:80")
    assert [(e.type, e.url) for e in asset.endpoints] == [
        ("tls", "tls://api.stripe.com:443"),
        ("http", "http://api.stripe.com:80"),
    ]
    assert asset.labels == {
        "team": "pay", "namespace": "shop", "hosts": "API.stripe.com,*.stripe.com", "location": "MESH_EXTERNAL",
        "resolution": "DNS", "export_to": ".",
    }  # fmt: skip
    assert asset.depends_on == ()


async def test_virtual_addresses_are_keys_but_ranges_are_not(server):
    server.put(entry("db", ports=[port(27018)], addresses=["10.1.0.9", "192.192.192.192/24", "fd00::9"]))
    asset = (await listed(provider_of(server)))["mesh:prod/shop/service-entry/db"]
    assert asset.weak_keys[2:] == ("address:10.1.0.9:27018", "address:[fd00::9]:27018")


async def test_a_workload_entry_is_a_machine_known_by_its_address(server):
    health = {"conditions": [{"type": "Healthy", "status": "False"}]}
    spec = {"ports": {"http": 8080}, "locality": "eu/eu-1/rack-2", "weight": 3, "network": "n1", "serviceAccount": "vm"}
    made = server.put(labelled(workload("vm1", labels={"app": "b"}, status=health, **spec), app="a", tier="x"))
    server.put(workload("by-socket", "unix:///run/app.sock"))
    found = await listed(provider_of(server))
    vm1 = found[VM1]
    assert (vm1.kind, vm1.region, vm1.zone) == (AssetKind.INFRASTRUCTURE, "eu", "eu-1")
    assert (vm1.failure_domain, vm1.strong_keys) == ("eu/eu-1/rack-2", (f"k8s-uid:{made['metadata']['uid']}",))
    assert vm1.weak_keys == ("address:2.2.2.2", "address:2.2.2.2:8080")
    assert [e.url for e in vm1.endpoints] == ["tcp://2.2.2.2:8080"]
    assert vm1.labels == {
        "app": "b", "tier": "x", "namespace": "shop", "state": "unhealthy", "service_account": "vm", "network": "n1",
        "weight": "3",
    }  # fmt: skip
    assert found["mesh:prod/shop/workload-entry/by-socket"].weak_keys == ()


async def test_a_selector_chooses_workload_entries_and_deployments_of_its_namespace_that_have_all_its_labels(server):
    server.put(chosen("details", app="details", track="stable"))
    server.put(chosen("elsewhere", namespace="other", app="details"))
    server.put(chosen("of-nothing"))
    spec_labels = {"app": "details", "track": "canary"}
    server.put(labelled(workload("vm1", labels={"track": "stable"}), **spec_labels))
    server.put(labelled(workload("vm2"), **spec_labels))
    server.put(deployment("blue", app="details", track="stable", hash="1"))
    server.put(deployment("green", app="details"))
    found = await listed(provider_of(server))
    assert {a.name: a.depends_on for a in found.values() if "/service-entry/" in a.id} == {
        "details": (BLUE, VM1),
        "elsewhere": (),
        "of-nothing": (),
    }
    assert not [asset_id for asset_id in found if "/deployment/" in asset_id]


async def test_what_a_selector_chooses_follows_the_workloads(server):
    server.put(chosen("details", app="details"))
    async with Watched(provider_of(server)) as watched:

        async def told_after(change, count):
            change()
            return [(c.asset_id, c.asset and c.asset.depends_on) for c in [await watched.next() for _ in range(count)]]

        vm = workload("vm1", labels={"app": "details"})
        assert await told_after(lambda: server.put(vm), 2) == [(VM1, ()), (DETAILS, (VM1,))]
        assert await told_after(lambda: server.put(deployment("blue", app="details")), 1) == [(DETAILS, (BLUE, VM1))]
        assert await told_after(lambda: server.delete(vm), 2) == [(VM1, None), (DETAILS, (BLUE,))]
        assert await told_after(lambda: server.put(deployment("blue", app="x")), 1) == [(DETAILS, ())]
        assert await told_after(lambda: server.put(chosen("details", app="x")), 1) == [(DETAILS, (BLUE,))]


async def test_endpoints_are_assets_that_their_entry_depends_on(server):
    ports = [port(27018, "mongo", "MONGO"), port(80, "http", "HTTP", targetPort=8080)]
    one = {"address": "3.3.3.3", "ports": {"mongo": 7018}, "labels": {"v": "1"}, "locality": "eu/eu-1", "network": "n1"}
    server.put(entry("db", ["db.corp"], ports, resolution="STATIC", endpoints=[one, {"address": "unix:///run/x"}]))
    found = await listed(provider_of(server))
    first, second = "mesh:prod/endpoint/n1/3.3.3.3:7018", "mesh:prod/endpoint/n1/3.3.3.3:8080"
    assert found["mesh:prod/shop/service-entry/db"].depends_on == (first, second)
    asset = found[first]
    assert (asset.kind, asset.region, asset.zone) == (AssetKind.UNKNOWN, "eu", "eu-1")
    assert (asset.weak_keys, asset.labels) == (("address:3.3.3.3:7018",), {"v": "1", "network": "n1"})
    assert len(found) == 3


async def test_an_endpoint_that_bears_the_entrys_own_host_is_the_entry(server):
    server.put(entry("stripe", ["api.stripe.com"], resolution="DNS", endpoints=[{"address": "api.stripe.com"}]))
    assert list(await listed(provider_of(server))) == [STRIPE]


async def test_an_endpoint_stays_as_long_as_an_entry_names_it(server):
    first, second = (entry(name, endpoints=[{"address": "3.3.3.3"}], resolution="STATIC") for name in ("a", "b"))
    server.put(first)
    server.put(second)
    async with Watched(provider_of(server)) as watched:
        server.delete(first)
        assert await watched.next() == Change("mesh:prod/shop/service-entry/a", None)
        server.put(entry("b", resolution="STATIC", endpoints=[{"address": "4.4.4.4"}]))
        told = {c.asset_id: c.asset and c.asset.depends_on for c in [await watched.next() for _ in range(3)]}
    assert told == {
        "mesh:prod/endpoint/3.3.3.3:443": None,
        "mesh:prod/endpoint/4.4.4.4:443": (),
        "mesh:prod/shop/service-entry/b": ("mesh:prod/endpoint/4.4.4.4:443",),
    }


async def test_what_telemetry_saw_called_is_the_entry_and_an_endpoint_is_what_else_has_its_address(server, story):
    s, mesh = story(), provider_of(server)
    known = {"kind": "microservice", "weak_keys": ("address:3.3.3.3:443",)}
    for source, asset in (("haproxy:edge", {"id": "edge/web1", **known}), ("otel:eu", {"id": "o/stripe"})):
        keys = {"weak_keys": ("address:stripe.example.com:443",), **asset}
        event = {"source": source, "scope": "s", "op": "upsert", "asset_id": asset["id"], "asset": keys, "at": 1}
        s.take(DiscoveryEvent.model_validate(event))
    server.put(entry("stripe", resolution="STATIC", endpoints=[{"address": "3.3.3.3"}]))
    for asset in (await listed(mesh)).values():
        s.upsert(mesh.source, asset, at=1, scope=mesh.scope)
    assert set(s.registry) == {"edge/web1", "o/stripe"}
    assert s.registry["o/stripe"].kind is AssetKind.EXTERNAL_API
    assert s.registry["o/stripe"].depends_on == ("edge/web1",)


WEB, WEB_ENTRY = "k8s:prod/shop/service/web", "mesh:prod/shop/service-entry/web"
HOST = "web.shop.svc.cluster.local"


def service_of(cluster, domain="cluster.local"):
    spec = {"clusterIP": "10.96.0.7", "ports": [{"port": 80, "protocol": "TCP"}]}
    item = {"metadata": {"name": "web", "namespace": "shop", "uid": f"u-{cluster}"}, "spec": spec}
    return asset_of(SERVICE, Cluster(cluster, domain), Place(), item)


async def told_of_entry(server, story, *services, location="MESH_INTERNAL", first="k8s", **more):
    """What the registry holds of an entry for HOST and of these services."""
    s, mesh = story(), provider_of(server)
    server.put(entry("web", [HOST], [port(80, "http", "HTTP")], location=location, **more))
    entries = (await listed(mesh)).values()
    told = [("k8s", "k8s:" + one.id.split("/")[0][4:], one, "c") for one in services]
    told += [("mesh", mesh.source, one, mesh.scope) for one in entries]
    for _, source, one, scope in sorted(told, key=lambda t: t[0] != first):
        s.upsert(source, one, at=1, scope=scope)
    return s.registry


@pytest.mark.parametrize("first", ["k8s", "mesh"])
async def test_an_entry_for_the_host_of_a_service_of_its_namespace_is_that_service(server, story, first):
    registry = await told_of_entry(server, story, service_of("prod"), first=first)
    assert set(registry) == {WEB if first == "k8s" else WEB_ENTRY}
    [one] = registry.values()
    assert (one.labels["hosts"], one.provenance["endpoints"]) == (HOST, "k8s:prod")


async def test_it_is_that_of_its_own_cluster_and_of_no_other(server, story):
    registry = await told_of_entry(server, story, service_of("other"), service_of("prod"))
    assert set(registry) == {WEB, "k8s:other/shop/service/web"}
    assert "hosts" in registry[WEB].labels
    assert "hosts" not in registry["k8s:other/shop/service/web"].labels


async def test_an_entry_of_another_cluster_alone_is_no_service_of_it(server, story):
    registry = await told_of_entry(server, story, service_of("other"))
    assert set(registry) == {WEB_ENTRY, "k8s:other/shop/service/web"}


@pytest.mark.parametrize("more", [{"location": "MESH_EXTERNAL"}, {"namespace": "pay"}])
async def test_an_entry_that_says_it_is_outside_or_stands_in_another_namespace_is_not_the_service(server, story, more):
    registry = await told_of_entry(server, story, service_of("prod"), **more)
    assert len(registry) == 2


async def test_a_cluster_whose_dns_has_another_domain(server, story):
    registry = await told_of_entry(server, story, service_of("prod", "corp.example"))
    assert set(registry) == {WEB, WEB_ENTRY}
    assert service_of("prod", "corp.example").weak_keys[-1] == "dns:prod/web.shop.svc.corp.example"


@pytest.mark.parametrize(
    "bad", [{"ports": [{"number": 99999, "name": "x"}], "hosts": ["x"]}, {"hosts": []}, {"hosts": 7}]
)
async def test_a_bad_object_costs_one_row_which_says_so(server, bad):
    for name in ("a", "b"):
        server.put(entry(name))
    server.put(made("ServiceEntry", "bad", bad))
    provider = provider_of(server)
    with structlog.testing.capture_logs() as logs:
        events = await poll_once(provider, lambda: 1, PollSettings())
    assert [e.op for e in events] == [Op.SNAPSHOT_BEGIN, *[Op.UPSERT] * 3, Op.SNAPSHOT_COMPLETE]
    row = events[3].asset
    assert (row.id, row.kind) == ("mesh:prod/shop/service-entry/bad", AssetKind.UNKNOWN)
    assert (row.labels["state"], row.weak_keys) == ("unreadable", ())
    assert [(log["object"], log["kind"]) for log in logs] == [("shop/bad", "serviceentries")]
    assert "spec." in logs[0]["error"]
    assert provider.unreadable == 1


async def test_a_bad_object_of_a_watch_costs_one_row_and_can_be_mended_or_deleted(server):
    server.put(entry("stripe"))
    async with Watched(provider_of(server)) as watched:
        server.put(made("ServiceEntry", "stripe", {}))
        assert (await watched.next()).asset.labels["state"] == "unreadable"
        server.put(entry("stripe"))
        assert "state" not in (await watched.next()).asset.labels
        bad = made("ServiceEntry", "stripe", {})
        server.put(bad)
        await watched.next()
        server.delete(bad)
        assert await watched.next() == Change(STRIPE, None)


async def test_an_object_without_a_name_and_a_bad_deployment_are_left_out(fake):
    fake.put(deployment("blue", app="x"))
    fake.put(made("Deployment", "bad", {"replicas": "many"}))
    fake.objects["serviceentries"]["shop/none"] = {"metadata": {"resourceVersion": "1"}, "spec": {}}
    fake.put(chosen("details", app="x"))
    provider = provider_of(fake)
    assert {a.id: a.depends_on for a in (await listed(provider)).values()} == {DETAILS: (BLUE,)}
    assert provider.unreadable == 2


async def test_an_entry_whose_row_would_not_fit_into_a_message_costs_one_row(server):
    server.put(entry("wide", [f"h{i}.example.com" for i in range(MOST // 2 + 1)], [port(1, "a"), port(2, "b")]))
    server.put(entry("stripe"))
    found = await listed(provider_of(server))
    assert [a.labels.get("state") for a in found.values()] == [None, "unreadable"]


async def test_the_greatest_entry_fits_into_a_message(server):
    name = "h" * 240
    endpoints = [{"address": f"{name}{i}.example.com"} for i in range(MOST)]
    server.put(entry("wide", [f"{name}.example.com"], endpoints=endpoints, resolution="DNS"))
    found = await listed(provider_of(server))
    assert len(found["mesh:prod/shop/service-entry/wide"].depends_on) == MOST
    assert max(len(a.model_dump_json()) for a in found.values()) < 1_000_000


async def test_a_cluster_without_istio_is_a_whole_listing_of_nothing_and_said_once(server):
    server.absent = {"serviceentries", "workloadentries"}
    provider = provider_of(server)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            events = await poll_once(provider, lambda: 1, PollSettings())
            assert [e.op for e in events] == [Op.SNAPSHOT_BEGIN, Op.SNAPSHOT_COMPLETE]
    assert [log["event"] for log in logs] == ["the cluster does not serve /apis/networking.istio.io/v1"]
    assert logs[0]["not_served"] == ("workloadentries", "serviceentries")
    assert provider.not_served == ("workloadentries", "serviceentries")
    server.absent = set()
    server.put(entry("stripe"))
    assert list(await listed(provider)) == [STRIPE]
    assert provider.not_served == ()


async def test_without_istio_nothing_fails_or_asks_again_until_a_listing_is_due(server):
    server.absent = {"serviceentries", "workloadentries"}
    events, times = [], itertools.count(1)

    async def publish(event):
        events.append(event)

    provider = provider_of(server, freshness_s=0.5)
    began = asyncio.get_running_loop().time()
    task = asyncio.create_task(run_all([provider], publish, lambda: next(times), PollSettings()))
    await until(lambda: len(server.lists("serviceentries")) == 2)
    assert asyncio.get_running_loop().time() - began >= 0.5
    server.absent = set()
    server.put(entry("stripe"))
    await until(lambda: any(e.asset_id == STRIPE for e in events))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert Op.SOURCE_FAILED not in {e.op for e in events}


async def test_istio_that_is_taken_away_during_a_watch_asks_for_a_listing(server):
    server.put(entry("stripe"))
    async with Watched(provider_of(server)) as watched:
        coming = asyncio.create_task(watched.next())
        await until(lambda: len(server.streams) == 3)
        server.absent = {"serviceentries", "workloadentries"}
        server.fault("end")
        assert isinstance(await coming, Relist)


async def test_a_cluster_that_refuses_is_a_failure(server):
    server.token = "secret"
    with pytest.raises(KubernetesError, match="status 401"):
        await listed(provider_of(server))


@pytest.mark.parametrize("fault", ["cut", "end", 503, 429])
async def test_a_broken_stream_resumes_where_it_was(server, fault):
    async with Watched(provider_of(server)) as watched:
        change, at = await after_a_fault(watched, server, "serviceentries", fault, entry("a"), entry("stripe"))
        assert change.asset_id == STRIPE
    assert set(server.watches("serviceentries")[1:]) == {str(at)}
    assert len(server.lists("serviceentries")) == 1


async def test_a_bookmark_moves_the_version_and_is_no_change(fake):
    async with Watched(provider_of(fake)) as watched:
        change, at = await after_a_bookmark(watched, fake, "serviceentries", 3, entry("stripe"))
        assert change.asset_id == STRIPE
    assert fake.watches("serviceentries")[1] == str(at)


@pytest.mark.parametrize("fault", [410, "error 410"])
async def test_410_asks_for_a_listing_and_after_another_fails_so_that_the_runner_waits(server, fault):
    provider = provider_of(server)
    server.faults = [fault, fault]
    async with Watched(provider) as watched:
        assert isinstance(await watched.next(), Relist)
    async with Watched(provider) as watched:
        with pytest.raises(GoneError):
            await watched.next()


async def test_a_thousand_entries_in_pages(server):
    for i in range(1000):
        server.put(entry(f"e{i}"))
    provider = provider_of(server, page_objects=100)
    assert len(await listed(provider)) == 1000
    assert len(server.lists("serviceentries")) == 10


async def test_a_page_that_is_no_longer_kept_begins_the_list_anew_without_what_is_gone(server):
    things = [chosen("details", app="x"), *(labelled(workload(f"vm{i}"), app="x") for i in range(4))]
    for thing in things:
        server.put(thing)

    def deleted_meanwhile():
        server.delete(things[1])
        return 410

    server.page_faults = [deleted_meanwhile]
    found = await listed(provider_of(server, page_objects=2))
    assert [asset.name for asset in found.values()] == ["vm1", "vm2", "vm3", "details"]
    assert found[DETAILS].depends_on == tuple(f"mesh:prod/shop/workload-entry/vm{i}" for i in (1, 2, 3))


async def test_half_a_listing_deletes_nothing(server, story):
    s, provider = story(), provider_of(server, page_objects=2)
    for i in range(4):
        server.put(entry(f"e{i}"))
    server.put(workload("vm1"))
    at = itertools.count(1)

    async def poll():
        for event in await poll_once(provider, lambda: 1_700_000_000_000 + next(at), PollSettings()):
            s.take(event, at=next(at))

    await poll()
    server.page_faults = [500]
    server.objects["serviceentries"].clear()
    for i in range(2, 5):
        server.put(entry(f"e{i}"))
    await poll()
    names = {a.name: a.state.value for a in s.registry.values()}
    assert names == {"vm1": "stale", "e0": "stale", "e1": "stale", "e2": "stale", "e3": "stale"}
    assert "removed" not in s.changes()


async def test_an_entry_that_is_deleted_becomes_a_tombstone(server, story):
    s, provider = story(), provider_of(server)
    gone = entry("stripe")
    server.put(gone)
    async with Watched(provider) as watched:
        for event in await poll_once(provider, lambda: 1_700_000_000_000, PollSettings()):
            s.take(event)
        assert STRIPE in s.registry
        server.delete(gone)
        s.take(change_event(provider, await watched.next(), 1_700_000_001_000), at=1)
    assert s.records(STRIPE)[-1] is None
    assert STRIPE not in s.registry


async def test_one_namespace(server):
    server.put(entry("stripe"))
    server.put(entry("other", namespace="other"))
    provider = provider_of(server, namespace="shop")
    assert list(await listed(provider)) == [STRIPE]
    assert (provider.source, provider.scope) == ("mesh:prod/shop", "mesh/prod/shop")
    assert server.requests[-1][0] == "/apis/networking.istio.io/v1/namespaces/shop/serviceentries"


def test_it_is_a_provider_that_lists_and_watches(server):
    provider = provider_of(server)
    assert isinstance(provider, DiscoveryProvider)
    assert isinstance(provider, Listing)
    assert isinstance(provider, Watching)
    assert (provider.source, provider.scope) == ("mesh:prod", "mesh/prod")
