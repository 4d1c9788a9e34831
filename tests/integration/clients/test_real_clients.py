"""Real Prometheus, collectd and a StatsD sender against `maestro receive` and adapters on a real Kafka.

Prometheus and collectd are taken where they are installed; `.ci/run` tries to (Debian's packages prometheus, and
collectd-core with libyajl2). Where they are not, the test is skipped and says so.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

from schemas.codec import decode
from schemas.records import HealthSignal, HealthSignalBatch
from topology.embedded import embedded_kafka

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]
WITHIN_S = 60.0


@dataclass
class Running:
    """`maestro receive` with its adapters, on a Kafka of this module's own."""

    broker: str
    url: str
    statsd_port: int
    process: subprocess.Popen[bytes]

    def post(self, path: str, body: bytes, **headers: str) -> int:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, body, names, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def samples(self) -> dict[tuple[str, str], list[float]]:
        """Everything on health-signals: (asset, metric) -> values."""
        found: dict[tuple[str, str], list[float]] = {}
        config = {"bootstrap.servers": self.broker, "group.id": "reader", "enable.partition.eof": True}
        reader = Consumer(config | {"enable.auto.commit": False})
        partitions = len(reader.list_topics("health-signals", timeout=10).topics["health-signals"].partitions)
        reader.assign([TopicPartition("health-signals", p, 0) for p in range(partitions)])
        ends = 0
        while ends < partitions:
            for message in reader.consume(1000, 0.2):
                if message.error():
                    ends += 1
                    continue
                record = decode((HealthSignal, HealthSignalBatch), message.value(), message.headers())
                if isinstance(record, HealthSignal):
                    found.setdefault((record.asset_id, record.metric), []).append(record.value)
                elif isinstance(record, HealthSignalBatch):
                    for i, value in zip(record.series_index, record.value, strict=True):
                        key = record.series[i]
                        found.setdefault((key.asset_id, key.metric), []).append(value)
        reader.close()
        return found

    def wait_for(
        self, holds: Callable[[dict[tuple[str, str], list[float]]], object]
    ) -> dict[tuple[str, str], list[float]]:
        end = time.monotonic() + WITHIN_S
        while not holds(found := self.samples()):
            assert self.process.poll() is None, "maestro receive has ended"
            assert time.monotonic() < end, f"not within {WITHIN_S} s; there are {sorted(found)[:40]}"
            time.sleep(0.5)
        return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("receive")
    with embedded_kafka() as kafka:
        environment = os.environ | {
            "MAESTRO_BROKER": kafka.bootstrap,
            "MAESTRO_STATE_DIR": str(folder / "state"),
            "MAESTRO_ADAPTERS": "collectd:collectd",
            "MAESTRO_RECEIVER__STATSD_PORT": "0",
            "MAESTRO_RECEIVER__STATSD_FLUSH_S": "1",
            "MAESTRO_LOG_FORMAT": "json",
        }
        errors = folder / "receive.log"
        with errors.open("wb") as log:
            command = [sys.executable, "-m", "topology", "receive", "--port", "0"]
            process = subprocess.Popen(command, env=environment, stderr=log)
        try:
            told = _told(errors, process)
            yield Running(kafka.bootstrap, str(told["url"]), int(str(told["statsd_port"])), process)
        finally:
            process.terminate()
            status = process.wait(60)
        assert status == 0, errors.read_text()[-3000:]


def _told(errors: Path, process: subprocess.Popen[bytes]) -> dict[str, object]:
    """The line in which the receiver says where it is."""
    end = time.monotonic() + WITHIN_S
    while time.monotonic() < end and process.poll() is None:
        for line in errors.read_text().splitlines():
            if '"receiving"' in line:
                told: dict[str, object] = json.loads(line)
                return told
        time.sleep(0.2)
    raise AssertionError(f"maestro receive did not say where it is:\n{errors.read_text()[-3000:]}")


def installed(program: str, packages: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/bin")
    if found is None:
        pytest.skip(f"{program} is not installed: apt-get install {packages}")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_prometheus_scrapes_an_exporter_and_sends_to_us(running: Running, tmp_path: Path) -> None:
    prometheus = installed("prometheus", "prometheus")
    registry = CollectorRegistry()
    duration = Histogram(
        "http_request_duration_seconds", "served", ["code"], registry=registry, buckets=(0.05, 0.1, 0.5)
    )
    jobs = Counter("jobs", "done", registry=registry)
    server, _ = start_http_server(0, "127.0.0.1", registry)
    target = f"127.0.0.1:{server.server_port}"
    (tmp_path / "prometheus.yml").write_text(
        f"""
global: {{scrape_interval: 1s}}
scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['{target}']}}]}}]
remote_write: [{{url: '{running.url}/api/v1/write', queue_config: {{batch_send_deadline: 1s}}}}]
"""
    )
    command = [prometheus, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb"]
    process = subprocess.Popen(
        [*command, f"--web.listen-address=127.0.0.1:{free_port()}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    asset = f"shop/{target}"
    try:

        def served(found: dict[tuple[str, str], list[float]]) -> bool:
            for i in range(10):
                duration.labels("500" if i == 0 else "200").observe(0.06)
            jobs.inc(5)
            return len(found.get((asset, "latency_ms"), [])) >= 2 and len(found.get((asset, "jobs_per_s"), [])) >= 2

        found = running.wait_for(served)
    finally:
        process.terminate()
        process.wait(30)
        server.shutdown()
    assert found[asset, "latency_ms"] == pytest.approx([60.0] * len(found[asset, "latency_ms"]))
    assert found[asset, "error_rate"][-1] == pytest.approx(0.1)
    assert max(found[asset, "jobs_per_s"]) > 0
    assert found[asset, "up"][0] == 1.0


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
