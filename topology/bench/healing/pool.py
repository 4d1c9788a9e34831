"""Twenty real servers behind Debian's HAProxy, and what can be done to them."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

SERVER = Path(__file__).with_name("server.py")
BACKEND = "web"
KINDS = ("kill", "slow", "error")
START_S = 20.0


class BenchError(Exception):
    """Something that the benchmark needs is missing or did not start; the text says what and how to get it."""


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")
    if found is None:
        raise BenchError(f"{name} is not installed: apt-get install {name}")
    return found


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def get(port: int, path: str, timeout_s: float = 2.0) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


@dataclass(slots=True)
class Pool:
    """`front`: HAProxy's port; `runtime`: its socket; `metrics`: the port of its own exporter."""

    front: int
    metrics: int
    runtime: Path
    ports: dict[str, int]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return list(self.ports)

    def start(self, name: str) -> None:
        command = [sys.executable, "-S", str(SERVER), str(self.ports[name])]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.running[name] = process
        out: IO[bytes] | None = process.stdout
        if out is None or not out.readline():
            raise BenchError(f"server {name} did not start on port {self.ports[name]}")

    def strike(self, name: str, kind: str) -> None:
        """kill = SIGKILL; slow and error are told to the server."""
        if kind == "kill":
            self.running[name].kill()
            self.running[name].wait()
        else:
            get(self.ports[name], f"/fault/{kind}")

    def mend(self, name: str) -> None:
        if self.running[name].poll() is not None:
            self.start(name)
        get(self.ports[name], "/fault/none")

    def stop(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()

    def order(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as runtime:
            runtime.settimeout(5)
            runtime.connect(str(self.runtime))
            runtime.sendall(f"{command}\n".encode())
            parts = []
            while part := runtime.recv(1 << 16):
                parts.append(part)
        return b"".join(parts).decode()

    def out_of_service(self) -> set[str]:
        """Servers that HAProxy gives no new requests, by an order or as its own checks say that they are down."""
        rows = [line.split(" ") for line in self.order(f"show servers state {BACKEND}").splitlines()[2:] if line]
        return {row[3] for row in rows if int(row[6]) & 0x3B or row[5] == "0"}


@contextmanager
def running_pool(folder: Path, size: int, checks: str = "") -> Iterator[Pool]:
    """`checks`: HAProxy's own health checks, as they stand on a server line; empty = none. Raises BenchError."""
    front, metrics, *ports = free_ports(size + 2)
    pool = Pool(front, metrics, folder / "haproxy.sock", {f"web-{n:02d}": port for n, port in enumerate(ports)})
    config = folder / "haproxy.cfg"
    config.write_text(_config(pool, checks))
    log = (folder / "haproxy.log").open("wb")
    haproxy = subprocess.Popen([program("haproxy"), "-f", str(config), "-db"], stdout=log, stderr=log)
    try:
        for name in pool.names:
            pool.start(name)
        end = time.monotonic() + START_S
        while not pool.runtime.exists():
            if haproxy.poll() is not None or time.monotonic() > end:
                raise BenchError(f"HAProxy did not start: {(folder / 'haproxy.log').read_text()[-500:]}")
            time.sleep(0.05)
        yield pool
    finally:
        haproxy.terminate()
        haproxy.wait(10)
        pool.stop()
        log.close()


def _config(pool: Pool, checks: str) -> str:
    servers = "\n".join(f"  server {name} 127.0.0.1:{port} {checks}" for name, port in pool.ports.items())
    return f"""global
  stats socket {pool.runtime} mode 600 level admin
  maxconn 2000
defaults
  mode http
  retries 0
  timeout connect 1s
  timeout client 10s
  timeout server 5s
frontend front
  bind 127.0.0.1:{pool.front}
  default_backend {BACKEND}
frontend exporter
  bind 127.0.0.1:{pool.metrics}
  http-request use-service prometheus-exporter
backend {BACKEND}
  balance roundrobin
  option httpchk GET /work
{servers}
"""
