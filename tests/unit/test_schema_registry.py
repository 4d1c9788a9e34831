"""The registry's client: our schemas ahead of time, ids of others once, an absent registry told clearly."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from schemas.codec import decode, encode
from schemas.errors import UnknownSchema
from schemas.records import HealthSignal, JobRequest
from schemas.samples import decode_samples
from schemas.wire import Wire
from topology.schema_registry import RegistryError, RegistrySchemaIds, connected_ids


class Registry:
    """A registry's two calls that we use, in memory, behind real HTTP."""

    def __init__(self) -> None:
        self.schemas: list[str] = []
        self.asked: list[str] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                schema = json.loads(self.rfile.read(int(self.headers["content-length"])))["schema"]
                if schema not in registry.schemas:
                    registry.schemas.append(schema)
                self._answer(200, {"id": registry.schemas.index(schema) + 1})

            def do_GET(self) -> None:
                registry.asked.append(self.path)
                number = int(self.path.rsplit("/", 1)[1])
                if number <= len(registry.schemas):
                    self._answer(200, {"schema": registry.schemas[number - 1]})
                else:
                    self._answer(404, {"error_code": 40403, "message": "Schema not found"})

            def _answer(self, status: int, body: dict[str, object]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def registry() -> Iterator[Registry]:
    found = Registry()
    yield found
    found.server.shutdown()
    found.server.server_close()


JOB = JobRequest(id="job-1", at=1_790_000_000_000)


def test_a_record_goes_through_the_confluent_wire_format_of_two_clients(registry: Registry) -> None:
    writer, reader = connected_ids(registry.url), RegistrySchemaIds(registry.url)
    data = encode(JOB, Wire.CONFLUENT, schema_ids=writer)
    assert data[0] == 0
    assert decode((JobRequest,), data, schema_ids=reader) == JOB


def test_samples_in_the_confluent_wire_format_are_read_with_a_registry_and_refused_without(registry: Registry) -> None:
    signal = HealthSignal(asset_id="svc-a", metric="latency_ms", value=112.0, unit="ms", at=1_790_000_000_000)
    data = encode(signal, Wire.CONFLUENT, schema_ids=connected_ids(registry.url))
    found = decode_samples(data, schema_ids=RegistrySchemaIds(registry.url))
    assert (found.series[0].asset_id, found.value.tolist()) == ("svc-a", [112.0])
    with pytest.raises(UnknownSchema):
        decode_samples(data)


def test_writing_asks_nothing_once_connected(registry: Registry) -> None:
    ids = connected_ids(registry.url)
    registry.server.shutdown()
    assert encode(JOB, Wire.CONFLUENT, schema_ids=ids)


def test_an_id_is_asked_for_once_and_an_unknown_one_not_again_for_a_while(registry: Registry) -> None:
    connected_ids(registry.url)
    now = 0.0
    ids = RegistrySchemaIds(registry.url, clock=lambda: now)
    assert ids.schema_of(1) is not None
    assert ids.schema_of(1) == ids.schema_of(1)
    assert registry.asked == ["/schemas/ids/1"]
    assert ids.schema_of(999) is None
    assert ids.schema_of(999) is None
    assert registry.asked == ["/schemas/ids/1", "/schemas/ids/999"]
    now = 31.0
    assert ids.schema_of(999) is None
    assert len(registry.asked) == 3


def test_an_absent_registry_is_a_clear_error_at_start_and_not_a_crash_in_the_stream() -> None:
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1:1"):
        connected_ids("http://127.0.0.1:1")
    assert RegistrySchemaIds("http://127.0.0.1:1").schema_of(1) is None


def test_no_url_means_no_registry() -> None:
    assert connected_ids(None) is None
