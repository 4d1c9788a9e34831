"""The end of an experiment: its verdict, the order to lift the fault, and again until it is lifted."""

from __future__ import annotations

from schemas.records import ActionOutcome, RemediationStatus
from streams.healing.desk import Desk, action_id, seconds
from streams.healing.guards import backoff_ms
from streams.healing.inoculation.rows import IDLE_FIELDS, InoculationRow, Phase
from streams.healing.inoculation.schedule import next_slot
from streams.healing.inoculation.score import counted, faded
from streams.healing.inoculation.telling import measured, new_epoch, tell
from streams.healing.settings import milliseconds
from streams.healing.strategies.inoculation import lifting

LIFT = "lift"


def end(desk: Desk, row: InoculationRow, verdict: str, *, passed: bool | None) -> None:
    """The fault is lifted at once. `passed` None = it may never have stood, so that it says nothing."""
    settings = desk.settings.inoculation
    row = faded(row, settings, desk.now) if passed is None else counted(row, settings, desk.now, passed=passed)
    order(desk, row.model_copy(update={"verdict": verdict, "has_passed": passed, "phase": Phase.LIFTING}))


def order(desk: Desk, row: InoculationRow) -> None:
    new_epoch(desk, row)
    lift_id = action_id(row.experiment_id, LIFT, row.victim_id, row.lifts)
    due = desk.now + milliseconds(desk.settings.strategy_timeout_s)
    row = row.model_copy(update={"action_id": lift_id, "lifts": row.lifts + 1, "due_at": due})
    reason = f"the fault on {row.victim_id} is lifted: {row.verdict}"
    tell(desk, row, RemediationStatus.EXECUTING, reason, actions=lifting(row.actions))


def on_due(desk: Desk, row: InoculationRow) -> None:
    if row.action_id:
        _again_later(desk, row, f"no outcome within {desk.settings.strategy_timeout_s:g} s")
    else:
        order(desk, row)


def on_outcome(desk: Desk, row: InoculationRow, outcome: ActionOutcome) -> None:
    """Also a late outcome of an earlier order is the truth."""
    ordered = (action_id(row.experiment_id, LIFT, row.victim_id, n) for n in range(row.lifts))
    if outcome.action_id not in ordered:
        return
    if outcome.succeeded:
        _lifted(desk, row, outcome)
    elif outcome.action_id == row.action_id:
        _again_later(desk, row, outcome.detail)


def _again_later(desk: Desk, row: InoculationRow, why: str) -> None:
    wait_ms = backoff_ms(desk, row.experiment_id, row.lifts)
    reason = f"the fault on {row.victim_id} is not lifted yet: {why}; ordered again in {seconds(wait_ms)}"
    row = tell(desk, row, RemediationStatus.SUPPRESSED, reason, actions=lifting(row.actions))
    desk.draft.put_inoculation(row.model_copy(update={"action_id": "", "due_at": desk.now + wait_ms}))


def _lifted(desk: Desk, row: InoculationRow, outcome: ActionOutcome) -> None:
    figures = measured(row)
    word = {True: "passed", False: "not passed", None: "not counted"}[row.has_passed]
    score = f"resilience score of the pool {figures['resilience_score']}"
    reason = f"{word}: {row.verdict}; {score}; lifted: {outcome.detail}"
    idle(desk, tell(desk, row, RemediationStatus.ROLLED_BACK, reason, figures, lifting(row.actions)))


def idle(desk: Desk, row: InoculationRow) -> None:
    """Nothing is under way any more; the pool's next slot is waited for."""
    due = next_slot(row.pool, desk.now, desk.settings.inoculation)
    desk.draft.put_inoculation(row.model_copy(update=IDLE_FIELDS | {"due_at": due}))
