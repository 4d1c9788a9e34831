"""`maestro recommend`: patches from lines as `maestro tail --json` and `maestro replay` print them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from topology.cli import app


def line(**changed: object) -> str:
    record = {"id": "r-1", "asset_id": "pool", "action": "scale_out", "from_units": 4, "to_units": 6.2,
              "confidence": 0.9, "saving_usd_per_hour": -2, "slo_risk": 0.1, "evidence": {},
              "valid_until": 900_000, "cause_id": "c",
              "reason": "busy", "at": 1}  # fmt: skip
    return json.dumps({"topic": "recommendations", "key": "pool", "at": 1, "value": record | changed})


def run(tmp_path: Path, *lines: str) -> tuple[int, list[dict[str, Any]]]:
    source = tmp_path / "recommendations.jsonl"
    source.write_text("\n".join(lines) + "\n")
    result = CliRunner().invoke(app, ["recommend", str(source)])
    return result.exit_code, [json.loads(text) for text in result.stdout.splitlines()]


def test_what_scales_and_holds_is_a_floor_for_the_autoscaler(tmp_path: Path) -> None:
    status, patches = run(
        tmp_path, line(), line(action="scale_in", to_units=3), line(withdrawn=True), line(action="rebalance")
    )
    assert status == 0
    assert [patch["spec"] for patch in patches] == [{"minReplicas": 7}, {"minReplicas": 3}]
    assert patches[0]["kind"] == "HorizontalPodAutoscaler"
    assert patches[0]["metadata"]["annotations"]["maestro/recommendation"] == "r-1"


def test_a_bad_line_is_told_and_the_others_count(tmp_path: Path) -> None:
    status, patches = run(tmp_path, "{", line())
    assert (status, len(patches)) == (1, 1)
