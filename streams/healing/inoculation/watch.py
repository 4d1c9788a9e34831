"""While a fault stands each step of the layer is looked at: what did the loop do, and is the experiment aborted?"""

from __future__ import annotations

from schemas.records import Performance, Remediation, RemediationStatus, Severity
from streams.healing.desk import Desk, seconds
from streams.healing.inoculation import lifting
from streams.healing.inoculation.rows import InoculationRow, Phase
from streams.healing.inoculation.telling import since_s
from streams.healing.pools import pool_of
from streams.healing.settings import PAGE
from streams.healing.state import IncidentState
from streams.healing.strategies.inoculation import INOCULATION
from streams.policy.modes import paused


def watch(desk: Desk, figures: Performance | None = None) -> None:
    """`figures`: those that this step is about."""
    row = desk.draft.inoculating()
    if row is None or row.phase not in (Phase.INJECTING, Phase.STANDING):
        return
    seen = _noted(desk, row)
    if seen != row:
        desk.draft.put_inoculation(seen)
    why = _abort(desk, seen, figures)
    if why is not None:
        lifting.end(desk, seen, f"aborted: {why}", passed=False)
    elif seen.verified_at is not None:
        lifting.end(desk, seen, f"healed {since_s(seen, seen.verified_at):g} s after the fault", passed=True)
    elif seen.incident_id and _is_given_up(desk, seen.incident_id):
        lifting.end(desk, seen, f"healing is at its end with {seen.incident_id}: a person is needed", passed=False)


def _noted(desk: Desk, row: InoculationRow) -> InoculationRow:
    """The row with what of the loop was seen for the first time."""
    update: dict[str, object] = {}
    ids = desk.draft.pool(row.pool).ill.get(row.victim_id, ())
    if ids and row.detected_at is None:
        update |= {"detected_at": desk.now, "incident_id": ids[0]}
    for step in (e.value for e in desk.draft.emissions):
        if not isinstance(step, Remediation) or step.asset_id != row.victim_id or _is_other(step):
            continue
        if step.status is RemediationStatus.EXECUTING and row.acted_at is None:
            update["acted_at"] = desk.now
        if step.status is RemediationStatus.VERIFIED:
            update["verified_at"] = desk.now
    return row.model_copy(update=update) if update else row


def _is_other(step: Remediation) -> bool:
    """Not a step that heals the victim."""
    return step.strategy in (INOCULATION, PAGE) or step.evidence.get("failback") is True


def _is_given_up(desk: Desk, incident_id: str) -> bool:
    incident = desk.draft.incident(incident_id)
    return incident is not None and incident.state is IncidentState.ESCALATED


def _abort(desk: Desk, row: InoculationRow, figures: Performance | None) -> str | None:
    pool = desk.draft.pool(row.pool)
    if row.victim_id not in desk.world.assets:
        return f"{row.victim_id} left the registry"
    others = sorted(a for a in pool.ill if a != row.victim_id)
    if others:
        return f"{others[0]}, another asset of the pool, has an incident ({pool.ill[others[0]][0]})"
    if pool.storm_until is not None and pool.storm_until > desk.now:
        return f"there is a storm over the pool for another {seconds(pool.storm_until - desk.now)}"
    holders = paused(desk.world, row.victim_id, desk.now)
    if holders is not None:
        return f"effects are paused by {holders}"
    return _burn(desk, row, figures) or _harmed(desk, row)


def _burn(desk: Desk, row: InoculationRow, figures: Performance | None) -> str | None:
    """Errors of who is not the victim: its pool, and who depends on it."""
    if figures is None or figures.error_rate is None or figures.asset_id == row.victim_id:
        return None
    asset = desk.world.assets.get(figures.asset_id)
    if pool_of(asset, desk.settings) != row.pool and figures.asset_id not in _dependants(desk, row):
        return None
    limits = desk.settings.inoculation
    rate = figures.error_rate / limits.error_slo_share
    if rate < limits.burn_rate:
        return None
    burn = f"burns the error budget {rate:.1f} times too fast (limit {limits.burn_rate:g})"
    return f"an error rate of {figures.error_rate:.3f} of {figures.asset_id} {burn}"


def _harmed(desk: Desk, row: InoculationRow) -> str | None:
    """A critical incident of who depends on the victim."""
    for asset_id in _dependants(desk, row):
        for incident_id in desk.draft.asset(asset_id).open_ids:
            incident = desk.draft.incident(incident_id)
            if incident is not None and incident.anomaly.severity is Severity.CRITICAL:
                return f"{asset_id}, which depends on {row.victim_id}, has a critical incident ({incident_id})"
    return None


def _dependants(desk: Desk, row: InoculationRow) -> list[str]:
    return sorted(desk.world.dependents.get(row.victim_id, ()))
