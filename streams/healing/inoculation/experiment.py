"""From a slot to a fault that stands: gates, policy, mode, the order, its outcome."""

from __future__ import annotations

from schemas.records import ActionOutcome, AutonomyMode, RegisteredAsset, RemediationStatus
from streams.healing.desk import Desk, action_id, seconds, with_policies
from streams.healing.inoculation import lifting
from streams.healing.inoculation.gates import held, is_asked_for, pool_name, victim_problem, victims
from streams.healing.inoculation.rows import InoculationRow, Phase
from streams.healing.inoculation.schedule import chosen, next_slot
from streams.healing.inoculation.telling import new_epoch, tell
from streams.healing.pools import members_of, pool_of
from streams.healing.ports import REFUSED
from streams.healing.questions import Point, may, needs_approval, question, unmet
from streams.healing.settings import milliseconds
from streams.healing.strategies.inoculation import FAULTS, INOCULATION, injection
from streams.kit.ids import derive
from streams.policy.attributes import environment_of
from streams.policy.modes import approval, approval_used, autonomy_by_name


def arm(desk: Desk, asset_id: str) -> None:
    """Figures of a pool that is to be inoculated have come: its first slot is set."""
    asset = desk.world.assets.get(asset_id)
    pool = pool_of(asset, desk.settings)
    if asset is None or not is_asked_for(desk, pool):
        return
    row = desk.draft.inoculation(pool) or InoculationRow(pool=pool)
    if row.due_at is None and row.phase is Phase.IDLE:
        lifting.idle(desk, row)


def on_due(desk: Desk, row: InoculationRow) -> None:
    match row.phase:
        case Phase.IDLE:
            _on_slot(desk, row)
        case Phase.ASKING:
            ttl = f"{desk.settings.approval_ttl_s:g} s"
            _hold(desk, row, f"no approval of {row.action_id} within {ttl}")
        case Phase.INJECTING:
            timeout = f"{desk.settings.strategy_timeout_s:g} s"
            lifting.end(desk, row, f"no outcome of the injection within {timeout}", passed=None)
        case Phase.STANDING:
            _time_is_over(desk, row)
        case Phase.LIFTING:
            lifting.on_due(desk, row)


def _on_slot(desk: Desk, row: InoculationRow) -> None:
    members = members_of(row.pool, desk.world, desk.settings)
    if not members or not is_asked_for(desk, row.pool):
        desk.draft.put_inoculation(row.model_copy(update={"due_at": None}))
        return
    experiment_id = derive("inoculation", row.pool, desk.now)
    candidates, why_none = victims(desk, row.pool)
    victim_id = chosen(experiment_id, candidates or members) or ""
    action = injection(desk.world.assets[victim_id])
    update = {"experiment_id": experiment_id, "victim_id": victim_id, "actions": (action,) if action else ()}
    row = row.model_copy(update=update | {"action_id": action_id(experiment_id, INOCULATION, victim_id, 0)})
    why = held(desk, row.pool) or (None if candidates else why_none)
    if why is not None:
        _hold(desk, row, why)
    else:
        _plan(desk, row, desk.world.assets[victim_id])


def _hold(desk: Desk, row: InoculationRow, why: str) -> None:
    next_at = next_slot(row.pool, desk.now, desk.settings.inoculation)
    reason = f"inoculation of the pool {pool_name(row.pool)} is held back: {why}; the next slot is in "
    row = tell(desk, row, RemediationStatus.SUPPRESSED, reason + seconds(next_at - desk.now), actions=())
    lifting.idle(desk, row)


