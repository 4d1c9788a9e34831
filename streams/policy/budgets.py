"""Whether something that a layer is about to do fits into the budgets of an asset, and why not. Pure.

A budget bounds two sums. *Use*: what jobs spend and what healing has committed. *Assets*: what the registry says that
the assets of the scope cost, and what has been added that it does not show yet. What is about to be done must fit into
each sum that it adds to. All amounts are micro-USD an hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.periods import HOUR_MS, parse
from schemas.records import Budget, PolicyRecord, PolicyVerdict, RegisteredAsset
from streams.kit.ledger import MICRO, micro_usd
from streams.kit.world import World
from streams.policy.modes import budget_record, scopes_of, tenant_in, utc

HEALING, ROUTING = "healing", "routing"


@dataclass(frozen=True, slots=True)
class Cost:
    """What something adds: to use, and of that to what the assets cost. None = it is not known."""

    micro_usd: int | None
    unregistered_micro_usd: int = 0


FREE = Cost(0)


Sums = Mapping[str, tuple[int, int]]
"""Scope -> (use, of it what the registry does not show yet), of all that stands."""


def over_budget(
    world: World, asset: RegisteredAsset | str, cost: Cost, healing: Sums, now: int
) -> PolicyVerdict | None:
    """The first budget of the asset, the narrowest first, that healing would go beyond; None = it would not.

    `healing` is by scope what it has committed by its own count, which is newer than what came back on `spending`;
    `now` in ms tells the period of a budget that has one.
    """
    if cost == FREE:
        return None
    for scope in reversed(scopes_of(world, asset)):
        record = budget_record(world, scope)
        if record is not None:
            why = _beyond(world, record, scope, cost, healing.get(scope, (0, 0)), now)
            if why:
                return PolicyVerdict(id=record.id, version=record.version, allowed=False, reason=why)
    return None


def _beyond(world: World, record: PolicyRecord, scope: str, cost: Cost, own: tuple[int, int], now: int) -> str:
    limit = record.budget.limit_usd_per_hour if record.budget is not None else 0.0
    name = f"budget {record.id}@{record.version} of {scope}, {limit:,.2f} USD/h"
    if cost.micro_usd is None:
        return f"{name}: what this costs is not known"
    if record.budget is not None and record.budget.period is not None:
        use = _beyond_period(world, record.budget, scope, cost.micro_usd, own[0], now)
    else:
        use = _too_much(limit, cost.micro_usd, {"jobs": world.ledger.spent(scope, ROUTING), "healing": own[0]})
    if not use and cost.unregistered_micro_usd:
        assets = registered(world, scope)
        parts = {"assets": assets, "healing": own[1]}
        use = _too_much(limit, cost.unregistered_micro_usd, parts)
    return f"{name}: {use}" if use else ""


def _beyond_period(world: World, budget: Budget, scope: str, cost: int, own: int, now: int) -> str:
    """As if it stood to the end of the period; what healing has given back in it is not counted (ADR 29)."""
    start, end = parse(budget.period or "", budget.anchor_at).bounds(now)
    healing = own * (end - now) // HOUR_MS + world.ledger.stood(scope, HEALING, start, now)
    spent = {"jobs": world.ledger.of_period(scope, ROUTING, start), "healing": healing}
    limit_usd, needs = budget.limit_usd_per_hour * (end - start) / HOUR_MS, cost * (end - now) // HOUR_MS
    why = _too_much(limit_usd, needs, spent)
    return f"{limit_usd:,.2f} USD from {utc(start)} to {utc(end)}, {why}" if why else ""


def _too_much(limit_usd: float, cost: int, spent: Mapping[str, int]) -> str:
    left = limit_usd * MICRO - sum(spent.values())
    if cost <= left:
        return ""
    by = " and ".join(f"{amount / MICRO:,.2f} by {who}" for who, amount in spent.items())
    return f"spent {by}, {max(0.0, left) / MICRO:,.2f} left, needs {cost / MICRO:,.2f}"


def registered(world: World, scope: str) -> int:
    """What the assets of a scope cost by the registry, micro-USD an hour; a cost that is not known is 0."""
    if scope.startswith("asset:"):
        asset = world.assets.get(scope.removeprefix("asset:"))
        return micro_usd(asset.cost_usd_per_hour or 0.0) if asset is not None else 0
    tenant = tenant_in(scope)
    assets = (a for a in world.assets.values() if tenant is None or a.tenant == tenant)
    return sum(micro_usd(a.cost_usd_per_hour or 0.0) for a in assets)
