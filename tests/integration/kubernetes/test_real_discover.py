"""`maestro discover --kubernetes` and a worker on Kafka against a real API server, in `maestro bench discovery`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from kubernetes_process import ADMIN, kubernetes


@pytest.mark.kafka
@pytest.mark.timeout(300)
def test_changes_in_a_real_cluster_are_on_lifecycle_events_within_a_second(tmp_path: Path) -> None:
    with kubernetes(tmp_path) as cluster, cluster.controllers("namespace-controller"):
        config = cluster.kubeconfig(ADMIN)
        options = ["--kubeconfig", str(config), "--changes", "60", "--services", "200", "--rate", "20", "--assets", "0"]
        command = [sys.executable, "-m", "topology", "bench", "discovery", *options, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        left = cluster.call("GET", "/api/v1/namespaces/maestro-bench/services")["items"]
    listing, change = map(json.loads, done.stdout.splitlines())
    assert (listing["what"], listing["assets"], change["count"]) == ("cluster", 200, 60)
    assert change["p50_ms"] < 1_000
    assert not left
