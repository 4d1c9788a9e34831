"""What an incident's one timer means, by its state."""

from __future__ import annotations

from streams.healing import intake, verification
from streams.healing.desk import Desk
from streams.healing.draft import action_key
from streams.healing.guards import TIMED
from streams.healing.holding import put_aside
from streams.healing.planning import diagnose, give_up
from streams.healing.state import AT_WORK, IncidentRow, IncidentState


def on_due(desk: Desk, row: IncidentRow) -> None:
    lease = desk.draft.asset(row.asset_id).lease
    if row.state in AT_WORK and (lease is None or lease.incident_id != row.id):
        put_aside(desk, row, "lease", f"the lease on {row.asset_id} ran out and was taken by another incident")
        return
    match row.state:
        case IncidentState.ACTING:
            verification.on_no_outcome(desk, row)
        case IncidentState.VERIFYING:
            verification.on_look(desk, row)
        case IncidentState.DIAGNOSING if row.held_by == "approval":
            waited = f"no approval of {row.strategy} within {desk.settings.approval_ttl_s:g} s"
            desk.draft.drop(action_key(row.action_id))
            diagnose(desk, give_up(desk, row, waited))
        case IncidentState.SUPPRESSED if row.is_open and row.held_by in TIMED:
            diagnose(desk, row)
        case IncidentState.DIAGNOSING:
            diagnose(desk, row)
        case _:
            intake.forget(desk, row)
