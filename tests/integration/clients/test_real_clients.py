"""Real Prometheus, collectd and a StatsD sender against `maestro receive` and adapters on a real Kafka.

Prometheus and collectd are taken where they are installed; `.ci/run` tries to (Debian's packages prometheus, and
collectd-core with libyajl2). Where they are not, the test is skipped and says so. Remote write 2.0 is sent by
Prometheus 2.54 and later: by the one on PATH, or by the program that `MAESTRO_TEST_PROMETHEUS` names.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from http_serving import serving
from native_exporter import NativeExporter
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from receive_process import Running, free_port, installed, receive_running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]
Found = dict[tuple[str, str], list[float]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with receive_running(tmp_path_factory.mktemp("receive")) as running:
        yield running


def version_of(prometheus: str) -> tuple[int, int]:
    told = subprocess.run([prometheus, "--version"], capture_output=True, text=True, timeout=20)
    found = re.search(r"version v?(\d+)\.(\d+)", told.stdout + told.stderr)
    assert found is not None, told
    return int(found[1]), int(found[2])


def sender(protocol: str) -> tuple[str, tuple[int, int]]:
    """(program, version) of a Prometheus that speaks `protocol`."""
    named = os.environ.get("MAESTRO_TEST_PROMETHEUS") if protocol == "2.0" else None
    prometheus = named or installed("prometheus", "prometheus")
    version = version_of(prometheus)
    if protocol == "2.0" and version < (2, 54):
        pytest.skip(f"prometheus {version} cannot send remote write 2.0; MAESTRO_TEST_PROMETHEUS may name a newer one")
    return prometheus, version


@contextmanager
def prometheus_of(running: Running, target: str, folder: Path, protocol: str, natives: bool = False) -> Iterator[None]:
    """Scrapes `target` as job shop each second, and sends to `running` what it scrapes and what it knows of it."""
    prometheus, version = sender(protocol)
    flags, more, scrape = [], "", ""
    if natives:
        more = "send_native_histograms: true"
        if version < (3, 8):
            flags.append("--enable-feature=native-histograms")
        else:
            scrape = ", scrape_native_histograms: true"
    if protocol == "2.0":
        more += "\n    protobuf_message: io.prometheus.write.v2.Request"
        flags.append("--enable-feature=type-and-unit-labels")  # Else its 2.0 says neither.
    (folder / "prometheus.yml").write_text(
        f"""
global: {{scrape_interval: 1s{scrape}}}
scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['{target}']}}]}}]
remote_write:
  - url: '{running.url}/api/v1/write'
    queue_config: {{batch_send_deadline: 1s}}
    metadata_config: {{send_interval: 1s}}
    {more}
"""
    )
    command = [prometheus, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb", *flags]
    process = subprocess.Popen(
        [*command, f"--web.listen-address=127.0.0.1:{free_port()}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("protocol", ["1.0", "2.0"])
def test_prometheus_scrapes_an_exporter_and_sends_to_us(running: Running, tmp_path: Path, protocol: str) -> None:
    registry = CollectorRegistry()
    duration = Histogram(
        "http_request_duration_seconds", "served", ["code"], registry=registry, buckets=(0.05, 0.1, 0.5)
    )
    jobs = Counter("jobs", "done", registry=registry)
    Gauge("battery", "charged", unit="volts", registry=registry).set(12.5)
    server, _ = start_http_server(0, "127.0.0.1", registry)
    target = f"127.0.0.1:{server.server_port}"
    asset = f"shop/{target}"

    def served(found: Found) -> bool:
        for i in range(10):
            duration.labels("500" if i == 0 else "200").observe(0.06)
        jobs.inc(5)
        known = running.units.get((asset, "battery_volts")) == "V"
        return known and all(len(found.get((asset, name), [])) >= 2 for name in ("latency_ms", "jobs_per_s"))

    try:
        with prometheus_of(running, target, tmp_path, protocol):
            found = running.wait_for(served)
    finally:
        server.shutdown()
    assert found[asset, "latency_ms"] == pytest.approx([60.0] * len(found[asset, "latency_ms"]))
    assert found[asset, "error_rate"][-1] == pytest.approx(0.1)
    assert max(found[asset, "jobs_per_s"]) > 0
    assert found[asset, "up"][0] == 1.0
    assert set(found[asset, "battery_volts"]) == {12.5}


@pytest.mark.parametrize("protocol", ["1.0", "2.0"])
def test_prometheus_sends_native_histograms(running: Running, tmp_path: Path, protocol: str) -> None:
    """Of 0.06 s each: the bucket of schema 3 that holds it is (0.0573, 0.0625]; halves of it as float histogram."""
    with serving(NativeExporter()) as exporter:
        asset = f"shop/127.0.0.1:{exporter.server_port}"

        def served(found: Found) -> bool:
            for i in range(10):
                exporter.served["500" if i == 0 else "200"].observe(0.06)
            exporter.switches += 3
            wanted = ("latency_ms", "latency_ms_p95", "halves_p50", "switches_per_s")
            return all(len(found.get((asset, name), [])) >= 2 for name in wanted)

        with prometheus_of(running, asset.removeprefix("shop/"), tmp_path, protocol, natives=True):
            found = running.wait_for(served)
        assert exporter.refused == []
    assert found[asset, "latency_ms"] == pytest.approx([60.0] * len(found[asset, "latency_ms"]))
    assert found[asset, "error_rate"][-1] == pytest.approx(0.1)
    assert max(found[asset, "throughput_per_s"]) > 0
    low, high = 1000 * 2 ** (-33 / 8), 1000 * 2 ** (-32 / 8)
    for name in ("latency_ms_p50", "latency_ms_p95", "latency_ms_p99"):
        assert all(low <= value <= high for value in found[asset, name])
    assert all(low <= 1000 * value <= high for value in found[asset, "halves_p50"])
    assert found[asset, "halves_mean"] == pytest.approx([0.12] * len(found[asset, "halves_mean"]))
    assert max(found[asset, "switches_per_s"]) > 0


def test_collectd_writes_to_kafka_and_its_host_is_an_asset(running: Running, tmp_path: Path) -> None:
    collectd = installed("collectd", "collectd-core libyajl2")
    types = Path("/usr/share/collectd/types.db")
    config = tmp_path / "collectd.conf"
    config.write_text(
        f"""
