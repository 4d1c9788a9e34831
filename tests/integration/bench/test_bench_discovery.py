"""`maestro bench discovery` on brokers of its own: few changes, few assets."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.kafka
@pytest.mark.timeout(280)
def test_changes_and_two_listings_are_measured() -> None:
    options = ["--changes", "30", "--services", "40", "--rate", "20", "--assets", "500", "--json"]
    command = [sys.executable, "-m", "topology", "bench", "discovery", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=260, check=False)
    assert done.returncode == 0, done.stderr
    cluster, change, listing, again = map(json.loads, done.stdout.splitlines())
    assert [row["what"] for row in (cluster, change, listing, again)] == ["cluster", "change", "listing", "again"]
    assert cluster["assets"] == 40
    assert 0 < cluster["merge_s"] < cluster["s"]
    assert change["count"] == 30
    assert 0 <= change["p50_ms"] <= change["most_ms"] < 10_000
    assert 0 < listing["merge_s"] < listing["s"]
    for row in (listing, again):
        assert row["assets"] == 500
        assert row["worker_cpu_us"] > 0
    assert listing["discover_mib"] > 10
