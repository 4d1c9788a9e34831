"""Guards: what holds an effect back although strategy and policy want it. Each says its figures and until when."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import PolicyVerdict
from streams.healing.affording import against
from streams.healing.desk import Desk, seconds
from streams.healing.pools import members_of
from streams.healing.settings import HealingSettings, milliseconds
from streams.healing.state import IncidentRow, PoolRow
from streams.kit.ids import tie_break
from streams.policy.modes import pause_ends, paused, pauses_used

HOUR_MS = 3_600_000
UNCONFIRMED = "unconfirmed"
"""Guard of an incident that waits for more than its one sample (`confirming`)."""
TIMED = (UNCONFIRMED, "storm", "cap", "budget", "cost", "cooldown", "pause")
"""Guards that a timer looks at again; the other reasons of a suppression last until the incident closes."""


@dataclass(frozen=True, slots=True)
class Hold:
    """`until` None = a retry with back-off finds out. `waits_for_people`: no retry is counted, a record ends it."""

    guard: str
    reason: str
    until: int | None = None
    waits_for_people: bool = False
    policies: tuple[PolicyVerdict, ...] = ()
    """The records that hold it back, if it is records that do."""


def held(desk: Desk, incident: IncidentRow, *, telling_only: bool) -> Hold | None:
    """The first guard that holds an action on the incident's asset; telling a person is held only by a pause."""
    hold = _pause(desk, incident.asset_id)
    if hold is not None or telling_only:
        return hold
    return _storm(desk, incident) or _acting_share(desk, incident) or _budget(desk, incident) or _cost(desk, incident)


def _pause(desk: Desk, asset_id: str) -> Hold | None:
    holders = paused(desk.world, asset_id, desk.now)
    if holders is None:
        return None
    used = pauses_used(desk.world, asset_id, desk.now)
    return Hold("pause", f"effects are paused by {holders}", pause_ends(desk.world, asset_id, desk.now), True, used)


def _storm(desk: Desk, incident: IncidentRow) -> Hold | None:
    row, now = desk.draft.pool(incident.pool), desk.now
    until = measure_storm(desk, row)
    if until is None:
        return None
    ill, size = len(row.ill), _size(desk, row)
    left = f"no action until {seconds(until - now)} from now"
    limit = f"limit {desk.settings.storm_share:.0%}"
    return Hold(
        "storm", f"storm: {ill} of {size} assets of the pool are unhealthy ({ill / size:.0%}, {limit}); {left}", until
    )


def measure_storm(desk: Desk, row: PoolRow) -> int | None:
    """When the storm over this pool ends, event time ms; None = there is none. Each look while it blows prolongs it."""
    settings, size = desk.settings, _size(desk, row)
    ill = len(row.ill)
    if ill >= settings.storm_min_unhealthy and ill / size > settings.storm_share:
        until = desk.now + milliseconds(settings.storm_cooldown_s)
        desk.draft.put_pool(row.model_copy(update={"storm_until": until}))
        return until
    return row.storm_until if row.storm_until is not None and row.storm_until > desk.now else None


def _size(desk: Desk, row: PoolRow) -> int:
    """Members in the registry and ill ones that it does not know, at least 1."""
    return max(1, len({*members_of(row.pool, desk.world, desk.settings), *row.ill}))


def cap_of(size: int, settings: HealingSettings) -> int:
    """How many of a pool of that size may be acted on at once."""
    return max(1, int(size * settings.acting_share + 1e-9))


def _acting_share(desk: Desk, incident: IncidentRow) -> Hold | None:
    row = desk.draft.pool(incident.pool)
    acting = [a for a, expires in row.acting.items() if expires > desk.now and a != incident.asset_id]
    size = _size(desk, row)
    cap = cap_of(size, desk.settings)
    if len(acting) < cap:
        return None
    share = f"{desk.settings.acting_share:.0%} of {size} assets, at least 1"
    return Hold("cap", f"{len(acting)} assets of the pool are being acted on, the cap is {cap} ({share})")


def _budget(desk: Desk, incident: IncidentRow) -> Hold | None:
    limit = desk.settings.hourly_actions
    acted = [at for at in desk.draft.asset(incident.asset_id).acted_at if at > desk.now - HOUR_MS]
    if len(acted) < limit:
        return None
    until = (acted[-limit] if limit else desk.now) + HOUR_MS
    return Hold(
        "budget", f"{len(acted)} actions on {incident.asset_id} in the last 3600 s, the budget is {limit}", until
    )


def _cost(desk: Desk, incident: IncidentRow) -> Hold | None:
    """Looked at when it was planned, too: an approval may have come late."""
    verdict = against(desk, incident)
    return None if verdict is None else Hold("cost", verdict.reason, policies=(verdict,))


def backoff_ms(desk: Desk, cause: str, attempt: int) -> int:
    """Exponential with jitter; the jitter is a hash of the cause, so that a replay waits as long."""
    s = desk.settings
    span = min(s.retry_base_s * 2.0 ** min(attempt, 30), s.retry_max_s)
    spread = 1.0 + s.retry_jitter_share * (2.0 * tie_break(cause, str(attempt)) / 2.0**64 - 1.0)
    return max(1, milliseconds(min(span * spread, s.retry_max_s)))
