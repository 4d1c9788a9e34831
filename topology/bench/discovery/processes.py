"""A discovery worker and a `maestro discover` on an embedded Kafka, and what each of them uses."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import psutil

from topology.admin import TopicAdmin, wanted_topics
from topology.bench.discovery.told import Told
from topology.bench.peers import environment
from topology.bench.watched import child, cpu_s, lines
from topology.bench.work import PARTITIONS
from topology.embedded import embedded_kafka
from topology.settings import Settings

START_S = 120.0
STUCK_S = 120.0
APP_ID = "bench"


@dataclass(slots=True)
class Used:
    """Of one process since it was first looked at: CPU seconds; bytes resident at most."""

    process: psutil.Process
    first_cpu_s: float = 0.0
    most_bytes: int = 0

    def __post_init__(self) -> None:
        self.first_cpu_s = cpu_s(self.process)
        self.look()

    def look(self) -> None:
        """Whoever waits for something calls it again and again."""
        self.most_bytes = max(self.most_bytes, int(self.process.memory_info().rss))

    def cpu_s(self) -> float:
        return cpu_s(self.process) - self.first_cpu_s


@dataclass(slots=True)
class Lab:
    broker: str
    folder: Path
    told: Told
    worker: Used
    stack: ExitStack

    def discover(self, options: Sequence[str]) -> Used:
        """Starts `maestro discover` with these; it ends with the lab."""
        own = {"MAESTRO_BROKER": self.broker, "MAESTRO_APP_ID": APP_ID, "MAESTRO_PARTITIONS": str(PARTITIONS),
               "MAESTRO_LOG_LEVEL": "warning"}  # fmt: skip
        command = [sys.executable, "-W", "ignore", "-m", "topology", "discover", *options]
        return Used(psutil.Process(self.stack.enter_context(child(command, environment() | own)).pid))

    def until(self, uses: Mapping[str, Used], holds: Callable[[], bool], what: str) -> None:
        """Until that holds of what was told, with a look at what each of `uses` uses. Raises SideError."""

        def look() -> None:
            for used in uses.values():
                used.look()

        self.told.until(holds, STUCK_S, what, look)


@contextmanager
def lab() -> Iterator[Lab]:
    """The worker is ready. Raises SideError."""
    with ExitStack() as stack:
        broker = stack.enter_context(embedded_kafka()).bootstrap
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="maestro-bench-")))
        TopicAdmin(broker).create(wanted_topics(Settings(partitions=PARTITIONS)))
        module = [sys.executable, "-W", "ignore", "-m", "topology.bench.sides.layers", broker]
        worker = stack.enter_context(child([*module, "discovery", APP_ID, str(folder / "state")], environment()))
        list(islice(lines(worker, START_S), 1))
        told = stack.enter_context(Told(broker))
        yield Lab(broker, folder, told, Used(psutil.Process(worker.pid)), stack)
