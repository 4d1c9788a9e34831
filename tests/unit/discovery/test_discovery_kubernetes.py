"""The Kubernetes provider against a server that lists and watches as the API server does, and against a real one.

`MAESTRO_TEST_KUBERNETES` names the folder of a real API server (`fixtures/kubernetes_process.py`); what needs to be
broken is broken on the way from it. Where KUBECONFIG names a cluster, what only reads runs against that too.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import ssl
import subprocess
import zlib
from pathlib import Path

import pytest
import yaml
from kubernetes_process import servers
from kubernetes_real import RealServer
from kubernetes_server import ApiServer
from watching import Watched, after_a_bookmark, after_a_fault, listed, until

from schemas.records import AssetKind, Op
from streams.discovery.ports import Change, DiscoveryProvider, Listing, Relist, Watching
from streams.discovery.providers.kubernetes import KubernetesProvider, provider
from streams.discovery.providers.kubernetes_objects import DEPLOYMENT, SERVICE, ObjectError
from streams.discovery.providers.poll import poll_once, run_all
from streams.discovery.settings import PollSettings
from streams.remote.kubernetes_access import AccessError, from_environment, given, in_cluster, kubeconfig
from streams.remote.kubernetes_api import BrokenError, GoneError, KubernetesApi, KubernetesError


@pytest.fixture
def fake():
    running = ApiServer()
    running.put(service("kubernetes", namespace="default", ip="10.96.0.1", port=443))
    running.put(node("n1"))
    yield running
    running.stop()


@pytest.fixture
def real(request):
    running = RealServer(request.getfixturevalue("kubernetes_cluster"))
    running.put(node("n1"))
    yield running
    running.stop()


@pytest.fixture(params=servers())
def server(request):
    return request.getfixturevalue(request.param)


def meta(name, namespace="shop", **more):
    place = {"namespace": namespace} if namespace else {}
    return {"name": name, "uid": f"u-{namespace}-{name}", **place, **more}


def service(name, ip=None, port=80, namespace="shop", **more):
    """No two have one address unless it is given; none may be moved to another."""
    number = zlib.crc32(f"{namespace}/{name}".encode()) % 2**18
    ip = ip or f"10.{100 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    spec = {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "ports": [{"port": port, "protocol": "TCP"}]}
    return {"kind": "Service", "metadata": meta(name, namespace, **more), "spec": spec, "status": {"loadBalancer": {}}}


def node(name, region="eu-west-1", zone="eu-west-1a", ready="True", **spec):
    labels = {"topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": zone}
    status = {
        "conditions": [{"type": "Ready", "status": ready, "lastHeartbeatTime": "2026-01-01T00:00:00Z"}],
        "allocatable": {"cpu": "3920m", "memory": "1Gi"},
        "addresses": [{"type": "InternalIP", "address": "10.0.0.5"}, {"type": "Hostname", "address": name}],
        "nodeInfo": {"kubeletVersion": "v1.34.1"},
    }
    return {"kind": "Node", "metadata": meta(name, "", labels=labels), "spec": spec, "status": status}


def deployment(name, **more):
    pods = {"containers": [{"name": "c", "image": "shop/web:1.4"}]}
    template = {"metadata": {"labels": {"run": name}}, "spec": pods}
    spec = {"replicas": 3, "selector": {"matchLabels": {"run": name}}, "template": template}
    return {"kind": "Deployment", "metadata": meta(name, **more), "spec": spec, "status": {}}


AVAILABLE = {"conditions": [{"type": "Available", "status": "True"}]}


def job(name, *conditions):
    status = {"conditions": [{"type": c, "status": "True"} for c in conditions]}
    if conditions:
        status |= {"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:01:00Z"}
    pods = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "shop/batch:1"}]}
    return {"kind": "Job", "metadata": meta(name), "spec": {"template": {"spec": pods}}, "status": status}


def provider_of(server, page_objects=500, **more):
    access = given(server.url, token=server.token)
    return KubernetesProvider(access, "prod", resume_s=0.01, api=KubernetesApi(access, 5, page_objects), **more)


@pytest.mark.parametrize("cluster", ["local", "KUBECONFIG"])
async def test_a_cluster_is_listed_and_then_watched_without_a_gap(cluster, server):
    if cluster == "KUBECONFIG":
        if not os.environ.get("KUBECONFIG"):
            pytest.skip("KUBECONFIG names no API server")
        provider = KubernetesProvider(from_environment(os.environ), "prod")
    else:
        provider = provider_of(server)
    found = await listed(provider)
    api = found["k8s:prod/default/service/kubernetes"]
    assert api.strong_keys[0].startswith("k8s-uid:")
    assert api.weak_keys[0].startswith("address:")
    assert any(a.kind is AssetKind.INFRASTRUCTURE and a.capacity_units > 0 for a in found.values())
    try:
        async with asyncio.timeout(1):
            async for change in provider.watch():
                assert isinstance(change, Change)
    except TimeoutError:
        pass  # it neither ended nor raised


async def test_objects_become_assets(server):
    notes = {"maestro.dev/capabilities": "ocr, translate", "maestro.dev/owner": "team-shop"}
    made = server.put({**deployment("web", labels={"app": "web"}, annotations=notes), "status": AVAILABLE})
    server.put(job("nightly", "SuccessCriteriaMet", "Complete"))
    server.put(job("hourly"))
    server.put(service("six", ip="fd00::7"))
    server.put(service("headless", ip="None"))
    assets = await listed(provider_of(server))
    web = assets["k8s:prod/shop/deployment/web"]
    assert (web.kind, web.owner, web.version) == (AssetKind.MICROSERVICE, "team-shop", "shop/web:1.4")
    assert (web.region, web.zone) == ("eu-west-1", "eu-west-1a")
    assert [c.name for c in web.capabilities] == ["ocr", "translate"]
    assert web.labels == {"app": "web", "namespace": "shop", "state": "available", "replicas": "3"}
    assert [e.url for e in web.endpoints] == ["kubernetes:prod/shop/deployment/web"]
    assert web.strong_keys == (f"k8s-uid:{made['metadata']['uid']}",)
    n1 = assets["k8s:prod/node/n1"]
    assert (n1.region, n1.zone, n1.capacity_units, n1.version) == ("eu-west-1", "eu-west-1a", 3.92, "v1.34.1")
    assert (n1.labels["state"], n1.weak_keys) == ("ready", ("address:10.0.0.5",))
    assert [e.url for e in n1.endpoints] == ["kubernetes:prod/node/n1"]
    assert assets["k8s:prod/shop/job/nightly"].labels["state"] == "complete"
    assert assets["k8s:prod/shop/job/hourly"].labels["state"] == "active"
    six, headless = assets["k8s:prod/shop/service/six"], assets["k8s:prod/shop/service/headless"]
    assert six.weak_keys == ("address:[fd00::7]:80", "dns:prod/six.shop.svc.cluster.local")
    assert headless.weak_keys == ("dns:prod/headless.shop.svc.cluster.local",)
    assert headless.endpoints[0].url == "tcp://headless.shop.svc:80"


def selecting(name, namespace="shop", **selector):
    made = service(name, namespace=namespace)
    return {**made, "spec": {**made["spec"], "selector": selector}}


def labelled(name, **labels):
    made = deployment(name)
    made["spec"]["template"]["metadata"]["labels"] |= labels
    return made


async def test_a_service_depends_on_the_deployments_of_its_namespace_that_have_its_whole_selector(server):
    server.put(selecting("web", app="web", tier="front"))
    server.put(selecting("elsewhere", namespace="other", app="web"))
    server.put(selecting("of-nothing"))
    external = selecting("external", app="web")
    external["spec"] = {"type": "ExternalName", "externalName": "example.com", "selector": {"app": "web"}}
    server.put(external)
    for name, tier in (("web-blue", "front"), ("web-green", "front"), ("web-batch", "back")):
        server.put(labelled(name, app="web", tier=tier, pod_template_hash=name))
    server.put(deployment("unlabelled"))
    assets = await listed(provider_of(server))
    found = {asset.name: asset.depends_on for asset in assets.values() if "/service/" in asset.id}
    blue, green = "k8s:prod/shop/deployment/web-blue", "k8s:prod/shop/deployment/web-green"
    assert found == {"web": (blue, green), "elsewhere": (), "of-nothing": (), "external": (), "kubernetes": ()}


async def test_what_a_service_selects_follows_the_deployments_and_its_selector(server):
    web, blue = "k8s:prod/shop/service/web", "k8s:prod/shop/deployment/blue"
    server.put(selecting("web", app="web"))
    async with Watched(provider_of(server)) as watched:

        async def told_after(change, count):
            change()
            return [(c.asset_id, c.asset and c.asset.depends_on) for c in [await watched.next() for _ in range(count)]]

        assert await told_after(lambda: server.put(labelled("blue", app="web")), 2) == [(blue, ()), (web, (blue,))]
        assert await told_after(lambda: server.put(labelled("blue", app="x")), 1) == [(web, ())]
        assert await told_after(lambda: server.put(selecting("web", app="x")), 1) == [(web, (blue,))]
        assert await told_after(lambda: server.delete(labelled("blue", app="x")), 2) == [(blue, None), (web, ())]


async def test_a_region_is_told_of_workloads_only_if_all_nodes_are_in_it(server):
    server.put(node("n2", zone="eu-west-1b"))
    asset = (await listed(provider_of(server)))["k8s:prod/default/service/kubernetes"]
    assert (asset.region, asset.zone) == ("eu-west-1", None)


async def test_a_node_elsewhere_asks_for_a_listing(server):
    async with Watched(provider_of(server)) as watched:
        server.put(node("n2", region="us-east-1"))
        assert (await watched.next()).asset_id == "k8s:prod/node/n2"
        assert isinstance(await watched.next(), Relist)


async def test_nodes_not_ready_and_cordoned(server):
    server.put(node("n2", ready="Unknown"))
    server.put(node("n3", unschedulable=True))
    assets = await listed(provider_of(server))
    assert [assets[f"k8s:prod/node/{n}"].labels["state"] for n in ("n2", "n3")] == ["not_ready", "cordoned"]


B_DNS = "dns:prod/b.shop.svc.cluster.local"


async def test_setting_cluster_domain_is_in_the_name_of_a_service(server):
    server.put(service("b"))
    found = await listed(provider_of(server, cluster_domain="corp.example"))
    assert found["k8s:prod/shop/service/b"].weak_keys[-1] == "dns:prod/b.shop.svc.corp.example"


async def test_changes_are_told_and_a_deletion_is_one(server):
    server.put(service("a"))
    async with Watched(provider_of(server)) as watched:
        server.put(service("b", ip="10.96.0.8"))
        added = await watched.next()
        assert (added.asset_id, added.asset.weak_keys) == ("k8s:prod/shop/service/b", ("address:10.96.0.8:80", B_DNS))
        server.put(service("b", ip="10.96.0.8", port=81))
        assert (await watched.next()).asset.weak_keys == ("address:10.96.0.8:81", B_DNS)
        server.delete(service("a"))
        assert await watched.next() == Change("k8s:prod/shop/service/a", None)


async def test_a_heartbeat_is_no_change(server):
    async with Watched(provider_of(server)) as watched:
        beat = node("n1")
        beat["status"]["conditions"][0]["lastHeartbeatTime"] = "2026-01-01T00:00:10Z"
        server.put(beat)
        server.put(node("n1", ready="False"))
        assert (await watched.next()).asset.labels["state"] == "not_ready"


@pytest.mark.parametrize("fault", ["cut", "end", 503, 429])
async def test_a_broken_stream_resumes_where_it_was(server, fault):
    async with Watched(provider_of(server)) as watched:
        change, at = await after_a_fault(watched, server, "services", fault, service("a"), service("b", ip="10.96.0.8"))
        assert change.asset_id == "k8s:prod/shop/service/b"
    assert set(server.watches("services")[1:]) == {str(at)}
    assert len(server.lists("services")) == 1


async def test_a_bookmark_moves_the_version_and_is_no_change(fake):
    async with Watched(provider_of(fake)) as watched:
        change, at = await after_a_bookmark(watched, fake, "services", 4, service("b"))
        assert change.asset_id == "k8s:prod/shop/service/b"
    assert fake.watches("services")[1] == str(at)
    assert all(r["allowWatchBookmarks"] == "true" for _, r in fake.requests if "watch" in r)


@pytest.mark.parametrize("fault", [410, "error 410"])
async def test_410_asks_for_a_listing_and_ends_the_watch(server, fault):
    server.faults = [fault]
    async with Watched(provider_of(server)) as watched:
        assert isinstance(await watched.next(), Relist)
        with pytest.raises(StopAsyncIteration):
            await watched.next()


async def test_410_after_410_without_an_event_is_a_failure_so_that_the_runner_waits(server):
    provider = provider_of(server)
    server.faults = [410, 410]
    async with Watched(provider) as watched:
        assert isinstance(await watched.next(), Relist)
    async with Watched(provider) as watched:
        with pytest.raises(GoneError):
            await watched.next()


async def test_run_after_410_what_was_missed_is_in_the_next_listing(fake):
    gone = service("a")
    fake.put(gone)
    events = []

    async def publish(event):
        events.append(event)
        if event.op is Op.SNAPSHOT_COMPLETE and sum(e.op is Op.SNAPSHOT_COMPLETE for e in events) == 1:
            fake.delete(gone)
            fake.put(service("b"))
            fake.floor = fake.version

    times = itertools.count(1)
    task = asyncio.create_task(run_all([provider_of(fake)], publish, lambda: next(times), PollSettings(retry_s=60)))
    await until(lambda: sum(e.op is Op.SNAPSHOT_COMPLETE for e in events) >= 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    first, second = [
        {e.asset_id for e in events if e.snapshot_id == s} for s in dict.fromkeys(e.snapshot_id for e in events)
    ][:2]
    assert first - second == {"k8s:prod/shop/service/a"}
    assert second - first == {"k8s:prod/shop/service/b"}
    assert Op.SOURCE_FAILED not in {e.op for e in events}


@pytest.mark.parametrize(
    "line",
    [
        b"{\n",
        b'{"type":"ADDED"}\n',
        b'{"type":"SOMETHING","object":{"metadata":{"resourceVersion":"1"}}}\n',
        b'{"type":"ADDED","object":{"metadata":{"name":"x","uid":"u"}}}\n',
        b'{"type":"ERROR","object":{"kind":"Status","code":500,"message":"etcd"}}\n',
    ],
)
async def test_a_line_that_is_no_event_raises(server, line):
    server.raw = [line]
    async with Watched(provider_of(server)) as watched:
        with pytest.raises(KubernetesError, match="WATCH /api/v1/services"):
            await watched.next()


async def test_an_object_that_is_none_raises_and_names_the_fault(server):
    server.raw = [b'{"type":"ADDED","object":{"metadata":{"resourceVersion":"7","name":"x"},"spec":{}}}\n']
    async with Watched(provider_of(server)) as watched:
        with pytest.raises(ObjectError, match=r"a service that is none: metadata\.uid"):
            await watched.next()


async def test_lines_end_at_line_feeds_only(server):
    thing = service("a", annotations={"maestro.dev/owner": "team\u0085\u2028x"})
    thing["metadata"]["resourceVersion"] = "900"
    text = json.dumps({"type": "ADDED", "object": thing}, ensure_ascii=False)
    server.raw = [text.encode()[:60], text.encode()[60:] + b"\n"]
    async with Watched(provider_of(server)) as watched:
        assert (await watched.next()).asset.owner == "team\u0085\u2028x"


async def test_a_server_that_stays_away_is_a_failure(server):
    server.faults = [503] * 9
    async with Watched(provider_of(server)) as watched:
        with pytest.raises(BrokenError, match="status 503"):
            await watched.next()
    assert len(server.watches("services")) == 5


@pytest.mark.timeout(600)
async def test_ten_thousand_objects_in_pages(server):
    server.put_many([service(f"s{i}", ip="None") for i in range(10_000)])
    assert len(await listed(provider_of(server))) == 10_002
    asked = server.lists("services")
    assert len(asked) == 21
    assert {r["limit"] for r in asked} == {"500"}


async def test_a_page_that_is_no_longer_kept_begins_the_list_anew(server):
    for i in range(4):
        server.put(service(f"s{i}"))
    server.page_faults = [410]
    assert len(await listed(provider_of(server, page_objects=2))) == 6
    assert sum("continue" not in r for r in server.lists("services")) == 2


async def test_a_deployment_that_is_deleted_while_its_list_is_begun_anew_is_selected_by_nobody(server):
    server.put(selecting("web", app="web"))
    things = [labelled(f"web{i}", app="web") for i in range(4)]
    for thing in things:
        server.put(thing)

    def deleted_meanwhile():
        server.delete(things[0])
        return 410

    server.page_faults = [deleted_meanwhile]
    web = (await listed(provider_of(server, page_objects=2)))["k8s:prod/shop/service/web"]
    assert web.depends_on == tuple(f"k8s:prod/shop/deployment/web{i}" for i in (1, 2, 3))


async def test_half_a_listing_is_a_failure_and_no_snapshot(server):
    for i in range(4):
        server.put(service(f"s{i}"))
    server.page_faults = [500]
    events = await poll_once(provider_of(server, page_objects=2), lambda: 1, PollSettings())
    assert [e.op.value for e in events] == ["snapshot_begin", "upsert", "source_failed"]
    assert "status 500" in events[-1].reason


async def test_one_namespace_and_only_some_kinds(server):
    server.put(service("a"))
    provider = provider_of(server, namespace="shop", kinds=(SERVICE, DEPLOYMENT))
    assert list(await listed(provider)) == ["k8s:prod/shop/service/a"]
    assert (provider.source, provider.scope) == ("k8s:prod/shop", "cluster/prod/shop")
    assert [path for path, _ in server.requests] == [
        "/apis/apps/v1/namespaces/shop/deployments",
        "/api/v1/namespaces/shop/services",
    ]


def test_it_is_a_provider_that_lists_and_watches(server):
    provider = provider_of(server)
    assert isinstance(provider, DiscoveryProvider)
    assert isinstance(provider, Listing)
    assert isinstance(provider, Watching)


async def test_the_token_is_shown_and_a_file_is_read_anew(server, tmp_path):
    server.token = "second"
    file = tmp_path / "token"
    file.write_text("first\n")
    provider = KubernetesProvider(given(server.url, token_file=file), "prod")
    with pytest.raises(KubernetesError, match="status 401"):
        await listed(provider)
    file.write_text("second\n")
    assert len(await listed(provider)) == 2


def config(tmp_path: Path, user, cluster=None) -> Path:
    file = tmp_path / "config"
    entries = {
        "current-context": "dev",
        "contexts": [{"name": "dev", "context": {"cluster": "c1", "user": "me"}}],
        "clusters": [{"name": "c1", "cluster": {"server": "http://127.0.0.1:1/", **(cluster or {})}}],
        "users": [{"name": "me", "user": user}],
    }
    file.write_text(yaml.safe_dump(entries))
    return file


def test_the_plug_in_speaks_for_the_cluster_that_kubeconfig_names(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(config(tmp_path, {"token": "t"})))
    made = provider()
    assert (made.source, made.scope) == ("k8s:c1", "cluster/c1")


def test_a_kubeconfig(tmp_path):
    access = from_environment({"KUBECONFIG": str(config(tmp_path, {"token": "t"}))})
    assert (access.url, access.cluster) == ("http://127.0.0.1:1", "c1")
    assert access.headers()["authorization"] == "Bearer t"
    assert "'t'" not in repr(access)
    (tmp_path / "tok").write_text("u\n")
    assert kubeconfig(config(tmp_path, {"tokenFile": "tok"})).headers()["authorization"] == "Bearer u"


@pytest.mark.parametrize(
    ("user", "cluster", "why"),
    [
        ({"exec": {"command": "aws"}}, {}, "comes from a program"),
        ({}, {"certificate-authority": "none.crt"}, "cannot be read"),
        ({}, {"certificate-authority-data": base64.b64encode(b"no PEM").decode()}, "cannot be read"),
        ({}, {"certificate-authority-data": "%"}, "cannot be read"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_says_why(tmp_path, user, cluster, why):
    with pytest.raises(AccessError, match=why):
        kubeconfig(config(tmp_path, user, cluster))


def test_a_context_that_is_not_there(tmp_path):
    with pytest.raises(AccessError, match="contexts has no 'prod'"):
        kubeconfig(config(tmp_path, {}), "prod")


def test_a_pods_own_account(tmp_path):
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    with pytest.raises(AccessError, match="neither KUBECONFIG"):
        in_cluster(environment, tmp_path)
    (tmp_path / "token").write_text("t")
    with pytest.raises(AccessError, match=r"ca\.crt: the certificate cannot be read"):
        in_cluster(environment, tmp_path)


def test_an_authoritys_file_that_is_empty_does_not_stand_for_the_systems_authorities(tmp_path):
    ca = tmp_path / "ca.crt"
    ca.touch()
    with pytest.raises(AccessError, match=r"ca\.crt: the certificate cannot be read"):
        given("https://127.0.0.1:1", ca_file=ca)
    with pytest.raises(AccessError, match=r"ca\.crt: is empty"):
        kubeconfig(config(tmp_path, {"token": "t"}, {"certificate-authority": "ca.crt"}))


def test_a_file_of_authorities_may_say_their_names_in_any_letters(certificates):
    ca = certificates / "ca.pem"
    ca.write_text(f"# Autorité\n{ca.read_text()}", encoding="utf-8")
    assert given("https://127.0.0.1:1", ca_file=ca).tls is not None


@pytest.fixture
def certificates(tmp_path):
    """A self-made certificate of 127.0.0.1 that is its own authority, and serves as the client's too."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "ca.pem")]
    subprocess.run([*made, *names, *files], check=True, capture_output=True)
    return tmp_path


