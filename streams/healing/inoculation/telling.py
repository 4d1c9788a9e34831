"""Steps of an experiment as records: the experiment's id stands where an incident's id does."""

from __future__ import annotations

from schemas.records import Action, Remediation, RemediationStatus, Scalar
from streams.healing.desk import Desk
from streams.healing.inoculation.gates import pool_name
from streams.healing.inoculation.rows import InoculationRow
from streams.healing.inoculation.score import resilience
from streams.healing.strategies.inoculation import INOCULATION
from streams.kit.ids import derive


def tell(
    desk: Desk,
    row: InoculationRow,
    status: RemediationStatus,
    reason: str,
    evidence: dict[str, Scalar] | None = None,
    actions: tuple[Action, ...] | None = None,
) -> InoculationRow:
    """Emits a step with what the row holds; the row is saved and returned."""
    base: dict[str, Scalar] = {"inoculation": True, "pool": pool_name(row.pool)}
    if row.incident_id:
        base["inoculation_incident_id"] = row.incident_id
    record = Remediation(
        id=derive("remediation", row.experiment_id, row.action_id, INOCULATION, status, desk.draft.cause_id),
        incident_id=row.experiment_id,
        asset_id=row.victim_id,
        strategy=INOCULATION,
        status=status,
        actions=row.actions if actions is None else actions,
        policies=row.policies,
        obligations=row.obligations,
        fencing_epoch=desk.draft.asset(row.victim_id).epoch,
        action_id=row.action_id,
        evidence=base | (evidence or {}),
        cause_id=desk.draft.cause_id,
        reason=reason,
        at=desk.now,
    )
    desk.draft.emit(record)
    row = row.model_copy(update={"last_record_id": record.id})
    desk.draft.put_inoculation(row)
    return row


def new_epoch(desk: Desk, row: InoculationRow) -> None:
    """Each order has its own: an executor refuses what was ordered before."""
    asset = desk.draft.asset(row.victim_id)
    desk.draft.put_asset(asset.model_copy(update={"epoch": asset.epoch + 1, "pool": asset.pool or row.pool}))


def since_s(row: InoculationRow, at: int | None) -> float | None:
    """s from the moment the fault was put on; None = it did not happen."""
    return None if at is None else max(0, at - (row.injected_at or row.ordered_at)) / 1000.0


def measured(row: InoculationRow) -> dict[str, Scalar]:
    """What the experiment came to. `passed` None = not counted."""
    return {
        "passed": row.has_passed,
        "verdict": row.verdict,
        "detected": row.detected_at is not None,
        "detected_s": since_s(row, row.detected_at),
        "acted_s": since_s(row, row.acted_at),
        "verified_s": since_s(row, row.verified_at),
        "resilience_score": round(resilience(row), 4),
        "experiments_passed": round(row.passed, 4),
        "experiments_failed": round(row.failed, 4),
    }
