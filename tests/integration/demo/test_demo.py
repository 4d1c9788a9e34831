"""`maestro demo` as a newcomer runs it: embedded parts, all layers; it ends by itself and says that the loop closed."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.kafka
@pytest.mark.timeout(240)
def test_the_demo_closes_the_loop_and_says_so() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "topology", "demo", "--for", "50"],
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    told = ran.stdout
    assert ran.returncode == 0, told[-3000:] + ran.stderr[-3000:]
    for needed in (
        "simulated",
        "opened spike critical",
        "failover executing",
        "failover verified",
        "pivoted",
        "p99 ms",
    ):
        assert needed in told, f"{needed!r} is not in\n{told[-3000:]}"
    assert "Traceback" not in ran.stderr
