"""Prometheus as a source, from files and from a real HTTP server: which assets, and that half an answer is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from http_serving import serving

from schemas.records import AssetKind, Endpoint, Op
from streams.discovery.ports import DiscoveryProvider, Listing
from streams.discovery.providers.file_patterns import NoFileError
from streams.discovery.providers.file_sd import FileSdError, FileSdProvider
from streams.discovery.providers.http_json import SourceAnswerError
from streams.discovery.providers.poll import poll_once
from streams.discovery.providers.prometheus import PrometheusError, PrometheusProvider
from streams.discovery.providers.scrape_targets import Target, TargetError, assets_of
from streams.discovery.settings import PollSettings


def target(url: str = "http://10.0.0.7:8080/metrics", **labels: str) -> Target:
    return Target({"job": "api", "instance": "10.0.0.7:8080", **labels}, url, "here")


def test_a_target_is_an_asset_under_the_id_of_its_telemetry() -> None:
    (asset,) = assets_of([target(region="eu", zone="a", maestro_kind="queue", team="x")])
    assert (asset.id, asset.name, asset.kind) == ("api/10.0.0.7:8080", "10.0.0.7:8080", AssetKind.QUEUE)
    assert (asset.region, asset.zone) == ("eu", "a")
    assert asset.labels == {"instance": "10.0.0.7:8080", "job": "api", "region": "eu", "team": "x", "zone": "a"}
    assert asset.endpoints == (Endpoint(type="metrics", url="http://10.0.0.7:8080/metrics"),)
    assert asset.weak_keys == ("address:10.0.0.7:8080",)
    assert asset.strong_keys == ()
    assert assets_of([target(maestro_asset_id="svc-a")])[0].id == "svc-a"
    assert assets_of([target()])[0].kind is AssetKind.UNKNOWN


def test_several_targets_of_one_id_are_one_asset_with_what_they_share() -> None:
    (asset,) = assets_of([target(path="a", x="1"), target("http://10.0.0.7:8080/more", path="b", x="1")])
    assert asset.labels == {"instance": "10.0.0.7:8080", "job": "api", "x": "1"}
    assert [e.url for e in asset.endpoints] == ["http://10.0.0.7:8080/metrics", "http://10.0.0.7:8080/more"]
    assert asset.weak_keys == ("address:10.0.0.7:8080",)
    assert assets_of([target(maestro_kind="queue"), target(maestro_kind="queue")])[0].kind is AssetKind.QUEUE
    assert assets_of([target(maestro_kind="queue"), target()])[0].kind is AssetKind.UNKNOWN


def test_secrets_of_the_address_are_not_told() -> None:
    (asset,) = assets_of([target("https://user:hunter2@api.example/m?token=hunter3#x")])
    assert [e.url for e in asset.endpoints] == ["https://api.example:443/m"]
    assert "hunter" not in asset.model_dump_json()


def test_a_probe_tells_the_exporters_address_so_it_is_no_key() -> None:
    (asset,) = assets_of([target("http://blackbox:9115/probe?module=http&target=https%3A%2F%2Fshop", instance="shop")])
    assert (asset.id, asset.endpoints, asset.weak_keys) == ("api/shop", (), ())


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (target(instance=""), "here: no label `instance`"),
        (target(maestro_kind="qeue"), "here: maestro_kind='qeue' is none of microservice, "),
        (target("http://[::1/metrics"), "here: Invalid IPv6"),
        (target("http://h:99999/"), "here: Port out of range"),
        (target("nonsense"), "here: what is scraped is no HTTP address"),
        (target(maestro_asset_id="x" * 513), r"here: \('id',\)"),
    ],
)
def test_a_broken_target_is_an_error_that_names_its_place(broken: Target, why: str) -> None:
    with pytest.raises(TargetError, match=why):
        assets_of([target(), broken])


# --- files ----------------------------------------------------------------------------------------------------------

YAML = """
- targets: [10.0.0.7:8080, '[fd00::7]:80']
  labels: {version: 1.10, __meta_x: y, __metrics_path__: /m, __scheme__: https}
- targets: [shop.example]
  labels: {job: probes, __param_target: 'https://shop.example/'}
