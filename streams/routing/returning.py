"""What stands between a job and the target that an illness drove it from. Pure.

A job comes back only if the target has room for it, pauses, modes and policies let it, and its score beats that of
where the job is now, with `incumbent_bonus` for having it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas.records import AutonomyMode
from streams.kit import ids
from streams.kit.world import World
from streams.policy.attributes import environment_of
from streams.policy.modes import approval, autonomy, mode_used, named, paused, pauses_used
from streams.routing.listing import reasons_against
from streams.routing.settings import RoutingSettings

if TYPE_CHECKING:
    from streams.routing.case import Case

STRATEGY: Final = "failback"
"""What mode records call it."""


def approval_id(asset_id: str) -> str:
    """What an approval record names (its `action_id`) to let jobs come back to this target in mode approve."""
    return ids.derive(STRATEGY, asset_id)


def gate(world: World, asset_id: str, at: int, settings: RoutingSettings) -> str:
    """Why nothing may come back to this target now, whatever it would gain; empty = it may."""
    asset = world.assets.get(asset_id)
    if asset is None:
        return f"{asset_id} is not registered"
    if holders := paused(world, asset_id, at):
        return f"paused by {holders} ({named(pauses_used(world, asset_id, at))})"
    scope = STRATEGY, asset.tenant or "", environment_of(asset)
    mode = autonomy(world, *scope, AutonomyMode(settings.failback_mode))
    if mode is AutonomyMode.AUTO:
        return ""
    said = f"mode {mode}" + (f" ({by})" if (by := named(mode_used(world, *scope))) else "")
    if mode is not AutonomyMode.APPROVE:
        return said
    answer = approval(world, approval_id(asset_id), at)
    if answer is None:
        return f"{said}: no approval of {approval_id(asset_id)}"
    return "" if answer.approved else f"{said}: {answer.by} refused {approval_id(asset_id)}"


def against(case: Case, home: str) -> str:
    """Why the job should stay where it is; empty = it comes back. `case` prefers `home` where it may have the job."""
    slots = case.frame.columns.slots
    if case.target_id != home:
        index = slots.get(home)
        return f"{home} {'; '.join(reasons_against(case, index))}" if index is not None else f"{home} is not registered"
    target, now = case.selection.target, slots.get(case.ask.incumbent or "")
    rows = [row for row, index in enumerate(case.scores.index.tolist()) if index == now]
    if target is None or not rows or case.scores.score[target] > case.scores.score[rows[0]]:
        return ""
    return (
        f"{home} scores {case.scores.score[target]:.3f}, {case.ask.incumbent} {case.scores.score[rows[0]]:.3f} "
        f"with {case.settings.incumbent_bonus:g} for having the job"
    )
