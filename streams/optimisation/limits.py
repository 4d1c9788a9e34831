"""What stands between a proposal and its publication: owners, budgets, steps, evidence, worth. First no wins."""

from __future__ import annotations

import math
from dataclasses import dataclass

from schemas.records import RecommendedAction, RegisteredAsset, RemediationStatus
from streams.kit.ledger import MICRO
from streams.kit.world import World
from streams.optimisation.confidence import confidence_of
from streams.optimisation.destination import find_destination, greener_destination
from streams.optimisation.proposal import DOWN, Proposal
from streams.optimisation.settings import OptimisationSettings
from streams.optimisation.situation import Situation
from streams.optimisation.state import AssetRow
from streams.policy.modes import budgets_of, budgets_used, named

_AT_WORK = (RemediationStatus.EXECUTING, RemediationStatus.SUCCEEDED)
_DRAINED = (*_AT_WORK, RemediationStatus.VERIFIED)
_FIXED_DISRUPTION = 0.02
"""Share of the work that any change disturbs, however idle the asset: keeps the ratio finite."""


@dataclass(frozen=True, slots=True)
class Held:
    """A proposal that is not made. `what` names it for not telling it twice."""

    proposal: Proposal
    what: str
    why: str
    quiet: bool = False


def limit(
    proposal: Proposal, s: Situation, row: AssetRow, world: World, settings: OptimisationSettings
) -> Proposal | Held:
    """The proposal as far as the limits let it, or why not at all."""
    if proposal.action is RecommendedAction.SCALE_OUT:
        result = _within_budgets(proposal, s, world)
    else:
        owner = owner_of(world, s.asset_id)
        if owner is not None:
            return Held(proposal, "owner", f"{owner}: nothing is cut or moved meanwhile")
        result = _toward(proposal, s, world) if proposal.action is RecommendedAction.REBALANCE else proposal
        if isinstance(result, Proposal) and proposal.action in DOWN:
            result = _stepped(proposal, s, row, settings)
    return _evident(result, s, settings) if isinstance(result, Proposal) else result


def owner_of(world: World, asset_id: str) -> str | None:
    """Who acts on this asset now, in words; one owner per axis: healing goes first."""
    for remediation in world.remediations.get(asset_id, {}).values():
        statuses = _DRAINED if remediation.strategy == "failover" else _AT_WORK
        if remediation.status in statuses:
            return f"healing acts on it ({remediation.strategy}, {remediation.status.value})"
    incidents = sorted(world.incidents.get(asset_id, {}))
    return f"incident {incidents[0]} is open" if incidents else None


def over_budget(world: World, s: Situation) -> bool:
    """A budget that binds the asset is already exceeded: then any saving is worth its disruption."""
    own = s.cost or 0.0
    return any(spending(world, b.scope, s) > b.limit_usd_per_hour for b in budgets_of(world, known(s))) and own > 0


def _within_budgets(proposal: Proposal, s: Situation, world: World) -> Proposal | Held:
    for found in budgets_of(world, known(s)):
        spent = spending(world, found.scope, s)
        room = found.limit_usd_per_hour - spent
        used = named(budgets_used(world, (found.scope,)))
        healing = added_by_healing(world, found.scope)
        by = f", {healing:.2f} of it by healing" if healing else ""
        said = f"budget {found.scope} of {found.limit_usd_per_hour:.2f} USD/h, {spent:.2f} spent{by} ({used})"
        if s.unit_cost is None:
            return Held(proposal.bound_by(used), "budget", f"{said}, and the cost of a unit is not known")
        if s.unit_cost <= 0:
            continue
        most = s.units + math.floor(max(0.0, room) / s.unit_cost + 1e-9)
        if most <= s.units:
            why = f"{said}: no room for a unit at {s.unit_cost:.2f} USD/h"
            return Held(proposal.bound_by(used), "budget", why)
        if proposal.to_units > most:
            proposal = proposal.limited(most, f"held to {most:g} units by {said}").bound_by(used)
    return proposal


