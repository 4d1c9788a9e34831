"""Where load could go: a registered, healthy, undrained asset that offers the same capabilities."""

from __future__ import annotations

from schemas.records import AssetState, RegisteredAsset, RemediationStatus
from streams.kit.ids import tie_break
from streams.kit.world import World
from streams.optimisation.metrics import Metric
from streams.optimisation.settings import OptimisationSettings
from streams.optimisation.situation import Situation

_DRAINED = (RemediationStatus.EXECUTING, RemediationStatus.SUCCEEDED, RemediationStatus.VERIFIED)


def find_destination(world: World, s: Situation) -> RegisteredAsset | None:
    """Own fallbacks first, another failure domain before the same, then the cheapest; ties by content."""
    source = s.asset
    candidates = _candidates(world, source)
    if source is None or not candidates:
        return None
    return min(
        candidates,
        key=lambda a: (
            a.id not in source.fallback_ids,
            _domain(a) == _domain(source),
            a.cost_usd_per_hour if a.cost_usd_per_hour is not None else float("inf"),
            tie_break(source.id, a.id),
        ),
    )


def greener_destination(world: World, s: Situation) -> RegisteredAsset | None:
    """The candidate with the least carbon per kWh that costs no more; None if there is none."""
    source = s.asset
    found = [
        a
        for a in _candidates(world, source)
        if a.carbon_g_per_kwh is not None
        and (s.cost is None or (a.cost_usd_per_hour is not None and a.cost_usd_per_hour <= s.cost))
    ]
    if source is None or not found:
        return None
    return min(found, key=lambda a: (a.carbon_g_per_kwh or 0.0, tie_break(source.id, a.id)))


def carbon_saving_g_per_hour(world: World, s: Situation) -> float:
    """What moving this asset's energy use to the greenest candidate would save; 0 without a figure for its energy."""
    energy = s.figures.get(Metric.ENERGY_W)
    if energy is None or s.asset is None or s.asset.carbon_g_per_kwh is None:
        return 0.0
    greener = greener_destination(world, s)
    if greener is None or greener.carbon_g_per_kwh is None:
        return 0.0
    return max(0.0, energy.mean / 1000 * (s.asset.carbon_g_per_kwh - greener.carbon_g_per_kwh))


def worth_a_green_move(world: World, s: Situation, settings: OptimisationSettings) -> bool:
    saving = carbon_saving_g_per_hour(world, s)
    return saving > 0 and saving >= settings.min_carbon_saving_g_per_hour


def _candidates(world: World, source: RegisteredAsset | None) -> list[RegisteredAsset]:
    if source is None:
        return []
    needed = {c.name for c in source.capabilities}
    return [
        asset
        for asset in world.assets.values()
        if asset.id != source.id
        and asset.state in (AssetState.REGISTERED, AssetState.UPDATED)
        and asset.tenant == source.tenant
        and (asset.id in source.fallback_ids or (needed and needed <= {c.name for c in asset.capabilities}))
        and set(source.compliance) <= set(asset.compliance)
        and (not source.data_regions or set(source.data_regions) & set(asset.data_regions))
        and asset.id not in world.incidents
        and not _is_drained(world, asset.id)
    ]


def _is_drained(world: World, asset_id: str) -> bool:
    return any(r.strategy == "failover" and r.status in _DRAINED for r in world.remediations.get(asset_id, {}).values())


def _domain(asset: RegisteredAsset) -> str:
    return asset.failure_domain or f"{asset.cloud}/{asset.region}/{asset.zone}"
