"""Runs one or more apps in this process until told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import faust

from streams.atleastonce.app import App
from streams.atleastonce.errors import AtLeastOnceError, Exit

log = logging.getLogger(__name__)

SWITCH_S = 0.001
"""Threads of fetching and of delivery reports have a few microseconds' work each: by default, Python lets them wait for
5 ms while the event loop is busy, several times a flush."""
GARBAGE_AFTER = 2_500, 10, 40
"""New objects between two looks for garbage among them, in which everything stands still for 2 to 10 ms; so many looks
until one goes through what the last ten left (15 ms, and 39 where each had 10,000), and so many of those until one goes
through all. What is looked through in the long run is the same as with 10,000, 10 and 10. Python's 700 are less than
what a fetch leaves for a moment."""


async def run_apps(
    apps: Sequence[App], stop: asyncio.Event, on_ready: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Starts the apps, waits for `stop`, then flushes, commits and leaves the groups. `on_ready`: all partitions flow.

    A configuration error is raised; a crash ends the process (`App.fail`).
    """
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(*GARBAGE_AFTER)
    starting: asyncio.Future[Any] = asyncio.gather(*(app.start() for app in apps))
    stopping: asyncio.Future[Any] = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            gc.freeze()  # modules, compiled code, restored tables: nothing of it is garbage
            if on_ready is not None:
                await on_ready()
            await _until(stopping, apps)
    finally:
        stopping.cancel()
        starting.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        await asyncio.gather(*(app.stop() for app in apps))


async def _until(stopping: asyncio.Future[Any], apps: Sequence[App]) -> None:
    watchers = [asyncio.create_task(_ended(app), name=f"{app.plan.name} watcher") for app in apps]
    await stopping
    for watcher in watchers:
        watcher.cancel()


async def _ended(app: App) -> None:
    while not app.should_stop:  # noqa: ASYNC110 - Faust has no event for it
        await asyncio.sleep(0.2)
    app.fail(app.crash_reason or RuntimeError(f"{app.plan.name} stopped by itself"))


def main(apps: Sequence[App]) -> int:
    """For a command line: runs until SIGTERM or SIGINT, gives the exit status. Set up logging before (level info)."""
    try:
        asyncio.run(_until_signal(apps))
    except AtLeastOnceError as error:
        log.critical("%s", error)
        return int(error.status)
    except Exception:
        log.exception("worker failed")
        return int(Exit.BUG)
    return 0


async def _until_signal(apps: Sequence[App]) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run_apps(apps, stop)


def faust_worker(apps: Sequence[App]) -> faust.Worker:
    """The same apps under Faust's own worker, for those who start it with its command line options."""
    first, *others = apps
    return faust.Worker(first, *others, loglevel="info", redirect_stdouts=False)