@pytest.fixture
def secured(certificates):
    """Speaks TLS and takes only clients that show the certificate."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates / "ca.pem", certificates / "key.pem")
    tls.load_verify_locations(certificates / "ca.pem")
    tls.verify_mode = ssl.CERT_REQUIRED
    running = ApiServer(tls)
    running.put(node("n1"))
    yield running
    running.stop()


def of_file(file):
    return base64.b64encode(file.read_bytes()).decode()


@pytest.mark.parametrize("inline", [True, False])
async def test_a_kubeconfig_with_an_authority_and_a_certificate(secured, certificates, tmp_path, inline):
    ca, key = certificates / "ca.pem", certificates / "key.pem"
    if inline:
        user = {"client-certificate-data": of_file(ca), "client-key-data": of_file(key)}
        cluster = {"certificate-authority-data": of_file(ca)}
    else:
        user, cluster = {"client-certificate": "ca.pem", "client-key": "key.pem"}, {"certificate-authority": "ca.pem"}
    access = kubeconfig(config(tmp_path, user, {**cluster, "server": secured.url}))
    provider = KubernetesProvider(access)
    assert list(await listed(provider)) == ["k8s:c1/node/n1"]
    stream = provider.watch()
    secured.put(service("a"))
    assert (await asyncio.wait_for(anext(stream), 5)).asset_id == "k8s:c1/shop/service/a"
    await stream.aclose()


async def test_a_server_that_its_authority_did_not_sign_is_not_talked_to(secured, certificates, tmp_path):
    ca, key = certificates / "ca.pem", certificates / "key.pem"
    user = {"client-certificate-data": of_file(ca), "client-key-data": of_file(key)}
    with pytest.raises(BrokenError, match="CERTIFICATE_VERIFY_FAILED"):
        await listed(KubernetesProvider(kubeconfig(config(tmp_path, user, {"server": secured.url}))))
    cluster = {"server": secured.url, "insecure-skip-tls-verify": True}
    assert await listed(KubernetesProvider(kubeconfig(config(tmp_path, user, cluster))))
    assert secured.lists("nodes")


async def test_an_object_made_anew_under_its_name_is_the_same_asset_with_another_uid(server, story):
    s, cluster = story(), provider_of(server)
    before = (await listed(cluster))["k8s:prod/node/n1"]
    server.delete(node("n1"))
    again = node("n1")
    again["metadata"]["uid"] = "another"
    again = server.put(again)
    after = (await listed(cluster))["k8s:prod/node/n1"]
    s.upsert(cluster.source, before, at=1)
    s.upsert(cluster.source, after, at=2)
    assert s.registry["k8s:prod/node/n1"].strong_keys == (f"k8s-uid:{again['metadata']['uid']}",)
    assert before.strong_keys != after.strong_keys
