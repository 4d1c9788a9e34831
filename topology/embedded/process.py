"""A server as a child process that cannot outlive us (see leash.py), and the free ports it listens on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from topology.embedded.diagnosis import too_slow
from topology.embedded.errors import DiedAtStart, PortTaken, tail

LEASH = Path(__file__).with_name("leash.py")
POLL_S = 0.05


class LeashedProcess:
    """Owns one server process. `scratch` is removed if we die without stopping it; `output` takes stdout and stderr."""

    def __init__(self, command: list[str], output: Path, scratch: Path | None = None) -> None:
        leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), str(scratch or ""), str(output)]
        # A session of its own: Ctrl-C in a terminal must reach us first, so that workers drain before the broker goes.
        self._leash = subprocess.Popen(
            [*leash, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        self._talk = threading.Lock()
        first = self._read_line()
        if not first.isdigit():
            raise DiedAtStart(f"{command[0]} could not be run: {self._stderr()}")
        self.pid = int(first)

    def _read_line(self) -> str:
        assert self._leash.stdout is not None
        return self._leash.stdout.readline().decode().strip()

    def _stderr(self) -> str:
        assert self._leash.stderr is not None
        lines = self._leash.stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"its leash ended with status {self._leash.wait()}"

    @property
    def exit_status(self) -> int | None:
        """None while it runs; 128 + N when signal N ended it."""
        return self._leash.poll()

    def signal(self, number: signal.Signals) -> bool:
        """False when the server is already gone."""
        with self._talk:
            if self._leash.poll() is not None or self._leash.stdin is None:
                return False
            try:
                self._leash.stdin.write(number.name.encode() + b"\n")
                self._leash.stdin.flush()
                return self._read_line() == "ok"
            except (BrokenPipeError, ValueError):
                return False

    def stop(self, grace_s: float = 10.0) -> None:
        """SIGTERM, then SIGKILL when `grace_s` is over. Does nothing to a server that has ended."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        try:
            self._leash.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._leash.wait(10)
        self._close()

    def _close(self) -> None:
        for pipe in (self._leash.stdin, self._leash.stdout, self._leash.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()


def free_ports(count: int) -> list[int]:
    """Ports that were free on the loopback interface a moment ago, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def check_port_free(port: int, setting: str) -> None:
    """Raises PortTaken, which names the process that holds the port where the system tells."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTaken(
                f"port {port} on 127.0.0.1 is taken{_holder(port)}. Stop that process, or give another port "
                f"({setting}; 0 = any free port)."
            ) from error


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                return (
                    f" by process {connection.pid} ({psutil.Process(connection.pid).name()})" if connection.pid else ""
                )
    except psutil.Error:
        return ""
    return ""


def wait_until(
    answers: Callable[[], bool], process: LeashedProcess, name: str, timeout_s: float, logs: tuple[Path, ...]
) -> None:
    """Raises DiedAtStart or StartTimeout, each with the end of the logs."""
    ends_at = time.monotonic() + timeout_s
    while not answers():
        if process.exit_status is not None:
            raise DiedAtStart(f"{name} ended with status {process.exit_status} before it was ready.\n{tail(*logs)}")
        if time.monotonic() > ends_at:
            raise too_slow(f"starting {name}", timeout_s, *logs)
        time.sleep(POLL_S)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
