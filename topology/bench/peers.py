"""The sides that can be measured here, how each is started, and why one cannot be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PEER_JAR = ROOT / "tests" / "bench" / "kafka-streams" / "target" / "kafka-streams-peer.jar"
OURS = "maestro"
TOY = "maestro-toy"
"""Ours with the peers' z-score in the place of the detector."""
LABELS = {
    OURS: "maestro telemetry",
    TOY: "maestro, toy detector",
    "faust": "plain Faust",
    "quix": "Quix Streams",
    "kafka-streams": "Kafka Streams",
    "kafka-streams-by-hand": "Kafka Streams, by hand",
    "kafka-streams-uncached": "Kafka Streams, uncached",
    "floor": "floor, no state",
}
_STREAMS = {
    "kafka-streams": ["cache=on"],
    "kafka-streams-by-hand": ["cache=on", "avro=hand"],
    "kafka-streams-uncached": ["cache=off"],
}
"""Avro is read by its library, as most do, or by code for these two schemas."""
_MODULES = {OURS: "ours", TOY: "ours", "faust": "plain_faust", "quix": "quix", "floor": "floor"}


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the peers are that are no dependency: a Python that has Quix Streams, the built Kafka Streams peer."""

    quix_python: Path = Path(sys.executable)
    jar: Path = PEER_JAR

    def missing(self, side: str) -> str | None:
        """Why it cannot be measured; None if it can."""
        if side == "quix" and not _has_quix(self.quix_python):
            return f"{self.quix_python} cannot import quixstreams: the extra `bench`, or --quix-python"
        if side in _STREAMS:
            if shutil.which("java") is None:
                return "there is no java on the PATH"
            if not self.jar.is_file():
                return f"{self.jar} is not there: mvn -q package in tests/bench/kafka-streams, or --jar"
        return None

    def command(self, side: str, broker: str, workload: str, app_id: str, folder: Path) -> list[str]:
        """A process for `watched.child`, to be run with `environment()`."""
        places = [broker, workload, app_id, str(folder)]
        if side in _STREAMS:
            return ["java", "-jar", str(self.jar), *places, *_STREAMS[side]]
        options = ["toy"] if side == TOY else []
        python = self.quix_python if side == "quix" else Path(sys.executable)
        return [str(python), "-W", "ignore", "-m", f"topology.bench.sides.{_MODULES[side]}", *places, *options]


def environment() -> dict[str, str]:
    """So that another environment's Python finds this package."""
    return {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}


@cache
def _has_quix(python: Path) -> bool:
    try:
        command: Sequence[str] = [str(python), "-W", "ignore", "-c", "import quixstreams, numba"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
