"""What happens while a flush waits for its turn, and between its steps; nothing is lost or in the state twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]
SLOW: dict[str, object] = {"flush_share": 0.0001, "flush_wait_most_s": 60.0, "commit_interval_s": 0.2}
"""After the first flush the next has to wait for a minute."""


def waiting(make_lab: Callable[..., Any]) -> Any:
    """A lab whose worker has flushed something, and holds more that waits for its turn."""
    lab = make_lab(**SLOW)
    lab.feed(500)
    lab.start("a")
    while not any(at for at, _ in lab.committed().values()):
        time.sleep(0.1)
    lab.feed(3_000)
    time.sleep(1.5)
    assert not lab.caught_up(), "all of it was flushed: nothing waits"
    return lab


def test_a_stop_does_not_wait_for_the_turn_of_a_flush(make_lab: Callable[..., Any]) -> None:
    lab = waiting(make_lab)
    began = time.monotonic()
    assert lab.stop("a", within_s=15) == 0, lab.logs()
    assert time.monotonic() - began < 12
    lab.verify()


def test_a_rebalance_does_not_wait_for_the_turn_of_a_flush(make_lab: Callable[..., Any]) -> None:
    lab = waiting(make_lab)
    lab.start("b")  # within a minute, or it fails: "a" has to give partitions up first
    lab.feed(200)
    time.sleep(1.0)
    assert lab.stop_all() == [0, 0], lab.logs()
    lab.verify()


def test_a_kill_while_a_flush_waits_for_its_turn(make_lab: Callable[..., Any]) -> None:
    lab = waiting(make_lab)
    lab.kill("a")
    lab.settings["flush_share"] = 1.0
    lab.start("a")
    lab.wait_caught_up()
    assert lab.stop("a") == 0, lab.logs()
    lab.verify()


@pytest.mark.parametrize("wipe", [False, True], ids=["kept", "wiped"])
@pytest.mark.parametrize("write", [1, 6])
def test_a_kill_between_changelog_and_store(lab: Any, write: int, wipe: bool) -> None:
    """The marker is in the log: the flush stands, and its outputs are sent by whoever restores it."""
    with lab.feeding(per_s=4_000):
        lab.start("a", "--die-before-write", str(write), wait=False)
        assert lab.ended("a") == -9, lab.logs()
        if wipe:
            lab.kill_folder("a")
        lab.start("a")
    lab.wait_caught_up()
    assert lab.stop("a") == 0, lab.logs()
    lab.verify()
