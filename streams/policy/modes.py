"""Autonomy, pauses, approvals and budgets: what the policy records of the world say right now.

All functions are pure; `now` is event time in ms. A scope is `*`, `tenant:<name>` or `asset:<id>`. Where two records
of equal standing disagree the more cautious one counts, so that the answer never depends on the order of arrival.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from schemas.cloudevents import rfc3339
from schemas.records import Approval, Asset, AutonomyMode, Budget, ModeRule, Pause, PolicyRecord, PolicyVerdict
from streams.kit.world import World

_CAUTION = (AutonomyMode.AUTO, AutonomyMode.APPROVE, AutonomyMode.SUGGEST, AutonomyMode.OBSERVE, AutonomyMode.UNKNOWN)


def autonomy(world: World, strategy: str, tenant: str, environment: str, default: AutonomyMode) -> AutonomyMode:
    """The mode of the most specific matching rule (most fields named); of equally specific ones the most cautious.

    A mode that this version does not know counts as `observe`: nothing is done on a word that is not understood.
    """
    best = _mode_record(world, strategy, tenant, environment)
    return default if best is None or best.mode is None else _understood(best.mode.mode)


def autonomy_by_name(world: World, strategy: str, tenant: str, environment: str) -> AutonomyMode:
    """`autonomy` of what may only happen where a rule names its strategy; any other rule, or none, is `suggest`."""
    best = _mode_record(world, strategy, tenant, environment)
    if best is None or best.mode is None or best.mode.strategy != strategy:
        return AutonomyMode.SUGGEST
    return _understood(best.mode.mode)


def _understood(mode: AutonomyMode) -> AutonomyMode:
    return AutonomyMode.OBSERVE if mode is AutonomyMode.UNKNOWN else mode


def paused(world: World, asset: Asset | str, now: int) -> str | None:
    """Who holds effects on this asset back, comma separated in name order; None = nobody.

    Of one holder's records for one scope the newest counts; nobody can lift another's pause.
    """
    return ", ".join(sorted({pause.holder for _, pause in _pauses(world, asset, now)})) or None


def approval(world: World, action_id: str, now: int) -> Approval | None:
    """The newest answer about this action that has not expired; a refusal counts before an approval as new."""
    record = _approval_record(world, action_id, now)
    return record.approval if record is not None else None


def budget(world: World, scope: str) -> Budget | None:
    """The lowest budget for exactly this scope (USD per hour); None = not limited."""
    record = budget_record(world, scope)
    return record.budget if record is not None else None


def budgets_of(world: World, asset: Asset | str) -> tuple[Budget, ...]:
    """Each budget that binds this asset, the narrowest scope first."""
    found = (budget(world, scope) for scope in reversed(scopes_of(world, asset)))
    return tuple(b for b in found if b is not None)


def mode_used(world: World, strategy: str, tenant: str, environment: str) -> tuple[PolicyVerdict, ...]:
    """The record that `autonomy` goes by, for a decision to name; none = the default."""
    record = _mode_record(world, strategy, tenant, environment)
    if record is None or record.mode is None:
        return ()
    mode = record.mode.mode
    return (_used(record, f"mode {mode}", allowed=mode in (AutonomyMode.AUTO, AutonomyMode.APPROVE)),)


def pauses_used(world: World, asset: Asset | str, now: int) -> tuple[PolicyVerdict, ...]:
    """The records behind `paused`."""
    held = _pauses(world, asset, now)
    return tuple(_used(r, f"paused by {p.holder}{_window(p, now)}", allowed=False) for r, p in held)


def pause_ends(world: World, asset: Asset | str, now: int) -> int | None:
    """When the first of the holds of now ends by itself, event time ms; None = none does."""
    windows = (p.window(now) for _, p in _pauses(world, asset, now))
    return min((w[1] for w in windows if w is not None and w[1] is not None), default=None)


def approval_used(world: World, action_id: str, now: int) -> tuple[PolicyVerdict, ...]:
    """The record behind `approval`."""
    record = _approval_record(world, action_id, now)
    if record is None or record.approval is None:
        return ()
    given = record.approval
    return (_used(record, f"{'approved' if given.approved else 'refused'} by {given.by}", allowed=given.approved),)


def budgets_used(world: World, scopes: Iterable[str]) -> tuple[PolicyVerdict, ...]:
    """The records behind the budgets of exactly these scopes; a budget bounds and does not deny by itself."""
    records = budget_records(world)
    found = (records.get(scope) for scope in scopes)
    return tuple(
        _used(r, f"{b.scope} may cost {b.limit_usd_per_hour:.2f} USD/h{_every(b)}", allowed=True)
        for r in found
        if r is not None and (b := r.budget) is not None
    )


def _every(budget: Budget) -> str:
    return "" if budget.period is None else f" on average over each {budget.period}"


def named(verdicts: Iterable[PolicyVerdict]) -> str:
    """`pause:ada:*@7, mode:...@3`: for a sentence."""
    return ", ".join(f"{v.id}@{v.version}" for v in verdicts)


def _used(record: PolicyRecord, what: str, *, allowed: bool) -> PolicyVerdict:
    reason = f"{what}: {record.reason}" if record.reason else what
    return PolicyVerdict(id=record.id, version=record.version, allowed=allowed, reason=reason)


def _mode_record(world: World, strategy: str, tenant: str, environment: str) -> PolicyRecord | None:
    wanted = (strategy, tenant, environment)
    matching = [(rule, r) for r in world.policies.values() if (rule := r.mode) is not None and _matches(rule, wanted)]
    if not matching:
        return None
    return max(matching, key=lambda m: (_specificity(m[0]), _CAUTION.index(m[0].mode), m[1].id))[1]


def _pauses(world: World, asset: Asset | str, now: int) -> list[tuple[PolicyRecord, Pause]]:
    """The pauses that hold now, in order of their records' ids."""
    scopes = scopes_of(world, asset)
    newest: dict[tuple[str, str], PolicyRecord] = {}
    for record in world.policies.values():
        pause = record.pause
        if pause is not None and pause.scope in scopes:
            key = (pause.scope, pause.holder)
            newest[key] = max(newest.get(key, record), record, key=_standing_of_pause)
    return [
        (record, pause)
        for record in sorted(newest.values(), key=lambda r: r.id)
        if (pause := record.pause) is not None and _holds(pause, now)
    ]


