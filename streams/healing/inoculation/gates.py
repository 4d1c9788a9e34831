"""What holds an experiment back. Each reason is a clause with its figures."""

from __future__ import annotations

from schemas.records import AssetState, RegisteredAsset
from streams.healing.desk import Desk, seconds
from streams.healing.guards import cap_of, measure_storm
from streams.healing.pools import members_of
from streams.healing.settings import milliseconds
from streams.healing.strategies.declared import is_standby
from streams.healing.strategies.inoculation import injection
from streams.kit.ids import row_parts
from streams.policy.modes import paused

_PRESENT = (AssetState.REGISTERED, AssetState.UPDATED)


def pool_name(pool: str) -> str | None:
    """The label behind a pool's key; None = the pool has no name, so that no setting can name it."""
    parts = row_parts(pool)
    return parts[2] if parts[0] == "label" else None


def is_asked_for(desk: Desk, pool: str) -> bool:
    return pool_name(pool) in desk.settings.inoculation.pools


def held(desk: Desk, pool: str) -> str | None:
    """Why the pool may get no fault now; None = it may."""
    row, size = desk.draft.pool(pool), len(members_of(pool, desk.world, desk.settings))
    other = desk.draft.inoculating()
    if other is not None and other.pool != pool:
        return f"an inoculation of {other.victim_id} in the pool {pool_name(other.pool)} is under way"
    if row.ill:
        return f"{len(row.ill)} of its assets have an open incident ({min(row.ill)})"
    until = measure_storm(desk, row)
    if until is not None:
        return f"there was a storm over it; no fault until {seconds(until - desk.now)} from now"
    acting = sorted(a for a, expires in row.acting.items() if expires > desk.now)
    cap = cap_of(size, desk.settings)
    if len(acting) >= cap:
        return f"{len(acting)} of its assets are being acted on, the cap is {cap}"
    if desk.settings.storm_min_unhealthy <= 2 and size and 2 / size > desk.settings.storm_share:
        limit = f"{desk.settings.storm_share:.0%}"
        return f"with one more ill asset 2 of {size} would be a storm (limit {limit}), which stops all healing"
    return None


def victims(desk: Desk, pool: str) -> tuple[list[str], str]:
    """Members that may get the fault, and why the first of the others may not."""
    able = _able(desk, pool)
    found: list[str] = []
    why = ""
    for asset_id in members_of(pool, desk.world, desk.settings):
        problem = _problem(desk, desk.world.assets[asset_id], able)
        if problem is None:
            found.append(asset_id)
        else:
            why = why or problem
    return found, why or "it has no member"


def victim_problem(desk: Desk, asset: RegisteredAsset, pool: str) -> str | None:
    """Why this asset may get no fault; None = it may."""
    return _problem(desk, asset, _able(desk, pool))


def _able(desk: Desk, pool: str) -> list[RegisteredAsset]:
    """The members that could take work over."""
    members = (desk.world.assets[i] for i in members_of(pool, desk.world, desk.settings))
    return [a for a in members if _can_take_over(desk, a)]


def _problem(desk: Desk, asset: RegisteredAsset, able: list[RegisteredAsset]) -> str | None:
    row = desk.draft.asset(asset.id)
    if injection(asset) is None:
        return f"{asset.id} declares neither a process nor a server that a fault could be put on"
    if is_standby(asset):
        return f"{asset.id} is a standby"
    if not _can_take_over(desk, asset):
        return f"{asset.id} is not in service ({asset.state}{', an effect on it stands' if row.drain else ''})"
    if row.lease is not None and row.lease.expires_at > desk.now:
        return f"{asset.id} is being acted on for {row.lease.incident_id}"
    for at in (desk.now, desk.now + milliseconds(desk.settings.inoculation.for_s)):
        holders = paused(desk.world, asset, at)
        if holders is not None:
            when = "" if at == desk.now else " before it would be over"
            return f"effects on {asset.id} are paused by {holders}{when}"
    return _unwatched(desk, asset.id) or _alone(asset, able)


def _unwatched(desk: Desk, asset_id: str) -> str | None:
    figures, limit_s = desk.world.performance.get(asset_id), desk.settings.inoculation.fresh_s
    if figures is None:
        return f"{asset_id} reports no figures: nobody would notice"
    age_ms = abs(desk.now - figures.at)
    return (
        f"figures of {asset_id} are {seconds(age_ms)} old, the limit is {limit_s:g} s"
        if (age_ms > milliseconds(limit_s))
        else None
    )


def _alone(asset: RegisteredAsset, able: list[RegisteredAsset]) -> str | None:
    """A destination that can do the same must be there before anything is harmed."""
    needed = {c.name for c in asset.capabilities}
    if any(a.id != asset.id and needed <= {c.name for c in a.capabilities} for a in able):
        return None
    return f"no other member of its pool is healthy and can do what {asset.id} does"


def _can_take_over(desk: Desk, asset: RegisteredAsset) -> bool:
    row = desk.draft.asset(asset.id)
    return asset.state in _PRESENT and not row.open_ids and row.drain is None