- targets: []
"""


@pytest.mark.parametrize("name", ["t.yml", "t.yaml", "t.json"])
async def test_service_discovery_files(tmp_path: Path, name: str) -> None:
    groups = [
        {
            "targets": ["10.0.0.7:8080", "[fd00::7]:80"],
            "labels": {"version": "1.10", "__meta_x": "y", "__metrics_path__": "/m", "__scheme__": "https"},
        },
        {"targets": ["shop.example"], "labels": {"job": "probes", "__param_target": "https://shop.example/"}},
        {"targets": []},
    ]
    (tmp_path / name).write_text(json.dumps(groups) if name == "t.json" else YAML)
    provider = FileSdProvider([str(tmp_path / name)], job="api")
    assert isinstance(provider, DiscoveryProvider)
    assert isinstance(provider, Listing)
    first, second, third = await provider.list()
    assert (first.id, first.labels["version"]) == ("api/10.0.0.7:8080", "1.10")
    assert not [k for k in first.labels if k.startswith("__")]
    assert [e.url for e in first.endpoints] == ["https://10.0.0.7:8080/m"]
    assert (second.id, second.weak_keys) == ("api/[fd00::7]:80", ("address:[fd00::7]:80",))
    assert (third.id, third.endpoints) == ("probes/shop.example", ())


async def test_patterns_are_read_anew_at_each_listing(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"targets": ["a:1"]}]')
    provider = FileSdProvider([str(tmp_path / "*.json"), str(tmp_path / "a.json")], job="j")
    assert [a.id for a in await provider.list()] == ["j/a:1"]
    (tmp_path / "b.json").write_text('[{"targets": ["b:1"], "labels": {"instance": "b"}}]')
    assert [a.id for a in await provider.list()] == ["j/a:1", "j/b"]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("x.json", '[{"targets": ["a:1"]}, {"targ', "x.json: cannot be read"),
        ("x.yml", "- targets: [a:1]\n- targets: [b", "x.yml: cannot be read"),
        ("x.yml", "", "x.yml: group : Input should be a valid list"),
        ("x.json", '[{"targets": ["a:1", 7]}]', "x.json: group 0.targets.1: "),
        ("x.json", '[{"targets": ["a:1"]}, {"labels": {}}]', "x.json: group 1.targets: Field required"),
        ("x.yml", "- {targets: [a:1], lables: {}}", "x.yml: group 0.lables: Extra inputs"),
        ("x.txt", "[]", "x.txt: expected .json, .yml or .yaml"),
        ("x.yml", "- targets: [a:1, 'b:port']", "x.yml: group 0: target 'b:port': "),
    ],
)
async def test_a_file_with_a_fault_is_a_failure_of_the_source(tmp_path: Path, name: str, text: str, why: str) -> None:
    (tmp_path / name).write_text(text)
    provider = FileSdProvider([str(tmp_path / name)], job="j")
    with pytest.raises((FileSdError, TargetError), match=why):
        await provider.list()
    assert [e.op for e in await poll_once(provider, lambda: 1, PollSettings())] == [Op.SNAPSHOT_BEGIN, Op.SOURCE_FAILED]


async def test_one_missing_file_fails_the_whole_listing(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"targets": ["a:1"]}]')
    with pytest.raises(NoFileError, match=r"gone-\*\.json: no such file"):
        await FileSdProvider([str(tmp_path / "a.json"), str(tmp_path / "gone-*.json")], job="j").list()


# --- the server's API -----------------------------------------------------------------------------------------------


class Prometheus(ThreadingHTTPServer):
    """Answers with `status` and `body`, and says it has `missing_bytes` more than it sends."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.body, self.missing_bytes = 200, b"", 0
        self.asked: list[tuple[str, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/prom"

    def says(self, *targets: dict[str, Any]) -> None:
        self.body = json.dumps({"status": "success", "data": {"activeTargets": targets, "droppedTargets": []}}).encode()


class Handler(BaseHTTPRequestHandler):
    server: Prometheus

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["authorization"]))
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(self.server.body) + self.server.missing_bytes))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        """Nothing on the test's output."""


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    with serving(Prometheus()) as server:
        yield server


