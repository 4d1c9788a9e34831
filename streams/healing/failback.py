"""Undoing a failover or another effect that stands, once the asset is healthy for long enough, one at a time in a pool.

    drained --healthy 600 s--> asks pause, mode, policy --held--> later
                                    | free
                                 executing --succeeded--> rolled_back (the asset takes work again)
                                    +--failed, no outcome--> stays drained, later again

Statuses of a failback are steps of the failover's own incident and strategy, with another action id. A failback that
fails is told as `suppressed`, never as `failed`: `failed` would mean that the failover is not in effect. A throttle is
lifted, a cordon taken off in the same way: whatever a strategy's `compensate` undoes.
"""

from __future__ import annotations

from schemas.records import Action, ActionOutcome, AutonomyMode, Remediation, RemediationStatus
from streams.healing.desk import Desk, action_id, seconds, undoing
from streams.healing.draft import action_key
from streams.healing.guards import measure_storm
from streams.healing.ordering import joined_ids
from streams.healing.questions import Answer, Point, may, question, unmet
from streams.healing.settings import milliseconds
from streams.healing.state import ActionRow, AssetRow, Drain, Lease
from streams.kit.ids import derive
from streams.policy.modes import approval, paused

FAILBACK = "failback"
MOST_DOUBLINGS = 7
"""600 s become 21 h at most."""
REMEMBERED = 8
"""Failbacks whose outcome still counts when it is late."""


def on_due(desk: Desk, row: AssetRow) -> None:
    """The asset's failback timer."""
    drain = row.drain
    if drain is not None and drain.executing:
        _later(desk, row, drain, f"no outcome within {desk.settings.strategy_timeout_s:g} s")
    elif drain is None or row.open_ids:
        desk.draft.put_asset(row.model_copy(update={"failback_at": None}))
    elif row.lease is not None and row.lease.expires_at > desk.now:
        _postpone(desk, row, row.lease.expires_at)
    else:
        _consider(desk, row, drain)


def _consider(desk: Desk, row: AssetRow, drain: Drain) -> None:
    pool = desk.draft.pool(row.pool)
    gap_ms = milliseconds(desk.settings.failback_gap_s)
    if pool.last_failback_at is not None and desk.now < pool.last_failback_at + gap_ms:
        _postpone(desk, row, pool.last_failback_at + gap_ms)
        return
    holders, storm = paused(desk.world, row.asset_id, desk.now), measure_storm(desk, pool)
    drain = _numbered(desk, drain, row)
    if holders is not None or storm is not None:
        _later(desk, row, drain, f"paused by {holders}" if holders else "there is a storm over its pool")
        return
    answer = _ask(desk, row, drain)
    refusal = answer.reason if not answer.allowed else unmet(answer, desk.world.assets.get(row.asset_id), None)
    if refusal is not None or not _undo_of(desk, drain):
        _later(desk, row, drain, f"denied: {refusal or f'no strategy {drain.strategy} is loaded'}", answer)
        return
    mode = desk.mode(drain.strategy, desk.world.assets.get(row.asset_id))
    if mode is AutonomyMode.AUTO or (mode is AutonomyMode.APPROVE and _approved(desk, drain)):
        _execute(desk, row, drain, answer)
    else:
        _ask_people(desk, row, drain, mode, answer)


def _numbered(desk: Desk, drain: Drain, row: AssetRow) -> Drain:
    """The drain with the id of its next failback; a failback that had no effect keeps its id."""
    next_id = action_id(drain.incident_id, FAILBACK, row.asset_id, drain.failbacks)
    return drain.model_copy(update={"failback_action_id": next_id, "executing": False})


def _undo_of(desk: Desk, drain: Drain) -> tuple[Action, ...]:
    return tuple(action for d in drain.all() for action in undoing(desk, d.strategy, d.actions))


def _name(drain: Drain) -> str:
    return "failback" if drain.destination_id else f"undoing {drain.strategy}"


def _ask(desk: Desk, row: AssetRow, drain: Drain) -> Answer:
    assets = desk.world.assets
    asked = question(
        Point.ACTION_PLANNED, drain.strategy, row.asset_id, assets.get(row.asset_id), assets.get(drain.destination_id),
        failback=True,
    )  # fmt: skip
    return may(desk.policy, desk.world, asked)


def _approved(desk: Desk, drain: Drain) -> bool:
    given = approval(desk.world, drain.failback_action_id, desk.now)
    return given is not None and given.approved


def _ask_people(desk: Desk, row: AssetRow, drain: Drain, mode: AutonomyMode, answer: Answer) -> None:
    approve = mode is AutonomyMode.APPROVE
    status = RemediationStatus.AWAITING_APPROVAL if approve else RemediationStatus.PLANNED
    word = f"waits for an approval of {drain.failback_action_id}" if approve else f"would be done (mode {mode})"
    drain = _tell(desk, row, drain, status, f"{_name(drain)} of {row.asset_id} {word}", answer)
    if approve:
        waiting = ActionRow(incident_id=drain.incident_id, asset_id=row.asset_id, is_failback=True)
        desk.draft.put(action_key(drain.failback_action_id), waiting)
    desk.draft.put_asset(row.model_copy(update={"drain": drain, "failback_at": None}))


