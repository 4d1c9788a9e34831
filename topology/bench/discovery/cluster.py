"""A cluster of services: LIST and WATCH over HTTP as the API server of Kubernetes does, without its faults."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from topology.clock import now_ms

NAMESPACE = "shop"
NAME = "bench"


class Cluster(ThreadingHTTPServer):
    """Its resourceVersion is the number of events so far, plus one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.services: dict[str, dict[str, Any]] = {}
        self.events: list[bytes] = []
        self.changed = threading.Condition()
        self.watched = threading.Event()
        """A watch of services has begun."""
        self.stopped = False

    def put(self, name: str, revision: int) -> int:
        """Gives the time (ms) just before the change is to be seen."""
        return self._change("MODIFIED" if name in self.services else "ADDED", name, revision)

    def asset_id(self, name: str) -> str:
        return f"k8s:{NAME}/{NAMESPACE}/service/{name}"

    def delete(self, name: str) -> int:
        return self._change("DELETED", name, 0)

    def _change(self, kind: str, name: str, revision: int) -> int:
        with self.changed:
            thing = _service(name, revision, len(self.events) + 2)
            at = now_ms()
            if kind == "DELETED":
                del self.services[name]
            else:
                self.services[name] = thing
            self.events.append(json.dumps({"type": kind, "object": thing}).encode() + b"\n")
            self.changed.notify_all()
        return at

    def kubeconfig(self, folder: Path) -> Path:
        path = folder / "kubeconfig"
        cluster = {"name": NAME, "cluster": {"server": f"http://127.0.0.1:{self.server_port}"}}
        context = {"name": NAME, "context": {"cluster": NAME}}
        path.write_text(yaml.safe_dump({"clusters": [cluster], "contexts": [context], "current-context": NAME}))
        return path


def names_of(services: int) -> list[str]:
    return [f"svc-{number:06d}" for number in range(services)]


@contextmanager
def cluster(services: int) -> Iterator[Cluster]:
    server = Cluster()
    for name in names_of(services):
        server.services[name] = _service(name, 0, 1)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server
    finally:
        with server.changed:
            server.stopped = True
            server.changed.notify_all()
        server.shutdown()
        server.server_close()


def _service(name: str, revision: int, version: int) -> dict[str, Any]:
    labels = {"app": name, "team": "shop", "revision": str(revision)}
    meta = {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "labels": labels}
    return {
        "kind": "Service",
        "metadata": {**meta, "resourceVersion": str(version)},
        "spec": {"type": "ClusterIP", "selector": {"app": name}, "ports": [{"port": 80, "protocol": "TCP"}]},
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Cluster

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not told."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query, plural = parse_qs(url.query), url.path.rsplit("/", 1)[-1]
        if "watch" not in query:
            self._list(plural)
            return
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(OSError):  # the client has left
            self._stream(plural == "services", int(query["resourceVersion"][0]) - 1)
        self.close_connection = True

    def _list(self, plural: str) -> None:
        with self.server.changed:
            items = list(self.server.services.values()) if plural == "services" else []
            meta = {"resourceVersion": str(len(self.server.events) + 1)}
        body = json.dumps({"kind": "List", "metadata": meta, "items": items}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, services: bool, sent: int) -> None:
        if services:
            self.server.watched.set()
        while not self.server.stopped:
            with self.server.changed:
                new = self.server.events[sent:] if services else []
                if not new:
                    self.server.changed.wait(0.5)
                    continue
            sent += len(new)
            for line in new:
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")