def _holds(pause: Pause, now: int) -> bool:
    return not pause.lifted and pause.window(now) is not None


def _window(pause: Pause, now: int) -> str:
    """` from 2026-01-31T22:00:00Z until 2026-01-31T23:00:00Z`; nothing for a hold that began when it was published."""
    begin, end = pause.window(now) or (None, None)
    if begin is None:
        return ""
    return f" from {utc(begin)}{'' if end is None else f' until {utc(end)}'}"


def utc(at: int) -> str:
    """`2026-01-31T22:00:00Z`, for a sentence."""
    return f"{rfc3339(at)[:19]}Z"


def _standing_of_pause(record: PolicyRecord) -> tuple[int, bool, str]:
    """The newest counts, and of two as new the one that holds."""
    return record.at, record.pause is not None and not record.pause.lifted, record.id


def _approval_record(world: World, action_id: str, now: int) -> PolicyRecord | None:
    answers = [
        (record.at, not answer.approved, record.id, record)
        for record in world.policies.values()
        if (answer := record.approval) is not None
        and answer.action_id == action_id
        and (answer.expires_at is None or now < answer.expires_at)
    ]
    return max(answers, key=lambda a: a[:3])[3] if answers else None


def budget_record(world: World, scope: str) -> PolicyRecord | None:
    """The one that counts for exactly this scope."""
    return budget_records(world).get(scope)


def budget_records(world: World) -> dict[str, PolicyRecord]:
    """The record that counts for each scope: that of the lowest budget, of equal ones that of the least id."""
    found: dict[str, PolicyRecord] = {}
    for record in world.policies.values():
        if record.budget is not None:
            known = found.get(record.budget.scope, record)
            found[record.budget.scope] = min(known, record, key=_limit_and_id)
    return found


def _limit_and_id(record: PolicyRecord) -> tuple[float, str]:
    return (record.budget.limit_usd_per_hour if record.budget is not None else math.inf), record.id


def scopes_of(world: World, asset: Asset | str) -> tuple[str, ...]:
    """The scopes that cover an asset, widest first; of an asset that is not registered only `*` and its own."""
    known = asset if isinstance(asset, Asset) else world.assets.get(asset)
    asset_id = asset if isinstance(asset, str) else asset.id
    tenant = known.tenant if known is not None else None
    return ("*", *((f"tenant:{tenant}",) if tenant else ()), f"asset:{asset_id}")


def tenant_in(scope: str) -> str | None:
    """The tenant that a scope names; None = `*` or an asset."""
    return scope.removeprefix("tenant:") if scope.startswith("tenant:") else None


def _matches(rule: ModeRule, wanted: tuple[str, str, str]) -> bool:
    return all(
        named in ("*", value)
        for named, value in zip((rule.strategy, rule.tenant, rule.environment), wanted, strict=True)
    )


def _specificity(rule: ModeRule) -> int:
    return sum(named != "*" for named in (rule.strategy, rule.tenant, rule.environment))
