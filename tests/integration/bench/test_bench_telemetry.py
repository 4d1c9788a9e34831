"""`maestro bench telemetry` on a broker of its own, for two seconds: ours with both detectors and a floor."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.kafka
@pytest.mark.timeout(280)
def test_ours_the_toy_and_a_floor_are_compared():
    options = ["--seconds", "2", "--rounds", "1", "--workload", "w2", "--peer", "floor", "--detector", "toy", "--json"]
    command = [sys.executable, "-m", "topology", "bench", "telemetry", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=260, check=False)
    assert done.returncode == 0, done.stderr
    ours, toy, floor = map(json.loads, done.stdout.splitlines())
    assert [row["side"] for row in (ours, toy, floor)] == ["maestro", "maestro-toy", "floor"]
    assert (ours["ratio"], toy["ratio_to_toy"]) == (1.0, 1.0)
    assert ours["per_s"] > 1_000
    assert toy["per_s"] > 1_000
    # In two seconds the toy is mostly done with what there is before it has settled: its figure says nothing then.
    assert toy["cpu_us"] > 0
    assert 0 < floor["cpu_us"] < ours["cpu_us"]
