"""The peer: Prometheus scrapes HAProxy and the servers, Alertmanager calls a webhook, which drains the server.

Every wait that either of them has by default is taken out: scrape and evaluation each interval, no `for`, no group
wait. What is left is what the chain needs.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from topology.bench.healing.pool import BACKEND, BenchError, Pool, free_ports, program

READY_S = 30.0
RULES = {
    "down": 'up{job="servers"} == 0',
    "errors": "rate(app_errors_total[WINDOW]) / rate(app_requests_total[WINDOW]) > 0.05",
    "slow": "rate(app_seconds_total[WINDOW]) / rate(app_requests_total[WINDOW]) > 0.1",
    "refused": f'rate(haproxy_server_connection_errors_total{{proxy="{BACKEND}"}}[WINDOW]) > 0',
}


@contextmanager
def alerting(pool: Pool, folder: Path, interval_s: float) -> Iterator[None]:
    prometheus, alertmanager = free_ports(2)
    receiver = ThreadingHTTPServer(("127.0.0.1", 0), _handler(pool))
    threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    _write(pool, folder, interval_s, alertmanager, receiver.server_address[1])
    commands = (
        [
            program("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{prometheus}", "--log.level=error",
        ],
        [
            program("prometheus-alertmanager"), f"--config.file={folder}/alertmanager.yml",
            f"--storage.path={folder}/am", f"--web.listen-address=127.0.0.1:{alertmanager}",
            "--cluster.listen-address=", "--log.level=error",
        ],
    )  # fmt: skip
    log = (folder / "alerting.log").open("wb")
    processes = [subprocess.Popen(command, stdout=log, stderr=log) for command in commands]
    try:
        for port in (prometheus, alertmanager):
            _wait(f"http://127.0.0.1:{port}/-/ready", folder)
        yield
    finally:
        for process in processes:
            process.terminate()
            process.wait(20)
        receiver.shutdown()
        receiver.server_close()
        log.close()


def _wait(url: str, folder: Path) -> None:
    end = time.monotonic() + READY_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError as error:
            if time.monotonic() > end:
                raise BenchError(f"{url}: {error}; {(folder / 'alerting.log').read_text()[-500:]}") from error
            time.sleep(0.2)


def _write(pool: Pool, folder: Path, interval_s: float, alertmanager: int, webhook: int) -> None:
    every, window = f"{round(interval_s * 1000)}ms", f"{round(interval_s * 3000)}ms"
    servers = [{"targets": [f"127.0.0.1:{port}"], "labels": {"server": name}} for name, port in pool.ports.items()]
    rules = [{"alert": name, "expr": expr.replace("WINDOW", window)} for name, expr in RULES.items()]
    prometheus = {
        "global": {"scrape_interval": every, "evaluation_interval": every, "scrape_timeout": every},
        "rule_files": [str(folder / "rules.yml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]},
        "scrape_configs": [
            {"job_name": "servers", "static_configs": servers},
            {"job_name": "haproxy", "static_configs": [{"targets": [f"127.0.0.1:{pool.metrics}"]}]},
        ],
    }
    hook = {"name": "drain", "webhook_configs": [{"url": f"http://127.0.0.1:{webhook}/", "send_resolved": False}]}
    route = {"receiver": "drain", "group_by": ["server"], "group_wait": "0s", "group_interval": "1s"}
    for name, body in (
        ("prometheus.yml", prometheus),
        ("rules.yml", {"groups": [{"name": "pool", "interval": every, "rules": rules}]}),
        ("alertmanager.yml", {"route": route | {"repeat_interval": "1h"}, "receivers": [hook]}),
    ):
        (folder / name).write_text(yaml.safe_dump(body))


def _handler(pool: Pool) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            for name in {alert["labels"].get("server", "") for alert in body["alerts"]} & set(pool.ports):
                pool.order(f"set server {BACKEND}/{name} state drain")
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
