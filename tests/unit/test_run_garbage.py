"""A look for garbage stops everything: many short ones, in the long run no more work than with few long ones."""

from __future__ import annotations

import asyncio
import gc
import sys

from streams.atleastonce.run import GARBAGE_AFTER, SWITCH_S, run_apps


async def test_looks_for_garbage_are_short_while_apps_run() -> None:
    before, switch_s = gc.get_threshold(), sys.getswitchinterval()
    stop = asyncio.Event()
    stop.set()
    try:
        await run_apps([], stop)
        assert gc.get_threshold() == GARBAGE_AFTER
        assert sys.getswitchinterval() == SWITCH_S
    finally:
        gc.set_threshold(*before)
        sys.setswitchinterval(switch_s)
        gc.unfreeze()


def test_all_is_looked_through_as_seldom_as_with_ten_thousand() -> None:
    young, middle, old = GARBAGE_AFTER
    assert young * middle * old == 10_000 * 10 * 10
    assert 700 < young <= 2_500
