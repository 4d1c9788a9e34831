"""The other side of effects: a real HTTP server that counts them, and can hold a request at the moment of its effect.

POST /control, /page   applied once an `Idempotency-Key`, as receivers are meant to; each delivery is counted too
POST /command/ASSET    applied each time: what a runbook's program does knows no key
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HELD_S = 30.0
"""A held request goes on by itself then: a bench that fails must not hang."""


@dataclass(slots=True)
class Hold:
    """Stops the next request just before or just after its effect, until it is let go."""

    before_effect: bool
    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class Receiver:
    """`applied`: (path, action id) -> effects; `commands`: asset -> effects; `deliveries`: with repeats."""

    applied: Counter[tuple[str, str]] = field(default_factory=Counter)
    deliveries: Counter[tuple[str, str]] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    answered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    hold: Hold | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def apply(self, path: str, key: str) -> None:
        hold = self._taken()
        if hold is not None and hold.before_effect:
            _held(hold)
        with self.lock:
            if path.startswith("/command/"):
                self.commands[path.removeprefix("/command/")] += 1
            else:
                self.deliveries[path, key] += 1
                self.applied[path, key] += self.applied[path, key] == 0
        if hold is not None and not hold.before_effect:
            _held(hold)

    def _taken(self) -> Hold | None:
        with self.lock:
            hold, self.hold = self.hold, None
        return hold


def _held(hold: Hold) -> None:
    hold.reached.set()
    hold.go_on.wait(HELD_S)


class ReceiverServer(ThreadingHTTPServer):
    """On a free loopback port; `serve_forever` in a thread of the caller's."""

    daemon_threads = True

    def __init__(self) -> None:
        self.receiver = Receiver()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: ReceiverServer

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.receiver.apply(self.path, self.headers.get("idempotency-key", ""))
        try:
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()
            self.wfile.flush()
        except OSError:
            return  # The one who asked was killed meanwhile: that is what is being tried.
        self.server.receiver.answered.release()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""