Hostname "collected"
FQDNLookup false
Interval 1
BaseDir "{tmp_path}"
PIDFile "{tmp_path}/collectd.pid"
TypesDB "{types}"
LoadPlugin cpu
LoadPlugin load
LoadPlugin memory
LoadPlugin write_kafka
<Plugin write_kafka>
  Property "metadata.broker.list" "{running.broker}"
  <Topic "collectd">
    Format JSON
    Key "collected"
  </Topic>
</Plugin>
"""
    )
    said = (tmp_path / "collectd.log").open("w+")
    process = subprocess.Popen([collectd, "-f", "-C", str(config)], stdout=said, stderr=said)
    try:
        time.sleep(2)
        if process.poll() is not None:
            said.seek(0)
            said_last = said.read()[-500:]
            pytest.skip(f"collectd does not run here (apt-get install collectd-core libyajl2 librdkafka1): {said_last}")
        found = running.wait_for(lambda found: len(found.get(("collected", "utilization"), [])) >= 2)
    finally:
        process.terminate()
        process.wait(30)
        said.close()
    assert all(0.0 <= share <= 1.0 for share in found["collected", "utilization"])
    assert all(0.0 < share < 1.0 for share in found["collected", "memory_utilization"])
    assert all(value >= 0.0 for value in found["collected", "load.shortterm"])


def test_the_other_ways_in(running: Running) -> None:
    """StatsD, OTLP/HTTP as an SDK sends it, CloudEvents, JSON lines; and a body that nobody can read."""
    signal = {"asset_id": "by-http", "metric": "m", "value": 1.0, "at": time.time_ns() // 1_000_000}
    event = {"specversion": "1.0", "id": "1", "source": "/t", "type": "s", "data": signal | {"asset_id": "by-event"}}
    point = {"timeUnixNano": str(time.time_ns()), "asDouble": 0.25}
    name = {"key": "service.name", "value": {"stringValue": "by-otlp"}}
    metric = {"name": "heat", "unit": "s", "gauge": {"dataPoints": [point]}}
    export = {"resourceMetrics": [{"resource": {"attributes": [name]}, "scopeMetrics": [{"metrics": [metric]}]}]}
    assert running.post("/signals", json.dumps(signal).encode()) == 200
    assert running.post("/events", json.dumps(event).encode(), content_type="application/cloudevents+json") == 200
    assert running.post("/v1/metrics", json.dumps(export).encode(), content_type="application/json") == 200
    assert running.post("/api/v1/write", b"garbage", content_type="application/x-protobuf") == 400
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"orders:5|c|#service:by-statsd", ("127.0.0.1", running.statsd_port))
    wanted = {("by-http", "m"), ("by-event", "m"), ("by-otlp", "heat"), ("by-statsd", "orders_per_s")}
    found = running.wait_for(lambda found: wanted <= found.keys())
    assert found["by-otlp", "heat"] == [250.0]
    assert found["by-statsd", "orders_per_s"] == [5.0]