def on_approval(desk: Desk, row: AssetRow, answered_id: str, approved: bool, by: str) -> None:
    """A person has answered about a failback; it is considered anew, or put off. Of another effect it says nothing."""
    desk.draft.drop(action_key(answered_id))
    if row.drain is None or row.drain.failback_action_id != answered_id:
        return
    if not approved:
        _later(desk, row, row.drain, f"refused by {by}")
    elif not row.open_ids:
        _consider(desk, row, row.drain)


def _execute(desk: Desk, row: AssetRow, drain: Drain, answer: Answer) -> None:
    lease = Lease(incident_id=drain.incident_id, expires_at=desk.now + milliseconds(desk.settings.lease_s))
    row = row.model_copy(update={"epoch": row.epoch + 1, "lease": lease})
    healthy = seconds(desk.now - row.healthy_since)
    drain = drain.model_copy(update={"executing": True, "failbacks": drain.failbacks + 1})
    reason = f"{_name(drain)} of {row.asset_id} is ordered: it has been healthy for {healthy}"
    drain = _tell(desk, row, drain, RemediationStatus.EXECUTING, reason, answer)
    due = desk.now + milliseconds(desk.settings.strategy_timeout_s)
    desk.draft.put_asset(row.model_copy(update={"drain": drain, "failback_at": due}))
    pool = desk.draft.pool(row.pool)
    desk.draft.put_pool(pool.model_copy(update={"last_failback_at": desk.now}))


def on_outcome(desk: Desk, row: AssetRow, outcome: ActionOutcome) -> None:
    """Also an outcome that comes after its time is the truth: what succeeded late is in effect all the same."""
    drain = row.drain
    if drain is None or outcome.action_id not in _ordered(row, drain):
        return
    if not outcome.succeeded:
        if drain.executing and outcome.action_id == drain.failback_action_id:
            _later(desk, row, drain, outcome.detail)
        return
    done = "takes work again" if drain.destination_id else f"is without {drain.strategy} again"
    reason = f"{row.asset_id} {done} after {seconds(desk.now - drain.since_at)}: {outcome.detail}"
    _tell(desk, row, drain, RemediationStatus.ROLLED_BACK, reason)
    desk.draft.put_asset(row.model_copy(update={"drain": None, "failback_at": None, "lease": None}))
    desk.draft.to_diagnose.extend(joined_ids(desk, row.asset_id))


def _ordered(row: AssetRow, drain: Drain) -> set[str]:
    """The action ids of this drain's latest failbacks."""
    first = max(0, drain.failbacks - REMEMBERED)
    return {action_id(drain.incident_id, FAILBACK, row.asset_id, n) for n in range(first, drain.failbacks)}


def _wait_ms(desk: Desk, drain: Drain) -> int:
    """Until the next look: doubled with each failback that had no effect, so that a dead executor is not hammered."""
    tried = max(0, drain.failbacks - 1) if drain.executing else drain.failbacks
    return max(1, milliseconds(desk.settings.failback_after_s) * (1 << min(tried, MOST_DOUBLINGS)))


def _later(desk: Desk, row: AssetRow, drain: Drain, why: str, answer: Answer | None = None) -> None:
    wait_ms = _wait_ms(desk, drain)
    reason = f"{_name(drain)} of {row.asset_id} is held back: {why}; looked at again in {seconds(wait_ms)}"
    drain = _tell(desk, row, drain, RemediationStatus.SUPPRESSED, reason, answer)
    due = None if row.open_ids else desk.now + wait_ms
    idle = drain.model_copy(update={"executing": False})
    update = {"drain": idle, "failback_at": due, "lease": None if drain.executing else row.lease}
    desk.draft.put_asset(row.model_copy(update=update))
    if drain.executing:
        desk.draft.to_diagnose.extend(joined_ids(desk, row.asset_id))


def _postpone(desk: Desk, row: AssetRow, until: int) -> None:
    desk.draft.put_asset(row.model_copy(update={"failback_at": max(until, desk.now + 1)}))


def _tell(
    desk: Desk, row: AssetRow, drain: Drain, status: RemediationStatus, reason: str, answer: Answer | None = None
) -> Drain:
    record = Remediation(
        id=derive("remediation", drain.incident_id, drain.failback_action_id, FAILBACK, status, desk.draft.cause_id),
        incident_id=drain.incident_id,
        asset_id=row.asset_id,
        strategy=drain.strategy,
        status=status,
        actions=_undo_of(desk, drain),
        policies=answer.verdicts if answer is not None else (),
        obligations=answer.obligations if answer is not None else (),
        fencing_epoch=row.epoch,
        action_id=drain.failback_action_id,
        evidence={"failback": True, "destination_id": drain.destination_id},
        cause_id=desk.draft.cause_id,
        reason=reason,
        at=desk.now,
    )
    desk.draft.emit(record)
    return drain.model_copy(update={"record_id": record.id})
