"""Taking and giving back: the lease on an asset, the pool's share, cooldowns, and the waits of an incident."""

from __future__ import annotations

from schemas.records import RemediationStatus, Scalar
from streams.healing.desk import Desk, faded, seconds, tell, with_policies
from streams.healing.draft import PAUSED_KEY, action_key, cooldown_key, history_key
from streams.healing.guards import HOUR_MS, Hold, backoff_ms
from streams.healing.settings import PAGE, milliseconds
from streams.healing.state import CooldownRow, HistoryRow, IncidentRow, IncidentState, Lease


def lease_holder(desk: Desk, incident: IncidentRow) -> str | None:
    """Another incident that acts on the same asset; None = the asset is free, or ours."""
    lease = desk.draft.asset(incident.asset_id).lease
    if lease is None or lease.incident_id == incident.id or lease.expires_at <= desk.now:
        return None
    return lease.incident_id


def take_lease(desk: Desk, incident: IncidentRow, extra_ms: int = 0) -> None:
    row = desk.draft.asset(incident.asset_id)
    expires = desk.now + milliseconds(desk.settings.lease_s) + extra_ms
    lease = Lease(incident_id=incident.id, expires_at=expires)
    desk.draft.put_asset(row.model_copy(update={"lease": lease, "pool": row.pool or incident.pool}))


def take_share(desk: Desk, incident: IncidentRow) -> None:
    """Counts the action against the pool's cap and the asset's hourly budget."""
    asset, pool = desk.draft.asset(incident.asset_id), desk.draft.pool(incident.pool)
    acted = (*(at for at in asset.acted_at if at > desk.now - HOUR_MS), desk.now)
    desk.draft.put_asset(asset.model_copy(update={"acted_at": acted}))
    acting = {a: expires for a, expires in pool.acting.items() if expires > desk.now}
    acting[incident.asset_id] = desk.now + milliseconds(desk.settings.lease_s)
    desk.draft.put_pool(pool.model_copy(update={"acting": acting}))


def release(desk: Desk, incident: IncidentRow) -> None:
    """Gives lease and share back if they are this incident's; a lease that another took over stays."""
    asset, pool = desk.draft.asset(incident.asset_id), desk.draft.pool(incident.pool)
    if asset.lease is None or asset.lease.incident_id != incident.id:
        return
    desk.draft.put_asset(asset.model_copy(update={"lease": None}))
    acting = {a: expires for a, expires in pool.acting.items() if a != incident.asset_id}
    desk.draft.put_pool(pool.model_copy(update={"acting": acting}))
    if incident.action_id and desk.draft.action(incident.action_id) is not None:
        desk.draft.drop(action_key(incident.action_id))


def start_cooldown(desk: Desk, incident: IncidentRow) -> None:
    """From now on, since there was an effect; a denied or refused action starts none."""
    until = desk.now + milliseconds(desk.settings.cooldown_s)
    desk.draft.put(cooldown_key(incident.asset_id, incident.strategy), CooldownRow(until_at=until))


def remember(desk: Desk, strategy: str, *, worked: bool) -> None:
    successes, failures = faded(desk, strategy)
    won, lost = (1, 0) if worked else (0, 1)
    row = HistoryRow(successes=successes + won, failures=failures + lost, at=desk.now)
    desk.draft.put(history_key(strategy), row)


def retention_at(desk: Desk) -> int:
    return desk.now + milliseconds(desk.settings.retention_s)


def suppress(desk: Desk, incident: IncidentRow, hold: Hold, evidence: dict[str, Scalar] | None = None) -> bool:
    """Holds the incident back and says why; False = it has waited often enough, so that a person should know."""
    waits = incident.waits + (0 if hold.waits_for_people else 1)
    if waits > desk.settings.max_retries and incident.strategy != PAGE:
        return False
    release(desk, incident)
    due, told = _retry_at(desk, incident, hold)
    row = with_policies(incident, hold.policies).model_copy(
        update={"state": IncidentState.SUPPRESSED, "held_by": hold.guard, "waits": waits, "due_at": due}
    )
    if hold.guard == "pause":
        _wait_for_resume(desk, incident.id)
    if hold.guard == incident.held_by == "pause":
        desk.draft.put_incident(row)
    else:
        tell(desk, row, RemediationStatus.SUPPRESSED, f"held back by {hold.guard}: {hold.reason}; {told}", evidence)
    return True


def _retry_at(desk: Desk, incident: IncidentRow, hold: Hold) -> tuple[int, str]:
    if hold.until is not None:
        due = max(hold.until, desk.now + 1)
        return due, f"tried again in {seconds(due - desk.now)}"
    if hold.waits_for_people:
        return retention_at(desk), "goes on when that is lifted"
    wait = backoff_ms(desk, incident.id, incident.waits)
    return desk.now + wait, f"tried again in {seconds(wait)}"


def _wait_for_resume(desk: Desk, incident_id: str) -> None:
    row = desk.draft.paused()
    if incident_id not in row.incident_ids:
        desk.draft.put(PAUSED_KEY, row.model_copy(update={"incident_ids": (*row.incident_ids, incident_id)}))


def put_aside(
    desk: Desk,
    incident: IncidentRow,
    guard: str,
    reason: str,
    evidence: dict[str, Scalar] | None = None,
    until: int | None = None,
) -> None:
    """Ends healing of an incident that nothing is to be done about, until an event time in ms or until it closes."""
    release(desk, incident)
    due = until if until is not None else retention_at(desk)
    row = incident.model_copy(update={"state": IncidentState.SUPPRESSED, "held_by": guard, "due_at": due})
    tell(desk, row, RemediationStatus.SUPPRESSED, reason, evidence)
