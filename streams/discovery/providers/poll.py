"""Runs providers: what they list and watch becomes discovery events; what they raise becomes `source_failed`.

    +--> list (timeout_s) --ok--> snapshot --> watch, or sleep, until freshness_s is over --+
    |            | raised, timed out              | over too early (a gap)   | `Relist`     |
    |            v                                v                          v relist_s     |
    |       source_failed --> wait retry_s, 2x, 4x ... <= freshness_s        |              |
    +----------------+-------------------------------------------------------+--------------+

A provider that only watches has no listing: when its watch ends the source has failed. Each provider runs on its own: a
slow or failing one holds nobody up (D4). The clock is an argument.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum

import structlog

from schemas.records import Asset, DiscoveryEvent, Op
from streams.discovery.ports import Change, DiscoveryProvider, Listing, Relist, Watching
from streams.discovery.providers.drawing import Drawing
from streams.discovery.providers.events import Listed, change_event, failure_event, listing_events
from streams.discovery.providers.status import SourceStatus
from streams.discovery.settings import PollSettings

_log = structlog.get_logger(__name__)

Publish = Callable[[DiscoveryEvent], Awaitable[None]]
NowMs = Callable[[], int]
CLOSE_S = 5.0
"""Longest wait for a watch that was told to end."""


class _Over(Enum):
    """How a watch ended."""

    IN_TIME = "freshness_s is over"
    RELIST = "it asked for a listing"
    BROKEN = "it broke off"


def retry_after_s(failures: int, freshness_s: float, settings: PollSettings) -> float:
    """Seconds to wait after this many failures in a row (>= 1)."""
    return float(min(freshness_s, settings.retry_s * 2.0 ** min(failures - 1, 30)))


async def poll_once(provider: DiscoveryProvider, now_ms: NowMs, settings: PollSettings) -> list[DiscoveryEvent]:
    """One listing as events; never raises for what the provider does."""
    return await SourceRun(provider, _nowhere, now_ms, settings).listing()


async def run(provider: DiscoveryProvider, publish: Publish, now_ms: NowMs, settings: PollSettings) -> None:
    """Runs one provider until cancelled. What `publish` raises ends it: the transport failed, not the provider."""
    await SourceRun(provider, publish, now_ms, settings).run()


async def run_all(
    providers: Iterable[DiscoveryProvider], publish: Publish, now_ms: NowMs, settings: PollSettings | None = None
) -> None:
    """Runs all of them side by side until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        for provider in providers:
            tasks.create_task(run(provider, publish, now_ms, settings or PollSettings()), name=provider.source)


class SourceRun:
    """One provider, run until cancelled; `status` says how it is doing."""

    def __init__(self, provider: DiscoveryProvider, publish: Publish, now_ms: NowMs, settings: PollSettings) -> None:
        self.status = SourceStatus(provider.source, provider.scope)
        self._provider, self._publish, self._now_ms, self._settings = provider, publish, now_ms, settings
        self._drawing = Drawing()

    async def run(self) -> None:
        failures = 0
        while True:
            whole = await self._list() if isinstance(self._provider, Listing) else True
            over = await self._until_due() if whole else _Over.BROKEN
            failures = failures + 1 if over is _Over.BROKEN else 0
            if over is _Over.RELIST:
                await asyncio.sleep(self._settings.relist_s)
            elif over is _Over.BROKEN:
                await asyncio.sleep(retry_after_s(failures, self._provider.freshness_s, self._settings))

    async def listing(self) -> list[DiscoveryEvent]:
        began_at = self._now_ms()
        listed = await self._ask()
        ended_at = max(began_at, self._now_ms())
        if listed.error:
            self.status.failed(listed.error)
            _log.warning("source failed", source=self.status.source, error=listed.error, assets=len(listed.assets))
        else:
            self.status.listed(began_at, ended_at, len(listed.assets))
        return listing_events(self._provider, listed, began_at, ended_at)

    async def _list(self) -> bool:
        """False: it failed."""
        in_a_row = self.status.failures_in_a_row
        events = await self.listing()
        for event in events:
            await self._publish(event)
        if events and events[-1].op is Op.SOURCE_FAILED:
            return False
        if in_a_row:
            _log.info("source answers again", source=self.status.source, assets=self.status.assets)
        return True

    async def _ask(self) -> Listed:
        provider = self._provider
        if not isinstance(provider, Listing):
            return Listed(())
        found: list[Asset] = []
        try:
            async with asyncio.timeout(self._settings.timeout_s) as limit:
                await self._drawing.draw(await provider.list(), found)
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; it is told as its failure
            late = f"no listing within {self._settings.timeout_s:g} s"
            return Listed(tuple(found), late if limit.expired() else _said(error))
        return Listed(tuple(found))

    async def _until_due(self) -> _Over:
        if not isinstance(self._provider, Watching):
            await asyncio.sleep(self._provider.freshness_s)
            return _Over.IN_TIME
        over, error = await self._watch(self._provider)
        self.status.watches_broken += over is _Over.BROKEN
        if isinstance(self._provider, Listing):
            return over
        if over is _Over.BROKEN:
            self.status.failed(error or "its watch ended")
            await self._publish(failure_event(self._provider, self.status.error, self._now_ms()))
        else:
            self.status.answers()
        return over

    async def _watch(self, watching: Watching) -> tuple[_Over, str]:
        """Passes changes on for `freshness_s`, and says how it ended and why."""
        changes: asyncio.Queue[Change | Relist | Exception | None] = asyncio.Queue()
        watcher = asyncio.create_task(_watch_into(watching, changes))
        until = asyncio.get_running_loop().time() + self._provider.freshness_s
        try:
            while True:
                async with asyncio.timeout_at(until) as limit:
                    change = await changes.get()
                if isinstance(change, Relist):
                    return _Over.RELIST, change.why
                if change is None or isinstance(change, Exception):
                    error = "" if change is None else _said(change)
                    _log.warning("watch broke off, listing again", source=self.status.source, error=error)
                    return _Over.BROKEN, error
                self.status.changes += 1
                if not isinstance(watching, Listing):
                    self.status.answers()
                await self._publish(change_event(self._provider, change, self._now_ms()))
        except TimeoutError:
            if not limit.expired():
                raise
            return _Over.IN_TIME, ""
        finally:
            watcher.cancel()
            # A watch lets go of its connections as it ends; the next one, or the end of the process, waits for that.
            await asyncio.wait({watcher}, timeout=CLOSE_S)


async def _watch_into(watching: Watching, changes: asyncio.Queue[Change | Relist | Exception | None]) -> None:
    """Ends with what was raised, or a None: no failure of the source yet, the listing that follows finds out."""
    try:
        async for change in watching.watch():
            changes.put_nowait(change)
        changes.put_nowait(None)
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
        changes.put_nowait(error)


async def _nowhere(event: DiscoveryEvent) -> None:
    """For a listing that nobody is told of."""


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