def _plan(desk: Desk, row: InoculationRow, asset: RegisteredAsset) -> None:
    answer = may(desk.policy, desk.world, question(Point.ACTION_PLANNED, INOCULATION, asset.id, asset))
    used = (*answer.verdicts, *desk.mode_used(INOCULATION, asset))
    row = row.model_copy(update={"policies": used, "obligations": answer.obligations})
    mode = autonomy_by_name(desk.world, INOCULATION, asset.tenant or "", environment_of(asset))
    dry = mode not in (AutonomyMode.APPROVE, AutonomyMode.AUTO)
    fault = FAULTS[str(row.actions[0].parameters["kind"])]
    what = f"{fault} of {asset.id} on purpose, for {desk.settings.inoculation.for_s:g} s at most"
    if_named = f"only a mode record that names {INOCULATION} lets it happen"
    word = f"would be done (mode {mode}; {if_named})" if dry else "planned"
    row = tell(desk, row, RemediationStatus.PLANNED, f"{what}: {word}", {"mode": mode, "fault": fault})
    refusal = answer.reason if not answer.allowed else unmet(answer, asset, None)
    if refusal is not None:
        lifting.idle(desk, tell(desk, row, RemediationStatus.DENIED, f"denied ({answer.outcome}): {refusal}"))
    elif dry:
        lifting.idle(desk, row)
    elif mode is AutonomyMode.APPROVE or needs_approval(answer.obligations):
        ttl_ms = milliseconds(desk.settings.approval_ttl_s)
        row = row.model_copy(update={"phase": Phase.ASKING, "due_at": desk.now + ttl_ms})
        reason = f"waits for an approval of {row.action_id}, at most {seconds(ttl_ms)}"
        tell(desk, row, RemediationStatus.AWAITING_APPROVAL, reason)
    else:
        _inject(desk, row, "planned")


def on_approval(desk: Desk, answered_id: str) -> None:
    """A person has answered. All is looked at again: the answer may have come late."""
    row = desk.draft.inoculating()
    given = approval(desk.world, answered_id, desk.now)
    if row is None or given is None or row.phase is not Phase.ASKING or row.action_id != answered_id:
        return
    row = with_policies(row, approval_used(desk.world, answered_id, desk.now))
    if not given.approved:
        lifting.idle(desk, tell(desk, row, RemediationStatus.DENIED, f"refused by {given.by}"))
        return
    asset = desk.world.assets.get(row.victim_id)
    gone = asset is None or pool_of(asset, desk.settings) != row.pool or injection(asset) != row.actions[0]
    why = f"{row.victim_id} has changed" if gone or asset is None else victim_problem(desk, asset, row.pool)
    why = held(desk, row.pool) or why
    if why is not None:
        _hold(desk, row, why)
    else:
        _inject(desk, row, f"approved by {given.by}")


def _inject(desk: Desk, row: InoculationRow, why: str) -> None:
    new_epoch(desk, row)
    due = desk.now + milliseconds(desk.settings.strategy_timeout_s)
    row = row.model_copy(update={"phase": Phase.INJECTING, "ordered_at": desk.now, "due_at": due})
    tell(desk, row, RemediationStatus.EXECUTING, f"the fault on {row.victim_id} is ordered: {why}")


def on_outcome(desk: Desk, outcome: ActionOutcome) -> None:
    row = desk.draft.inoculating()
    if row is None or outcome.incident_id != row.experiment_id:
        return
    if row.phase is Phase.LIFTING:
        lifting.on_outcome(desk, row, outcome)
    elif row.phase is Phase.INJECTING and outcome.action_id == row.action_id:
        _injected(desk, row, outcome)


def _injected(desk: Desk, row: InoculationRow, outcome: ActionOutcome) -> None:
    if outcome.succeeded:
        due = max(desk.now + 1, outcome.at + milliseconds(desk.settings.inoculation.for_s))
        row = row.model_copy(update={"phase": Phase.STANDING, "injected_at": outcome.at, "due_at": due})
        tell(desk, row, RemediationStatus.SUCCEEDED, f"the fault stands: {outcome.detail}")
        return
    row = tell(desk, row, RemediationStatus.FAILED, f"the fault could not be put on: {outcome.detail}")
    if outcome.detail.startswith(REFUSED):
        lifting.idle(desk, row)
    else:
        lifting.end(desk, row, f"whether it stands is not known ({outcome.detail})", passed=None)


def _time_is_over(desk: Desk, row: InoculationRow) -> None:
    limit = f"{desk.settings.inoculation.for_s:g} s"
    if row.detected_at is None:
        lifting.end(desk, row, f"nobody noticed the fault within {limit}", passed=False)
        return
    step = "nothing was done about it" if row.acted_at is None else "it was not proven well again"
    lifting.end(desk, row, f"incident {row.incident_id} was opened, but {step} within {limit}", passed=False)
