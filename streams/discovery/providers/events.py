"""What a provider lists and watches, as discovery events. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Asset, DiscoveryEvent, Op
from streams.discovery.ports import Change, DiscoveryProvider, Standing
from streams.kit import ids


@dataclass(frozen=True, slots=True)
class Listed:
    """What one call of `list` gave: its assets, and the error that broke it off (empty = none)."""

    assets: tuple[Asset, ...]
    error: str = ""


def listing_events(provider: DiscoveryProvider, listed: Listed, began_at: int, ended_at: int) -> list[DiscoveryEvent]:
    """A snapshot if the provider's listings are complete, else its upserts; a failure ends it without `complete`."""
    snapshot_id = ids.derive("snapshot", provider.source, provider.scope, began_at) if provider.complete else None
    events = [_event(provider, Op.SNAPSHOT_BEGIN, began_at, snapshot_id=snapshot_id)] if snapshot_id else []
    events += [_upsert(provider, asset, began_at, snapshot_id) for asset in listed.assets]
    if listed.error:
        events.append(failure_event(provider, listed.error, ended_at))
    elif snapshot_id:
        events.append(_event(provider, Op.SNAPSHOT_COMPLETE, ended_at, snapshot_id=snapshot_id))
    return events


def change_event(provider: DiscoveryProvider, change: Change, at: int) -> DiscoveryEvent:
    if change.asset is None:
        return _event(provider, Op.DELETE, at, asset_id=change.asset_id)
    return _upsert(provider, change.asset, at)


def failure_event(provider: DiscoveryProvider, error: str, at: int) -> DiscoveryEvent:
    return _event(provider, Op.SOURCE_FAILED, at, reason=error)


def _upsert(provider: DiscoveryProvider, asset: Asset, at: int, snapshot_id: str | None = None) -> DiscoveryEvent:
    stands_s = provider.stands_s if isinstance(provider, Standing) else None
    about = {"snapshot_id": snapshot_id, "asset_id": asset.id, "asset": asset, "stands_s": stands_s}
    return _event(provider, Op.UPSERT, at, **about)


def _event(provider: DiscoveryProvider, op: Op, at: int, **fields: object) -> DiscoveryEvent:
    return DiscoveryEvent.model_validate(
        {"source": provider.source, "scope": provider.scope, "op": op, "at": at, **fields}
    )
