"""A partition that is given up: the layer is told while it may still stage; no timer meets a half-gone one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from streams.atleastonce import AtLeastOnceSettings, Metrics
from streams.atleastonce.ownership import Held, Ownership


def ownership(tmp_path: Path) -> Ownership:
    settings = AtLeastOnceSettings()
    return Ownership("x", "127.0.0.1:1", tmp_path, "x-changelog", settings, Metrics(), lambda *_: None, lambda _: None)


def held(closed: list[str]) -> Held:
    async def flush_loop() -> None:
        await asyncio.sleep(60)

    flusher: Any = SimpleNamespace(store=SimpleNamespace(close=lambda: closed.append("store")))
    return Held(flusher, asyncio.create_task(flush_loop()))


async def test_the_layer_lets_go_before_the_partition_does(tmp_path: Path) -> None:
    mine, closed = ownership(tmp_path), list[str]()
    mine.held = {0: held(closed), 1: held(closed)}
    told: list[tuple[int, bool, int]] = []

    async def on_lost(partition: int) -> None:
        told.append((partition, mine.flusher(partition) is not None, len(closed)))

    await mine.lose([1, 0], on_lost)
    assert told == [(0, True, 0), (1, True, 1)]
    assert mine.held == {}
    assert closed == ["store", "store"]
