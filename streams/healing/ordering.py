"""The order to the executor, and the end of an incident that nothing more is ordered for."""

from __future__ import annotations

from schemas.records import RemediationStatus, Scalar
from streams.healing.affording import committed
from streams.healing.desk import Desk, seconds, tell, undoing
from streams.healing.holding import release, retention_at, take_lease, take_share
from streams.healing.settings import PAGE, milliseconds
from streams.healing.state import Drain, IncidentRow, IncidentState


def execute(desk: Desk, row: IncidentRow, why: str) -> None:
    """Orders the executor: takes the lease and a new fencing epoch, and says until when an outcome is waited for."""
    take_lease(desk, row)
    if row.strategy != PAGE:
        take_share(desk, row)
    asset = desk.draft.asset(row.asset_id)
    timeout_ms = milliseconds(desk.settings.strategy_timeout_s)
    started = row.strategy_started_at if row.strategy_started_at is not None else desk.now
    update = {"state": IncidentState.ACTING, "fencing_epoch": asset.epoch + 1, "due_at": desk.now + timeout_ms}
    row = row.model_copy(update={**update, "held_by": "", "strategy_started_at": started, "acted": True})
    reason = f"{why}: ordered as epoch {asset.epoch + 1}; an outcome is waited for {seconds(timeout_ms)}"
    row = tell(desk, row, RemediationStatus.EXECUTING, reason)
    asset = asset.model_copy(update={"epoch": row.fencing_epoch})
    drain = _drain_of(desk, row)
    asset = committed(desk, asset, row, can_be_undone=drain is not None)
    if drain is not None:
        # Who is well already (a retry of an incident that has closed) gets its timer here: no incident's end sets it.
        failback_at = None if asset.open_ids else desk.now + milliseconds(desk.settings.failback_after_s)
        asset = asset.model_copy(update={"drain": drain, "failback_at": failback_at})
    desk.draft.put_asset(asset)


def _drain_of(desk: Desk, row: IncidentRow) -> Drain | None:
    """What stands once this is executed: it drains its asset (a plan with a destination), or can be undone later."""
    destination = row.actions[0].parameters.get("destination_id") if row.actions else None
    if not isinstance(destination, str) and not undoing(desk, row.strategy, row.actions):
        return None
    earlier = desk.draft.asset(row.asset_id).drain
    return Drain(
        incident_id=row.id,
        destination_id=destination if isinstance(destination, str) else "",
        strategy=row.strategy,
        actions=row.actions,
        since_at=desk.now,
        record_id=row.last_record_id,
        earlier=earlier if earlier is not None and (earlier.doubtful or earlier.strategy != row.strategy) else None,
    )


def end_escalated(desk: Desk, row: IncidentRow, reason: str, evidence: dict[str, Scalar] | None = None) -> None:
    """Healing is at its end with this incident; those that had joined it get a look of their own."""
    release(desk, row)
    desk.draft.to_diagnose.extend((*joined_ids(desk, row.asset_id), *row.symptom_ids))
    update = {"state": IncidentState.ESCALATED, "due_at": retention_at(desk), "held_by": "", "symptom_ids": ()}
    tell(desk, row.model_copy(update=update), RemediationStatus.ESCALATED, reason, evidence)


def joined_ids(desk: Desk, asset_id: str) -> list[str]:
    """Open incidents of an asset that ride on the action of another."""
    rows = (desk.draft.incident(i) for i in desk.draft.asset(asset_id).open_ids)
    return [r.id for r in rows if r is not None and r.state is IncidentState.SUPPRESSED and r.held_by == "joined"]
