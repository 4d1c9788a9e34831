"""The receiver over HTTP on loopback, with a producer that confirms, refuses or waits: status codes and records."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import cramjam
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from prom_requests import Second, fill
from recorded import lines, otlp

from schemas.codec import decode, encode
from schemas.records import HealthSignal, HealthSignalBatch, Record, SeriesKey
from schemas.wire import Wire
from streams.adapters.settings import IntakeSettings
from streams.atleastonce.errors import DeliveryFailed
from streams.atleastonce.producer import ConfirmedProducer, Outgoing
from topology.receiver.requests import Limits
from topology.receiver.server import Receiver

AT = 1_700_000_000_000
SIGNAL = {"asset_id": "svc-a", "metric": "latency_ms", "value": 112.0, "unit": "ms", "at": AT}
PROTO = {"content-type": "application/x-protobuf"}
SECOND = {"content-type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}
REMOTE = PROTO | {"content-encoding": "snappy"}
EVENT = {"specversion": "1.0", "id": "1", "source": "/t", "type": "sample", "data": SIGNAL}
KINDS = ("Samples", "Histograms", "Exemplars")
CE_JSON, CE_BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
TOPICS = {"otlp": "otlp_metrics", "remote-write": "remote-write", "collectd": "collectd"}


@dataclass
class Broker:
    """Stands for Kafka: confirms, or fails with `error`, or waits for `gate`."""

    records: list[Outgoing] = field(default_factory=list)
    error: Exception | None = None
    gate: asyncio.Event | None = None

    async def deliver(self, records: Iterable[Outgoing]) -> list[tuple[int, int]]:
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.records += records
        return []

    def signals(self) -> list[Record | None]:
        kinds = (HealthSignal, HealthSignalBatch)
        return [decode(kinds, r.value, r.headers) for r in self.records if r.topic == "health-signals"]


@asynccontextmanager
async def receiver(broker: Broker, **changes: Any) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    limits = Limits(
        changes.get("record_bytes", 1_048_576), changes.get("unpacked_bytes", 2_000_000), TOPICS, IntakeSettings()
    )
    own = Receiver(
        cast(ConfirmedProducer, broker), limits, changes.get("waiting_bytes", 10_000_000), changes.get("timeout_s", 5.0)
    )
    server = TestServer(own.app(), host="127.0.0.1")
    await server.start_server(auto_decompress=False)
    async with TestClient(server) as client:
        yield client


async def post(
    path: str, body: bytes, headers: dict[str, str], broker: Broker | None = None, **changes: Any
) -> tuple[int, bytes]:
    async with (
        receiver(broker or Broker(), **changes) as client,
        client.post(path, data=body, headers=headers) as answer,
    ):
        return answer.status, await answer.read()


async def test_prometheus_own_requests_go_to_their_topic_as_they_are() -> None:
    for line in lines("remote_write.jsonl"):
        body, broker = base64.b64decode(line["body"]), Broker()
        headers = cast("dict[str, str]", line["headers"])
        assert await post("/api/v1/write", body, headers, broker) == (204, b"")
        assert [(r.topic, r.value, r.key) for r in broker.records] == [("remote-write", body, b"127.0.0.1")]


async def test_remote_write_2_hears_how_much_was_good() -> None:
    one = Second().sample("a", 1.0, AT).sample("b", 2.0, AT)
    fill(one.series("h").histograms.add(), AT, {1: 3})
    one.request.series[2].exemplars.append(b"")
    good, broker = one.body(), Broker()
    one.request.series[1].labels_refs[0] = 1_000
    one.request.series[1].samples.add(value=3.0, timestamp=AT + 1)
    headers = REMOTE | {"content-type": "application/x-protobuf; proto=io.prometheus.write.v2.Request"}
    async with receiver(broker) as client:
        for body, status, written in ((good, 204, "2"), (one.body(), 400, "1")):
            async with client.post("/api/v1/write", data=body, headers=headers) as answer:
                assert answer.status == status
                counts = [answer.headers[f"X-Prometheus-Remote-Write-{k}-Written"] for k in KINDS]
                assert counts == [written, "1", "0"]
                said = await answer.text()
        assert said == "series 1: symbol 1000 is none of 9"
        assert [(r.topic, r.value) for r in broker.records] == [("remote-write", good), ("remote-write", one.body())]


async def test_remote_write_1_is_not_told_what_it_does_not_ask() -> None:
    body = base64.b64decode(lines("remote_write.jsonl")[0]["body"])
    named = REMOTE | {"content-type": 'application/x-protobuf;proto="prometheus.WriteRequest"'}
    async with receiver(Broker()) as client, client.post("/api/v1/write", data=body, headers=named) as answer:
        assert answer.status == 204
        assert not [name for name in answer.headers if name.startswith("X-Prometheus")]


@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
async def test_otlp_is_unpacked_and_passed_on(encoding: str) -> None:
    import zlib

    plain = otlp("otlp_proto", "checkout-1")[0]
    packed = {"identity": plain, "gzip": gzip.compress(plain), "deflate": zlib.compress(plain)}[encoding]
    broker = Broker()
    status, answer = await post("/v1/metrics", packed, PROTO | {"content-encoding": encoding}, broker)
    assert (status, answer) == (200, b"")
    assert [(r.topic, r.value) for r in broker.records] == [("otlp_metrics", plain)]


async def test_otlp_in_json_is_answered_in_json() -> None:
    body, broker = otlp("otlp_json", "checkout-1")[0], Broker()
    assert await post("/v1/metrics", body, {"content-type": "application/json"}, broker) == (200, b"{}")
    assert broker.records[0].value == body


async def test_bad_points_are_told_as_partial_success_and_the_rest_is_taken() -> None:
    data = pb.MetricsData()
    points = data.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points
    points.add(time_unix_nano=AT * 1_000_000, as_double=1.0)
    points.add(time_unix_nano=AT * 1_000_000, as_double=float("nan"))
    broker = Broker()
    status, body = await post("/v1/metrics", data.SerializeToString(), PROTO, broker)
    answer = ExportMetricsServiceResponse.FromString(body)
    assert (status, answer.partial_success.rejected_data_points, len(broker.records)) == (200, 1, 1)


async def test_an_export_without_metrics_is_fine() -> None:
    assert (await post("/v1/metrics", b"", PROTO))[0] == 200
    assert (await post("/v1/metrics", b"{}", {"content-type": "application/json"}))[0] == 200


async def test_cloudevents_in_each_mode() -> None:
    expected = [HealthSignal(**SIGNAL)]  # type: ignore[arg-type]
    binary = {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/t",
        "ce-type": "s",
        "content-type": "application/json",
    }
    avro = binary | {"content-type": "avro/binary"}
    for body, headers in (
        (json.dumps(EVENT).encode(), {"content-type": CE_JSON}),
        (json.dumps([EVENT]).encode(), {"content-type": CE_BATCH}),
        (json.dumps(SIGNAL).encode(), binary),
        (encode(expected[0]), avro),
    ):
        broker = Broker()
        assert (await post("/events", body, headers, broker))[0] == 200
        assert broker.signals() == expected
        assert [r.key for r in broker.records] == [b"svc-a"]


async def test_json_lines_lose_the_bad_ones_and_say_which() -> None:
    good, bad = json.dumps(SIGNAL), json.dumps(SIGNAL | {"value": "high"})
    broker = Broker()
    status, answer = await post("/signals", f"{good}\n\n{bad}\n{good}\n{{".encode(), {}, broker)
    assert status == 200
    assert [entry["place"] for entry in json.loads(answer)["refused"]] == ["line 3", "line 5"]
    assert len(broker.signals()) == 2


async def test_a_batch_of_several_assets_is_split_by_asset_without_its_bad_rows() -> None:
    batch = HealthSignalBatch(
        source="s",
        series=(
            SeriesKey(asset_id="a", metric="m"),
            SeriesKey(asset_id="b", metric="m"),
            SeriesKey(asset_id="a", metric="n"),
        ),
        series_index=(0, 1, 2, 1),
        at=(AT, AT, AT, AT),
        value=(1.0, 2.0, 3.0, float("nan")),
    )
    broker = Broker()
    status, answer = await post("/signals", encode(batch, Wire.JSON), {}, broker)
    assert (status, json.loads(answer)["refused"][0]["place"]) == (200, "line 1, row 3")
    assert [r.key for r in broker.records] == [b"a", b"b"]
    first, second = cast("list[HealthSignalBatch]", broker.signals())
    assert ([k.metric for k in first.series], first.series_index, first.value) == (["m", "n"], (0, 1), (1.0, 3.0))
    assert second.value == (2.0,)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/api/v1/write", b"garbage", REMOTE, 400),
        ("/api/v1/write", bytes(cramjam.snappy.compress_raw(b"\xff\xff")), REMOTE, 400),
        ("/api/v1/write", b"", REMOTE, 400),
        ("/api/v1/write", b"x", PROTO | {"content-encoding": "gzip"}, 415),
        ("/api/v1/write", b"x", REMOTE | {"content-type": "application/x-protobuf;proto=io.prometheus.v3"}, 415),
        ("/api/v1/write", b"x", REMOTE | {"content-type": "text/plain;proto=prometheus.WriteRequest"}, 415),
        ("/api/v1/write", b"x", REMOTE | SECOND, 400),
        ("/api/v1/write", base64.b64decode(lines("remote_write.jsonl")[0]["body"]), REMOTE | SECOND, 400),
        ("/api/v1/write", Second().sample("a", 1.0, AT).body(), REMOTE, 400),
        ("/api/v1/write", b"x" * 2000, REMOTE, 413),
        ("/v1/metrics", b"\x08\x01", PROTO, 400),
        ("/v1/metrics", b"hello", {"content-type": "text/plain"}, 415),
        ("/v1/metrics", gzip.compress(bytes(3_000_000)), PROTO | {"content-encoding": "gzip"}, 413),
        ("/v1/metrics", b"not gzip", PROTO | {"content-encoding": "gzip"}, 400),
        ("/v1/metrics", gzip.compress(b"x" * 500)[:-20], PROTO | {"content-encoding": "gzip"}, 400),
        ("/v1/metrics", b"x", PROTO | {"content-encoding": "br"}, 400),
        ("/events", json.dumps(SIGNAL).encode(), {"content-type": "application/json"}, 415),
        ("/events", b"{}", {"content-type": CE_JSON}, 400),
        ("/events", b"{}", {"content-type": CE_BATCH}, 400),
        ("/events", b"[5]", {"content-type": CE_BATCH}, 400),
        ("/signals", b"{}", {}, 400),
        ("/signals", b"", {}, 400),
        ("/nonsense", b"", {}, 404),
    ],
)
async def test_what_no_repeat_makes_better_is_4xx_and_publishes_nothing(
    path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    broker = Broker()
    got, said = await post(path, body, headers, broker, record_bytes=1500)
    assert got == status, said
    assert broker.records == []


async def test_2xx_waits_for_kafka_and_what_it_does_not_confirm_is_503() -> None:
    body = json.dumps(SIGNAL).encode()
    refused = Broker(error=DeliveryFailed("no leader"))
    assert (await post("/signals", body, {}, refused))[0] == 503
    silent = Broker(gate=asyncio.Event())
    assert (await post("/signals", body, {}, silent, timeout_s=0.05))[0] == 503
    slow = Broker(gate=asyncio.Event())
    async with receiver(slow) as client:
        waiting = asyncio.create_task(client.post("/signals", data=body))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        cast(asyncio.Event, slow.gate).set()
        assert (await waiting).status == 200


async def test_too_much_in_flight_is_503_with_a_time_to_come_again() -> None:
    stuck = Broker(gate=asyncio.Event())
    body = json.dumps(SIGNAL).encode()
    async with receiver(stuck, waiting_bytes=len(body) + 10) as client:
        first = asyncio.create_task(client.post("/signals", data=body))
        await asyncio.sleep(0.05)
        second = await client.post("/signals", data=body)
        assert (second.status, second.headers["Retry-After"]) == (503, "1")
        cast(asyncio.Event, stuck.gate).set()
        assert (await first).status == 200
        assert (await client.post("/signals", data=body)).status == 200


async def test_a_body_beyond_the_limit_is_413() -> None:
    assert (await post("/signals", b"x" * 3_000_000, {}))[0] == 413
