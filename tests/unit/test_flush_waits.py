"""How a flusher waits: for an event or a time, without a task of its own for each wait (four a flush)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from streams.atleastonce.flush import _until


@pytest.mark.parametrize(
    ("set_after_s", "wait_s", "is_set", "least_s"), [(0.02, 5.0, True, 0.02), (None, 0.05, False, 0.05)]
)
async def test_an_event_or_a_time_ends_the_wait(
    set_after_s: float | None, wait_s: float, is_set: bool, least_s: float
) -> None:
    event, begun_s, loop = asyncio.Event(), time.monotonic(), asyncio.get_running_loop()
    if set_after_s is not None:
        loop.call_later(set_after_s, event.set)
    await _until(event, begun_s + wait_s)
    assert event.is_set() is is_set
    assert least_s <= time.monotonic() - begun_s < 4.0


async def test_a_wait_makes_no_task() -> None:
    loop, made = asyncio.get_running_loop(), list[Any]()

    def counted(on: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=on, **options)

    loop.set_task_factory(counted)  # type: ignore[arg-type]
    await _until(asyncio.Event(), time.monotonic() + 0.01)
    loop.set_task_factory(None)
    assert made == []


async def test_whoever_cancels_the_flusher_ends_its_wait() -> None:
    waiting = asyncio.create_task(_until(asyncio.Event(), time.monotonic() + 60))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