def spending(world: World, scope: str, s: Situation) -> float:
    """USD per hour in a scope: what the registry says, of the asset itself what was measured, what healing adds."""
    adding = added_by_healing(world, scope)
    if scope == f"asset:{s.asset_id}":
        return (s.cost or 0.0) + adding
    tenant = scope.removeprefix("tenant:") if scope != "*" else None
    others = sum(
        asset.cost_usd_per_hour or 0.0
        for asset in world.assets.values()
        if asset.id != s.asset_id and (tenant is None or asset.tenant == tenant)
    )
    return others + (s.cost or 0.0) + adding


def added_by_healing(world: World, scope: str) -> float:
    """USD per hour of what healing is adding to a scope, which the registry does not show yet."""
    return world.ledger.unregistered(scope) / MICRO


def known(s: Situation) -> RegisteredAsset | str:
    return s.asset if s.asset is not None else s.asset_id


def _toward(proposal: Proposal, s: Situation, world: World) -> Proposal:
    destination = (
        greener_destination(world, s) if proposal.destination_id else find_destination(world, s)
    )  # fmt: skip
    if destination is None:
        return proposal.limited(s.units, "no healthy asset offers the same capabilities: one must be added")
    return Proposal(
        proposal.action, s.units, proposal.because, proposal.why, proposal.urgent, proposal.notes, destination.id
    )


def _stepped(proposal: Proposal, s: Situation, row: AssetRow, settings: OptimisationSettings) -> Proposal | Held:
    """10 % for each minute since the last step down, and at least one unit: an allowance that is saved up.

    So a pool that was not cut for ten minutes comes down in one move rather than in many. A
    right-sizing is one change, but not sooner either. What stands is not deepened while it waits to be followed.
    """
    since_ms = s.at - row.stepped_down_at if row.stepped_down_at else 0
    standing = row.published
    if standing is not None and standing.action is proposal.action and standing.from_units == s.units:
        if proposal.action is RecommendedAction.RIGHT_SIZE or proposal.to_units >= standing.to_units:
            return proposal
        return _held_to(proposal, standing.to_units)
    if row.stepped_down_at and since_ms < settings.step_down_every_s * 1000:
        why = f"the last step down was less than {settings.step_down_every_s} s ago"
        return Held(proposal, "step", why, quiet=True)
    if proposal.action is RecommendedAction.RIGHT_SIZE:
        return proposal
    share = min(1.0, settings.step_down_share * _steps(since_ms, settings))
    least = s.units - max(1.0, math.floor(s.units * share))
    if proposal.to_units >= least:
        return proposal
    if row.stepped_down_at and since_ms < 1000 * settings.stabilisation_down_s:
        return Held(proposal, "step", "steps down are saved up for one larger move", quiet=True)
    return _held_to(proposal, least)


def _held_to(proposal: Proposal, least: float) -> Proposal:
    return proposal.limited(least, f"this step is held to {least:g}, {proposal.to_units:g} would do")


def _steps(since_ms: int, settings: OptimisationSettings) -> float:
    """How many steps down have been saved up; 1 at least."""
    every_ms = 1000 * max(1, settings.step_down_every_s)
    return max(1.0, since_ms // every_ms)


def worth_it(proposal: Proposal, s: Situation, world: World, settings: OptimisationSettings) -> bool:
    """(saving / cost) / (work that is disturbed / all work) of a cut [Karpenter]; a re-sizing restarts every unit.

    Over budget every saving is worth it.
    """
    if proposal.action not in DOWN or over_budget(world, s):
        return True
    saving_share = (s.units - proposal.to_units) / s.units
    moved_share = 1.0 if proposal.action is RecommendedAction.RIGHT_SIZE else saving_share
    disruption = moved_share * min(1.0, s.high or 1.0) + _FIXED_DISRUPTION
    return saving_share / disruption >= settings.accept_ratio


def _evident(proposal: Proposal, s: Situation, settings: OptimisationSettings) -> Proposal | Held:
    confidence = confidence_of(s, proposal.because)
    least = settings.min_confidence
    if proposal.action is RecommendedAction.SCALE_OUT:
        least = settings.min_confidence_out
    elif proposal.action in DOWN:
        samples = max((s.figures[m].total for m in proposal.because if m in s.figures), default=0)
        if samples < settings.min_samples:
            return Held(proposal, "evidence", f"{samples} samples, fewer than {settings.min_samples}", quiet=True)
    if confidence < least:
        return Held(proposal, "evidence", f"confidence {confidence:.2f} is below {least:.2f}", quiet=True)
    return proposal
