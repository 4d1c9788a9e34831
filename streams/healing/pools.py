"""Which assets stand in for each other: the pool over which storm guard and caps count."""

from __future__ import annotations

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
    if pool == UNREGISTERED:
        return ()
    return tuple(
        sorted(
            a.id for a in world.assets.values() if a.state is not AssetState.REMOVED and pool_of(a, settings) == pool
        )
    )
