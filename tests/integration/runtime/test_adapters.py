"""Real clients' bytes on foreign topics, through adapters and telemetry on a real Kafka: signals and an incident."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from schemas.records import Anomaly, HealthSignalBatch
from streams.atleastonce import partition_for

from .conftest import Lab

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]
CLIENTS = Path(__file__).parents[2] / "fixtures" / "clients"
ADAPTERS = ("otlp:otlp_metrics", "collectd:collectd", "remote-write:remote-write")
NAMES = tuple(f"adapter-{entry.partition(':')[2]}" for entry in ADAPTERS)
NOW = time.time_ns() // 1_000_000


def requests(at: int, count: int, total_s: float) -> bytes:
    """A cumulative histogram of requests, as an SDK sends it."""
    data = pb.MetricsData()
    resource = data.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "slow-service"
    metric = resource.scope_metrics.add().metrics.add(name="http.server.request.duration", unit="s")
    metric.histogram.aggregation_temporality = pb.AGGREGATION_TEMPORALITY_CUMULATIVE
    metric.histogram.data_points.add(
        start_time_unix_nano=(NOW - 3_600_000) * 1_000_000,
        time_unix_nano=at * 1_000_000,
        count=count,
        sum=total_s,
        explicit_bounds=[10.0],
        bucket_counts=[count, 0],
    )
    return data.SerializeToString()


def recorded(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (CLIENTS / name).read_text().splitlines()]


def put_all(lab: Lab) -> None:
    for line in recorded("otlp.jsonl"):
        lab.put("otlp_metrics", bytes(16), base64.b64decode(line["value"]))
    for line in recorded("collectd.jsonl"):
        if line["format"] == "json":
            lab.put("collectd", b"7373FDAB", line["value"].encode())
    for line in recorded("remote_write.jsonl"):
        lab.put("remote-write", b"127.0.0.1", base64.b64decode(line["body"]))


def test_foreign_telemetry_becomes_signals_and_an_incident(lab: Lab) -> None:
    lab.start("w", *NAMES, "telemetry", adapters=list(ADAPTERS))
    put_all(lab)
    bad = [lab.put("otlp_metrics", None, b"\xff\x00 garbage"), lab.put("collectd", None, b"[{]")]
    count, total_s = 1000, 60.0
    for i in range(61):
        count, total_s = count + 100, total_s + (0.06 + 0.001 * (i % 3)) * 100 * (20 if i == 60 else 1)
        lab.put("otlp_metrics", None, requests(NOW - 600_000 + i * 10_000, count, total_s), partition=1)
    lab.flush()
    lab.wait(lambda: any(a.asset_id == "slow-service" for a in lab.records("anomalies") if isinstance(a, Anomaly)))
    lab.wait(lambda: len(lab.read("dead-letters")) >= 2)

    batches = [r for r in lab.records("health-signals") if isinstance(r, HealthSignalBatch)]
    assets = {key.asset_id for batch in batches for key in batch.series}
    assert {"shop/checkout/checkout-1", "shop/checkout/checkout-2", "recorded-host", "slow-service"} <= assets
    assert "shop/127.0.0.1:39202" in assets
    for message in lab.read("health-signals"):
        key = message.key() or b""
        assert message.partition() == partition_for(key, 4)
    letters = [dict(m.headers() or []) for m in lab.read("dead-letters")]
    places = {(headers["topic"].decode(), int(headers["offset"])) for headers in letters}
    assert places == {(sent.topic, sent.offset) for [sent] in bad}
    [opened] = [
        a
        for a in lab.records("anomalies")
        if isinstance(a, Anomaly) and a.asset_id == "slow-service" and a.metric == "latency_ms" and a.state == "opened"
    ]
    assert opened.value == pytest.approx(1200.0, rel=0.02)


def test_totals_survive_a_kill(lab: Lab) -> None:
    """The rate across a kill -9 is that of the last total before it: nothing is counted from nothing."""

    def sent(i: int) -> bytes:
        data = pb.MetricsData()
        resource = data.resource_metrics.add()
        resource.resource.attributes.add(key="service.name").value.string_value = "counted"
        metric = resource.scope_metrics.add().metrics.add(name="jobs")
        metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, pb.AGGREGATION_TEMPORALITY_CUMULATIVE
        metric.sum.data_points.add(time_unix_nano=(NOW + i * 1000) * 1_000_000, as_int=5 * i)
        return data.SerializeToString()

    def rates() -> dict[int, float]:
        found = {}
        for batch in lab.records("health-signals"):
            if isinstance(batch, HealthSignalBatch):
                mine = {i for i, key in enumerate(batch.series) if key.asset_id == "counted"}
                rows = zip(batch.series_index, batch.at, batch.value, strict=True)
                found.update({at: value for i, at, value in rows if i in mine})
        return found

    name = "adapter-otlp_metrics"
    if "w" in lab.workers:
        lab.kill("w")
    lab.start("k1", name, adapters=[ADAPTERS[0]])
    for i in range(1, 40):
        lab.put("otlp_metrics", None, sent(i), partition=0)
    lab.flush()
    lab.wait(lambda: len(rates()) >= 5)
    lab.kill("k1")
    for i in range(40, 80):
        lab.put("otlp_metrics", None, sent(i), partition=0)
    lab.flush()
    lab.start("k2", name, adapters=[ADAPTERS[0]])
    lab.wait(lambda: len(rates()) >= 78)
    assert rates() == {NOW + i * 1000: pytest.approx(5.0) for i in range(2, 80)}
    assert lab.stop("k2") == 0
