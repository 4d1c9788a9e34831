"""Autonomy, pauses, approvals and budgets: what the policy records of the world say right now.

All functions are pure; `now` is event time in ms. A scope is `*`, `tenant:<name>` or `asset:<id>`. Where two records
of equal standing disagree the more cautious one counts, so that the answer never depends on the order of arrival.
"""

from __future__ import annotations

from schemas.records import Approval, Asset, AutonomyMode, Budget, ModeRule, Pause
from streams.kit.world import World

_CAUTION = (AutonomyMode.AUTO, AutonomyMode.APPROVE, AutonomyMode.SUGGEST, AutonomyMode.OBSERVE, AutonomyMode.UNKNOWN)


def autonomy(world: World, strategy: str, tenant: str, environment: str, default: AutonomyMode) -> AutonomyMode:
    """The mode of the most specific matching rule (most fields named); of equally specific ones the most cautious.

    A mode that this version does not know counts as `observe`: nothing is done on a word that is not understood.
    """
    wanted = (strategy, tenant, environment)
    matching = [rule for record in world.policies.values() if (rule := record.mode) and _matches(rule, wanted)]
    if not matching:
        return default
    best = max(matching, key=lambda rule: (_specificity(rule), _CAUTION.index(rule.mode)))
    return AutonomyMode.OBSERVE if best.mode is AutonomyMode.UNKNOWN else best.mode


def paused(world: World, asset: Asset | str, now: int) -> str | None:
    """Who holds effects on this asset back, comma separated in name order; None = nobody.

    Of one holder's records for one scope the newest counts; nobody can lift another's pause.
    """
    scopes = scopes_of(world, asset)
    newest: dict[tuple[str, str], tuple[int, bool, Pause]] = {}
    for record in world.policies.values():
        pause = record.pause
        if pause is not None and pause.scope in scopes:
            key = (pause.scope, pause.holder)
            candidate = (record.at, not pause.lifted, pause)
            if key not in newest or candidate[:2] > newest[key][:2]:
                newest[key] = candidate
    holders = {p.holder for _, _, p in newest.values() if not p.lifted and (p.until is None or now < p.until)}
    return ", ".join(sorted(holders)) or None


def approval(world: World, action_id: str, now: int) -> Approval | None:
    """The newest answer about this action that has not expired; a refusal counts before an approval as new."""
    answers = [
        (record.at, not answer.approved, record.id, answer)
        for record in world.policies.values()
        if (answer := record.approval) is not None
        and answer.action_id == action_id
        and (answer.expires_at is None or now < answer.expires_at)
    ]
    return max(answers, key=lambda a: a[:3])[3] if answers else None


def budget(world: World, scope: str) -> Budget | None:
    """The lowest budget for exactly this scope (USD per hour); None = not limited."""
    budgets = [b for record in world.policies.values() if (b := record.budget) and b.scope == scope]
    return min(budgets, key=lambda b: b.limit_usd_per_hour) if budgets else None


def budgets_of(world: World, asset: Asset | str) -> tuple[Budget, ...]:
    """Each budget that binds this asset, the narrowest scope first."""
    found = (budget(world, scope) for scope in reversed(scopes_of(world, asset)))
    return tuple(b for b in found if b is not None)


def scopes_of(world: World, asset: Asset | str) -> tuple[str, ...]:
    """The scopes that cover an asset, widest first; of an asset that is not registered only `*` and its own."""
    known = asset if isinstance(asset, Asset) else world.assets.get(asset)
    asset_id = asset if isinstance(asset, str) else asset.id
    tenant = known.tenant if known is not None else None
    return ("*", *((f"tenant:{tenant}",) if tenant else ()), f"asset:{asset_id}")


def _matches(rule: ModeRule, wanted: tuple[str, str, str]) -> bool:
    return all(
        named in ("*", value)
        for named, value in zip((rule.strategy, rule.tenant, rule.environment), wanted, strict=True)
    )


def _specificity(rule: ModeRule) -> int:
    return sum(named != "*" for named in (rule.strategy, rule.tenant, rule.environment))
