"""Ends a process that is alive and does nothing: input waits, and its commit does not move (Faust only logs that)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from streams.atleastonce.errors import Stalled

if TYPE_CHECKING:
    from streams.atleastonce.app import App


class CommitAge:
    """Seconds since a partition last committed, or had nothing to commit. Time is injected."""

    def __init__(self) -> None:
        self._moved: dict[str, tuple[int, float]] = {}

    def observe(self, name: str, committed: int, end: int, now_s: float) -> float:
        before, since_s = self._moved.get(name, (-1, now_s))
        if committed != before or committed >= end:
            since_s = now_s
        self._moved[name] = (committed, since_s)
        return now_s - since_s

    def forget_except(self, names: set[str]) -> None:
        for gone in self._moved.keys() - names:
            del self._moved[gone]


async def watch(app: App) -> None:
    """Runs as long as the app; measures lag and commit age of each input partition."""
    ages, every_s = CommitAge(), min(1.0, app.settings.stall_s / 4)
    while not app.should_stop:
        await asyncio.sleep(every_s)
        lag, age = {}, {}
        mine = set() if app.rebalancing else app.consumer.assignment()
        for tp, ledger in [(tp, ledger) for tp, ledger in app.consumer.ledgers.items() if tp in mine]:
            end = app.consumer.highwater(tp)
            if end is None:
                continue
            name = f"{tp.topic}[{tp.partition}]"
            committed = ledger.committed if ledger.committed is not None else ledger.start
            lag[name] = max(0, end - committed)
            age[name] = ages.observe(name, committed, end, time.monotonic())
        ages.forget_except(set(lag))
        app.metrics.lag, app.metrics.commit_age_s = lag, age
        stuck = [name for name, seconds in age.items() if seconds > app.settings.stall_s]
        if stuck and not app.rebalancing:
            app.fail(
                Stalled(f"{app.plan.name}: no commit of {stuck} for {app.settings.stall_s} s while {lag} messages wait")
            )
