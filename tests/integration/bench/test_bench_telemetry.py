"""`maestro bench telemetry` on a broker of its own, for two seconds: ours and the floor get through."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.kafka
@pytest.mark.timeout(280)
def test_ours_and_a_floor_are_compared():
    options = ["--seconds", "2", "--rounds", "1", "--workload", "w2", "--peer", "floor", "--json"]
    command = [sys.executable, "-m", "topology", "bench", "telemetry", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=260, check=False)
    assert done.returncode == 0, done.stderr
    ours, floor = map(json.loads, done.stdout.splitlines())
    assert (ours["side"], ours["ratio"], floor["side"]) == ("maestro", 1.0, "floor")
    assert ours["per_s"] > 1_000
    assert 0 < floor["cpu_us"] < ours["cpu_us"]
