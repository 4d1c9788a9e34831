"""The golden run of the control loop, replayed once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from topology import replay
from topology.engines import build_layers
from topology.settings import Settings

GOLDEN = Path(__file__).parents[2] / "golden" / "control-loop.jsonl"


class Told:
    """What a replay printed. `of("anomalies", asset_id="svc-alpha")`: the values, in order."""

    def __init__(self, output: list[bytes]) -> None:
        self.output = output
        self.lines: list[dict[str, Any]] = [orjson.loads(line) for line in output]

    def of(self, topic: str, **fields: object) -> list[dict[str, Any]]:
        values = [line["value"] for line in self.lines if line["topic"] == topic]
        return [v for v in values if all(v[name] == wanted for name, wanted in fields.items())]


@pytest.fixture(scope="session")
def golden_file() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def told(golden_file: Path) -> Told:
    with golden_file.open("rb") as lines:
        return Told(list(replay.run(lines, build_layers(Settings(), hooks=()))))
