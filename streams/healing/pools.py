"""Which assets stand in for each other: the pool over which storm guard and caps count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from schemas.records import AssetState, RegisteredAsset
from streams.healing.settings import HealingSettings
from streams.kit.ids import row_key
from streams.kit.world import World

UNREGISTERED = row_key("unregistered")


def pool_of(asset: RegisteredAsset | None, settings: HealingSettings) -> str:
    """The pool label with the tenant, else tenant and kind (a storm is likely to take neighbours of one kind)."""
    if asset is None:
        return UNREGISTERED
    label = asset.labels.get(settings.pool_label)
    return row_key("label", asset.tenant or "", label) if label else row_key("kind", asset.tenant or "", asset.kind)


def members_of(pool: str, world: World, settings: HealingSettings) -> tuple[str, ...]:
    """Ids in the registry, in id order; what is removed does not count."""
    return () if pool == UNREGISTERED else _pools(world, settings).get(pool, ())


def _pools(world: World, settings: HealingSettings) -> Mapping[str, tuple[str, ...]]:
    """Every pool's members: each incident asks twice, and the registry may hold a hundred thousand assets."""
    name = f"pools by {settings.pool_label}"
    known = world.derived.get(name)
    if known is None:
        members: dict[str, list[str]] = {}
        for asset_id in sorted(world.assets):
            asset = world.assets[asset_id]
            if asset.state is not AssetState.REMOVED:
                members.setdefault(pool_of(asset, settings), []).append(asset.id)
        known = world.derived[name] = {pool: tuple(ids) for pool, ids in members.items()}
    return cast("Mapping[str, tuple[str, ...]]", known)
