"""Runs providers: what they list and watch becomes discovery events; what they raise becomes `source_failed`.

    +--> list (timeout_s) --ok--> snapshot --> watch, or sleep, until freshness_s is over --+
    |            | raised, timed out                        | over too early (a gap)       |
    |            v                                          v                              |
    |       source_failed --> wait retry_s, 2x, 4x ... <= freshness_s                      |
    +----------------+---------------------------------------------------------------------+

Each provider runs on its own: a slow or failing one holds nobody up (D4). The clock is an argument; everything but
`poll_once` and `run` is pure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

import structlog

from schemas.records import Asset, DiscoveryEvent, Op
from streams.discovery.ports import Change, DiscoveryProvider, Watching
from streams.discovery.settings import PollSettings
from streams.kit import ids

_log = structlog.get_logger(__name__)

Publish = Callable[[DiscoveryEvent], Awaitable[None]]
NowMs = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Listing:
    """What one call of `list` gave: its assets, and the error that broke it off (empty = none)."""

    assets: tuple[Asset, ...]
    error: str = ""


def listing_events(provider: DiscoveryProvider, listing: Listing, began_at: int, ended_at: int) -> list[DiscoveryEvent]:
    """A snapshot if the provider's listings are complete, else its upserts; a failure ends it without `complete`."""
    snapshot_id = ids.derive("snapshot", provider.source, provider.scope, began_at) if provider.complete else None
    events = [_event(provider, Op.SNAPSHOT_BEGIN, began_at, snapshot_id=snapshot_id)] if snapshot_id else []
    events += [
        _event(provider, Op.UPSERT, began_at, snapshot_id=snapshot_id, asset_id=asset.id, asset=asset)
        for asset in listing.assets
    ]
    if listing.error:
        events.append(_event(provider, Op.SOURCE_FAILED, ended_at, reason=listing.error))
    elif snapshot_id:
        events.append(_event(provider, Op.SNAPSHOT_COMPLETE, ended_at, snapshot_id=snapshot_id))
    return events


def change_event(provider: DiscoveryProvider, change: Change, at: int) -> DiscoveryEvent:
    if change.asset is None:
        return _event(provider, Op.DELETE, at, asset_id=change.asset_id)
    return _event(provider, Op.UPSERT, at, asset_id=change.asset_id, asset=change.asset)


def retry_after_s(failures: int, freshness_s: float, settings: PollSettings) -> float:
    """Seconds to wait after this many failures in a row (>= 1)."""
    return float(min(freshness_s, settings.retry_s * 2.0 ** min(failures - 1, 30)))


async def poll_once(provider: DiscoveryProvider, now_ms: NowMs, settings: PollSettings) -> list[DiscoveryEvent]:
    """One listing as events; never raises for what the provider does."""
    began_at = now_ms()
    listing = await _list(provider, settings.timeout_s)
    return listing_events(provider, listing, began_at, max(began_at, now_ms()))


async def run(provider: DiscoveryProvider, publish: Publish, now_ms: NowMs, settings: PollSettings) -> None:
    """Runs one provider until cancelled. What `publish` raises ends it: the transport failed, not the provider."""
    failures = 0
    while True:
        events = await poll_once(provider, now_ms, settings)
        for event in events:
            await publish(event)
        failed = bool(events) and events[-1].op is Op.SOURCE_FAILED
        if not failed and isinstance(provider, Watching):
            failed = not await _watch(provider, provider, publish, now_ms)
        elif not failed:
            await asyncio.sleep(provider.freshness_s)
        failures = failures + 1 if failed else 0
        if failed:
            await asyncio.sleep(retry_after_s(failures, provider.freshness_s, settings))


async def run_all(
    providers: Iterable[DiscoveryProvider], publish: Publish, now_ms: NowMs, settings: PollSettings | None = None
) -> None:
    """Runs all of them side by side until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        for provider in providers:
            tasks.create_task(run(provider, publish, now_ms, settings or PollSettings()), name=provider.source)


async def _list(provider: DiscoveryProvider, timeout_s: float) -> Listing:
    """The lazy part is drawn in a thread, so that a provider that blocks there holds up nobody else."""
    found: list[Asset] = []
    try:
        async with asyncio.timeout(timeout_s) as limit:
            assets = await provider.list()
            await asyncio.to_thread(found.extend, _checked(assets))
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; it is told as its failure
        what = f"no listing within {timeout_s:g} s" if limit.expired() else f"{type(error).__name__}: {error}"
        return Listing(tuple(found), what)
    return Listing(tuple(found))


def _checked(assets: Iterable[Asset]) -> Iterator[Asset]:
    for asset in assets:
        if not isinstance(asset, Asset):
            raise TypeError(f"list() gave {type(asset).__name__}, not Asset")
        yield asset


async def _watch(provider: DiscoveryProvider, watching: Watching, publish: Publish, now_ms: NowMs) -> bool:
    """Passes changes on for `freshness_s`. False: it broke off earlier, so there may be a gap and a listing is due."""
    changes: asyncio.Queue[Change | None] = asyncio.Queue()
    watcher = asyncio.create_task(_watch_into(watching, provider.source, changes))
    until = asyncio.get_running_loop().time() + provider.freshness_s
    try:
        while True:
            async with asyncio.timeout_at(until) as limit:
                change = await changes.get()
            if change is None:
                return False
            await publish(change_event(provider, change, now_ms()))
    except TimeoutError:
        if not limit.expired():
            raise
        return True
    finally:
        watcher.cancel()


async def _watch_into(watching: Watching, source: str, changes: asyncio.Queue[Change | None]) -> None:
    """Ends with a None. What the watch raised is no failure of the source yet: the listing that follows finds out."""
    try:
        async for change in watching.watch():
            changes.put_nowait(change)
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
        _log.warning("watch broke off, listing again", source=source, error=f"{type(error).__name__}: {error}")
    finally:
        changes.put_nowait(None)


def _event(provider: DiscoveryProvider, op: Op, at: int, **fields: object) -> DiscoveryEvent:
    return DiscoveryEvent.model_validate(
        {"source": provider.source, "scope": provider.scope, "op": op, "at": at, **fields}
    )
