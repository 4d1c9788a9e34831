"""Whether an action fits into the budgets of its asset: asked when it is planned, and again when it is ordered."""

from __future__ import annotations

from schemas.records import PolicyVerdict, RegisteredAsset
from streams.healing.commitments import added, sum_of
from streams.healing.desk import Desk, with_policies
from streams.healing.questions import Answer, unmet
from streams.healing.state import AssetRow, Commitment, IncidentRow
from streams.policy.budgets import FREE, Cost, over_budget
from streams.policy.modes import budgets_used, scopes_of


def against(desk: Desk, row: IncidentRow) -> PolicyVerdict | None:
    """The budget that the plan of the row would go beyond; None = it fits. What the row's asset holds now is free."""
    if (cost := cost_of(row)) == FREE:
        return None
    held = sum_of(c for c in desk.draft.asset(row.asset_id).spends if c.strategy == row.strategy)
    own = added(desk.draft.spending().by_scope, held, -1)
    return over_budget(desk.world, row.asset_id, cost, own, desk.now)


def refused(
    desk: Desk, row: IncidentRow, answer: Answer, source: RegisteredAsset | None, target: RegisteredAsset | None
) -> tuple[IncidentRow, str | None]:
    """Why the plan of the row may not be carried out, by policy, obligation or budget; None = it may.

    The row names the budgets that it was held against, if it costs anything.
    """
    if not answer.allowed or (why := unmet(answer, source, target)):
        return row, f"({answer.outcome}): {answer.reason if not answer.allowed else why}"
    if (verdict := against(desk, row)) is not None:
        return with_policies(row, (verdict,)), f"(budget): {verdict.reason}"
    scopes = scopes_of(desk.world, row.asset_id) if row.adds_micro_usd else ()
    return with_policies(row, budgets_used(desk.world, scopes)), None


def cost_of(row: IncidentRow) -> Cost:
    return Cost(row.adds_micro_usd, row.adds_unregistered_micro_usd)


def committed(desk: Desk, asset: AssetRow, row: IncidentRow, *, can_be_undone: bool) -> AssetRow:
    """The asset's row once the plan of the incident's row is ordered; it takes the place of what came before it."""
    kept = (c for c in asset.spends if c.strategy != row.strategy and (c.undone or c.incident_id != row.id))
    new = Commitment(
        incident_id=row.id,
        strategy=row.strategy,
        scopes=scopes_of(desk.world, row.asset_id),
        micro_usd=row.adds_micro_usd or 0,
        unregistered_micro_usd=row.adds_unregistered_micro_usd,
        undone=can_be_undone,
    )
    return asset.model_copy(update={"spends": (*kept, new) if new.micro_usd else tuple(kept)})
