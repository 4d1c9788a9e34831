"""Workers come, go and are killed in mid-stream; nothing is lost and nothing is in the state twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]
REPEATS = int(os.environ.get("MAESTRO_FAULT_REPEATS", "1"))


@pytest.mark.parametrize("standby", [0, 1])
@pytest.mark.parametrize("repeat", range(REPEATS))
def test_one_two_three_workers_with_a_kill_and_a_term(
    make_lab: Callable[..., object], standby: int, repeat: int
) -> None:
    lab = make_lab(standby_replicas=standby)
    with lab.feeding(per_s=3000):
        for worker in "abc":
            lab.start(worker)
            time.sleep(1.0)
        lab.kill("b")
        time.sleep(1.0)
        assert lab.stop("c") == 0, lab.logs()
        time.sleep(3.0)
        lab.start("b")
        time.sleep(2.0)
    lab.wait_caught_up()
    assert lab.stop_all() == [0, 0], lab.logs()
    lab.verify()


@pytest.mark.parametrize("wipe", [False, True], ids=["kept", "wiped"])
@pytest.mark.parametrize("repeat", range(REPEATS))
def test_kill_twice_with_the_state_folder(lab: object, wipe: bool, repeat: int) -> None:
    with lab.feeding(per_s=4000):
        for _ in range(2):
            lab.start("a")
            time.sleep(1.5)
            lab.kill("a", wipe=wipe)
        lab.start("a")
    lab.wait_caught_up()
    assert lab.stop("a") == 0, lab.logs()
    lab.verify()


def test_a_worker_that_was_frozen_and_taken_over_from_sends_nothing_more(lab: object) -> None:
    """SIGSTOP past the session time-out: its partitions are claimed; when it goes on, its flush is void."""
    with lab.feeding(per_s=2000):
        frozen = lab.start("a")
        time.sleep(1.0)
        frozen.send_signal(signal.SIGSTOP)
        lab.start("b")
        time.sleep(1.0)
        frozen.send_signal(signal.SIGCONT)
        time.sleep(3.0)
    if lab.workers["a"].poll() is not None:  # it had something to flush, and found the claim
        assert lab.ended("a") == 70, lab.logs()
    lab.wait_caught_up()
    assert set(lab.stop_all()) == {0}, lab.logs()
    lab.verify()
