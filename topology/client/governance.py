"""What people publish to govern the system, as policy records. Pure: ids are stable, so that a record replaces its own.

pause:<holder>:<scope>   mode:<strategy>:<tenant>:<environment>   budget:<scope>   approval:<action>:<by>
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from schemas.records import Approval, AutonomyMode, Budget, ModeRule, Pause, PolicyRecord, PolicySet
from streams.policy.cedar import CedarPolicySet


def pause(
    holder: str,
    scope: str,
    *,
    lifted: bool,
    until: int | None,
    reason: str,
    at: int,
    author: str = "",
    starts_at: int | None = None,
    rrule: str | None = None,
    zone: str | None = None,
) -> PolicyRecord:
    """A hold, or the end of the one that the same holder has on the same scope. ValueError for an unknown scope.

    `starts_at`: a maintenance window; ValueError if it ends before it begins. `rrule`: it comes again by that rule.
    """
    return PolicyRecord(
        id=_id("pause", holder, checked_scope(scope)),
        kind="pause",
        version=str(at),
        author=author or holder,
        reason=reason,
        pause=Pause(
            scope=scope, holder=holder, lifted=lifted, until=until, starts_at=starts_at, rrule=rrule, zone=zone
        ),
        at=at,
    )


def approval(action_id: str, by: str, *, approved: bool, expires_at: int | None, reason: str, at: int) -> PolicyRecord:
    """One person's answer about one action; the same person's next answer replaces it."""
    return PolicyRecord(
        id=_id("approval", action_id, by),
        kind="approval",
        version=str(at),
        author=by,
        reason=reason,
        approval=Approval(action_id=action_id, approved=approved, by=by, expires_at=expires_at),
        at=at,
    )


def mode(rule: ModeRule, *, author: str, reason: str, at: int) -> PolicyRecord:
    """ValueError for `unknown`, which is for readers of later versions and never for writers."""
    if rule.mode is AutonomyMode.UNKNOWN:
        raise ValueError("mode is one of observe, suggest, approve, auto")
    identity = _id("mode", rule.strategy, rule.tenant, rule.environment)
    return PolicyRecord(id=identity, kind="mode", version=str(at), author=author, reason=reason, mode=rule, at=at)


def budget(
    scope: str, limit_usd_per_hour: float, *, author: str, reason: str, at: int, period: str | None = None
) -> PolicyRecord:
    """0 is a limit of 0; with a period it is the average over each. ValueError for an unknown scope or period."""
    return PolicyRecord(
        id=_id("budget", checked_scope(scope)),
        kind="budget",
        version=str(at),
        author=author,
        reason=reason,
        budget=Budget(scope=scope, limit_usd_per_hour=limit_usd_per_hour, period=period),
        at=at,
    )


def policy_set(files: Mapping[str, str], name: str, *, author: str, reason: str, at: int) -> PolicyRecord:
    """Raises PolicyLoadError for what the layers would refuse: a refused set denies everything until it is replaced."""
    checked = CedarPolicySet(files, name)
    return PolicyRecord(
        id=name,
        kind="policy_set",
        version=checked.version,
        author=author,
        reason=reason,
        policy_set=PolicySet(files=dict(files)),
        at=at,
    )


def checked_scope(scope: str) -> str:
    """A misspelt scope would hold nothing and look as if it did."""
    family, _, name = scope.partition(":")
    if scope == "*" or (family in ("tenant", "asset") and name):
        return scope
    raise ValueError(f"scope {scope!r} is none of *, tenant:NAME, asset:ID")


def _id(kind: str, *parts: str) -> str:
    """Colons within a part are escaped, but for the last part's: no two things share an id."""
    *first, last = parts
    return ":".join([kind, *(quote(part, safe="*@ ") for part in first), last])
