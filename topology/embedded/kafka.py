"""Apache Kafka as a child process: KRaft, one node, loopback only. No Docker and no Java on the machine are needed.

         start()                    answers a metadata request
idle ------------> [ jars, Java ] -> [ format once ] -> [ child ] ------------> running --stop()/exit--> idle
                        |                  |               |  |                   |  ^
                        +----- EmbeddedError: what failed and what to do ---------+  |  pause()/resume(), kill()
                                                                                 restart() on the same data and port
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from topology.embedded import broker_config
from topology.embedded.block import RunsForABlock
from topology.embedded.claim import FolderClaim
from topology.embedded.diagnosis import classified, disk_full, explained
from topology.embedded.errors import DataFolderInUse, DiedAtStart, EmbeddedError
from topology.embedded.jars import cache_dir, ensure_jars, lock
from topology.embedded.java import find_java
from topology.embedded.process import LeashedProcess, accepts, check_port_free, free_ports, wait_until
from topology.embedded.progress import Callback, Step, silent
from topology.embedded.storage import format_folder, is_formatted

LEAST_FREE_BYTES = 256 * 1024 * 1024
PORT_TRIES = 3
PREDECESSOR_ENDS_WITHIN_S = 20.0
DEFAULT_START_TIMEOUT_S = 90.0


class EmbeddedKafka(RunsForABlock):
    """One broker; use it with `with` or `async with`. Without a `data_dir` its data ends with it."""

    def __init__(
        self,
        data_dir: Path | None = None,
        port: int = 0,
        progress: Callback = silent,
        start_timeout_s: float | None = None,
        cache: Path | None = None,
        java: Path | None = None,
    ) -> None:
        self._given_dir, self._asked_port, self._progress = data_dir, port, progress
        self._cache, self._java = cache or cache_dir(), java
        self._timeout_s = start_timeout_s or float(
            os.environ.get("MAESTRO_EMBEDDED_START_TIMEOUT_S", DEFAULT_START_TIMEOUT_S)
        )
        self._folder: Path | None = None
        self._port = port
        self._process: LeashedProcess | None = None
        self._claim: FolderClaim | None = None

    @property
    def bootstrap(self) -> str:
        """`127.0.0.1:port`, the same after a restart."""
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def folder(self) -> Path:
        if self._folder is None:
            raise EmbeddedError("the embedded Kafka was not started: call start() or use it in a `with` block.")
        return self._folder

    @property
    def log_path(self) -> Path:
        return self.folder / "kafka.log"

    @property
    def output_path(self) -> Path:
        """What the process itself printed: Java's own complaints, normally empty."""
        return self.folder / "kafka.out"

    def _running(self) -> LeashedProcess:
        if self._process is None or self._process.exit_status is not None:
            raise EmbeddedError("the embedded Kafka does not run: call start() or restart().")
        return self._process

    def start(self) -> Self:
        """Raises an EmbeddedError; nothing is left running then."""
        jars, java = ensure_jars(self._progress, self._cache / "jars"), find_java(self._java)
        if self._asked_port:
            check_port_free(self._asked_port, "MAESTRO_EMBEDDED_KAFKA_PORT")
        self._prepare_folder()
        command = [str(java), *broker_config.JVM_FLAGS, "-cp", os.pathsep.join(map(str, jars))]
        try:
            self._start_on_a_free_port(command)
        except BaseException:
            self.stop()
            raise
        return self

    def _prepare_folder(self) -> None:
        if self._folder is None:
            if self._given_dir is None:
                self._folder = Path(tempfile.mkdtemp(prefix="maestro-kafka-"))
            else:
                self._folder = self._given_dir.expanduser().resolve()
        try:
            (self._folder / "tmp").mkdir(parents=True, exist_ok=True)
            self._claim = self._claim or FolderClaim(self._folder)
        except OSError as error:
            raise explained(error, self._folder) from error
        free = shutil.disk_usage(self._folder).free
        if free < LEAST_FREE_BYTES:
            raise disk_full(self._folder, f"{free / 1e6:.0f} MB are free, {LEAST_FREE_BYTES / 1e6:.0f} MB are needed")

    def _start_on_a_free_port(self, command: list[str]) -> None:
        ends_at = time.monotonic() + PREDECESSOR_ENDS_WITHIN_S
        left = PORT_TRIES
        while True:
            port, controller_port = free_ports(2)
            # A restart keeps its port: clients that are connected come back to it.
            self._port = self._port or port
            try:
                return self._start_once(command, controller_port)
            except DataFolderInUse:
                # The claim is ours, so its holder is the Kafka of a parent that was killed just now: it is ending.
                if time.monotonic() > ends_at:
                    raise
                time.sleep(1)
            except DiedAtStart as error:
                left -= 1
                if "Address already in use" not in str(error) or self._asked_port or not left:
                    raise
                self._port = 0

    def _start_once(self, command: list[str], controller_port: int) -> None:
        data, properties = self.folder / "data", self.folder / "server.properties"
        logging = self.folder / "log4j2.properties"
        try:
            properties.write_text(broker_config.server_properties(data, self._port, controller_port), encoding="utf-8")
            logging.write_text(broker_config.log_properties(self.log_path), encoding="utf-8")
            for old in (self.log_path, self.output_path):
                if old.exists():
                    os.replace(old, old.with_suffix(old.suffix + ".before"))
        except OSError as error:
            raise explained(error, self.folder) from error
        command = [*command, f"-Dlog4j2.configurationFile={logging}", f"-Djava.io.tmpdir={self.folder / 'tmp'}"]
        if not is_formatted(self.folder):
            self._progress(Step("format", "preparing Kafka's data folder"))
            format_folder(self.folder, command, properties, self._timeout_s)
        self._run(command, properties)

    def _run(self, command: list[str], properties: Path) -> None:
        text = f"starting Kafka {lock().kafka} on {self.bootstrap}"
        self._progress(Step("start", text))
        scratch = self.folder if self._given_dir is None else None
        self._process = LeashedProcess([*command, "kafka.Kafka", str(properties)], self.output_path, scratch)
        try:
            wait_until(self._answers, self._process, "Kafka", self._timeout_s, (self.log_path, self.output_path))
        except DiedAtStart as error:
            raise classified(str(error), self.folder) from error
        self._progress(Step("start", f"Kafka {lock().kafka} answers on {self.bootstrap}", 1, 1))

    def _answers(self) -> bool:
        if not accepts(self._port):
            return False
        client = AdminClient({"bootstrap.servers": self.bootstrap, "socket.timeout.ms": 2000, "log_level": 0})
        try:
            return broker_config.NODE_ID in client.list_topics(timeout=2).brokers
        except KafkaException:
            return False

    def stop(self) -> None:
        """Ends the broker and, when the data folder is our own, removes it. May be called twice."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        if self._claim is not None:
            self._claim.release()
            self._claim = None
        if self._given_dir is None and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def kill(self) -> None:
        """kill -9: the data stays, for restart()."""
        self._running().kill()

    def pause(self) -> None:
        """SIGSTOP: the broker keeps its connections and answers nothing until resume()."""
        self._running().signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stops it if it runs, and starts it on the same data and the same port."""
        port = self._port
        if self._process is not None:
            self._process.stop()
        self._asked_port, asked = port, self._asked_port
        try:
            self.start()
        finally:
            self._asked_port = asked


def embedded_kafka(
    data_dir: Path | None = None,
    port: int = 0,
    progress: Callback = silent,
    start_timeout_s: float | None = None,
    cache: Path | None = None,
    java: Path | None = None,
) -> EmbeddedKafka:
    """Not started yet: `with embedded_kafka() as kafka: kafka.bootstrap`. What is None is as embedded/jars.py and
    java.py find it."""
    return EmbeddedKafka(data_dir, port, progress, start_timeout_s, cache, java)