def active(instance: str, health: str = "up", **labels: str) -> dict[str, Any]:
    return {
        "discoveredLabels": {"__address__": instance, "__scheme__": "http"},
        "labels": {"instance": instance, "job": "api", **labels},
        "scrapePool": "api",
        "scrapeUrl": f"http://{instance}/metrics",
        "lastError": "" if health == "up" else "connection refused",
        "lastScrape": "2026-01-01T00:00:00Z",
        "health": health,
    }


async def test_active_targets_are_assets_and_their_health_is_not(prometheus: Prometheus) -> None:
    provider = PrometheusProvider(prometheus.url, "eu", {"Authorization": "Bearer t"})
    assert (provider.source, provider.scope) == ("prometheus:eu", "prometheus/eu")
    prometheus.says(active("a:1"), active("b:1", region="eu"))
    well = await provider.list()
    assert [a.id for a in well] == ["api/a:1", "api/b:1"]
    assert well[1].region == "eu"
    assert prometheus.asked == [("/prom/api/v1/targets?state=active", "Bearer t")]
    prometheus.says(active("a:1", "down"), active("b:1", "unknown", region="eu"))
    assert await provider.list() == well


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"status": "error", "error": "no storage"}, "prometheus:local: api/v1/targets: status 'error': no storage"),
        ({"status": "success"}, "no data"),
        ({"status": "success", "data": {}}, "data.activeTargets: Field required"),
        (
            {"status": "success", "data": {"activeTargets": [{"labels": {"a": 1}, "scrapeUrl": ""}]}},
            "Targets.0.labels.a",
        ),
        ([], "valid dictionary"),
    ],
)
async def test_an_answer_of_another_form_is_an_error(prometheus: Prometheus, answer: object, why: str) -> None:
    prometheus.body = json.dumps(answer).encode()
    with pytest.raises(PrometheusError, match=why):
        await PrometheusProvider(prometheus.url).list()


@pytest.mark.parametrize("status", [204, 206, 301, 401, 503])
async def test_another_status_is_an_error(prometheus: Prometheus, status: int) -> None:
    prometheus.says(active("a:1"))
    prometheus.status = status
    if status == 204:
        prometheus.body = b""
    with pytest.raises(SourceAnswerError, match=rf"/prom/api/v1/targets: status {status}"):
        await PrometheusProvider(prometheus.url).list()


async def test_half_an_answer_deletes_nothing(prometheus: Prometheus) -> None:
    prometheus.says(active("a:1"))
    prometheus.missing_bytes = 1
    provider = PrometheusProvider(prometheus.url)
    with pytest.raises(SourceAnswerError, match="RemoteProtocolError"):
        await provider.list()
    prometheus.missing_bytes, prometheus.body = 0, prometheus.body[:-5]
    with pytest.raises(SourceAnswerError, match="JSONDecodeError"):
        await provider.list()
    assert [e.op for e in await poll_once(provider, lambda: 1, PollSettings())] == [Op.SNAPSHOT_BEGIN, Op.SOURCE_FAILED]


async def test_one_broken_target_fails_the_listing(prometheus: Prometheus) -> None:
    prometheus.says(active("a:1"), active("b:1", maestro_kind="server"))
    with pytest.raises(TargetError, match=r"prometheus:local: activeTargets\.1: maestro_kind='server'"):
        await PrometheusProvider(prometheus.url).list()


async def test_a_server_that_is_away_is_an_error_without_its_password() -> None:
    with pytest.raises(SourceAnswerError, match=r"127\.0\.0\.1:1/api/v1/targets: ConnectError") as caught:
        await PrometheusProvider("http://user:hunter2@127.0.0.1:1").list()
    assert "hunter2" not in str(caught.value)


async def test_an_address_that_is_none_is_an_error_without_its_password() -> None:
    for url in ("http://user:hunter2@[::1", "http://user:hunter2/x@h", "http://user:hunter2@h:port"):
        with pytest.raises(SourceAnswerError, match="is no address") as caught:
            await PrometheusProvider(url).list()
        assert "hunter2" not in str(caught.value)
