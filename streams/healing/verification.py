"""After the order: outcomes, proof of recovery, retries and escalation.

acting --succeeded--> verifying --healthy for 30 s--> resolved
  |                      | not healthy within 60 s
  | failed, timed out    v
  +--retry (back-off)   escalated to the next strategy, at last to a person
"""

from __future__ import annotations

from schemas.records import ActionOutcome, RemediationStatus
from streams.healing.desk import Desk, seconds, tell
from streams.healing.guards import backoff_ms
from streams.healing.holding import release, remember, retention_at, start_cooldown, take_lease
from streams.healing.ordering import end_escalated
from streams.healing.planning import diagnose, give_up
from streams.healing.ports import INTERRUPTED, REFUSED
from streams.healing.settings import PAGE, milliseconds
from streams.healing.state import AssetRow, Drain, IncidentRow, IncidentState

LEAST_LOOK_MS = 1_000
_MAY_STAND = "; it may stand, and is undone once {} is well"


def on_outcome(desk: Desk, row: IncidentRow, outcome: ActionOutcome) -> None:
    """An outcome of the action that is being waited for; others (repeats, late ones) change nothing."""
    if row.state is not IncidentState.ACTING or outcome.action_id != row.action_id:
        return
    if not outcome.detail.startswith(REFUSED):
        start_cooldown(desk, row)
    if outcome.succeeded:
        _succeeded(desk, row, outcome)
    else:
        _failed(desk, row, outcome)


def _succeeded(desk: Desk, row: IncidentRow, outcome: ActionOutcome) -> None:
    _settle(desk, row, doubtful=False)
    row = tell(desk, row, RemediationStatus.SUCCEEDED, f"{row.strategy} succeeded: {outcome.detail}")
    if row.strategy == PAGE:
        end_escalated(desk, row, "a person was told; healing waits for them")
        return
    take_lease(desk, row)
    row = row.model_copy(update={"state": IncidentState.VERIFYING, "verify_from": desk.now})
    desk.draft.put_incident(row.model_copy(update={"due_at": _next_look(desk, row, _healthy_since(desk, row))}))


def _failed(desk: Desk, row: IncidentRow, outcome: ActionOutcome) -> None:
    refused = outcome.detail.startswith(REFUSED)
    may_stand = "" if refused or not _settle(desk, row, doubtful=True) else _MAY_STAND.format(row.asset_id)
    row = tell(desk, row, RemediationStatus.FAILED, f"{row.strategy} failed: {outcome.detail}{may_stand}")
    if refused:
        _forget_drain(desk, row)
    wait = backoff_ms(desk, row.action_id, row.attempts)
    started = row.strategy_started_at if row.strategy_started_at is not None else desk.now
    in_time = desk.now + wait < started + milliseconds(desk.settings.strategy_timeout_s)
    once = outcome.detail.startswith((REFUSED, INTERRUPTED))
    if in_time and not once and row.attempts < desk.settings.max_retries and row.strategy != PAGE:
        update = {"state": IncidentState.DIAGNOSING, "held_by": "retry", "due_at": desk.now + wait}
        update |= {"attempts": row.attempts + 1, "generation": row.generation + 1}
        desk.draft.put_incident(row.model_copy(update=update))
        return
    if not refused:
        remember(desk, row.strategy, worked=False)
    _go_on(desk, row, f"{row.strategy} failed after {row.attempts + 1} attempts: {outcome.detail}")


def _go_on(desk: Desk, row: IncidentRow, reason: str) -> None:
    if row.strategy == PAGE:
        end_escalated(desk, row, f"{reason}; nobody could be paged")
        return
    diagnose(desk, give_up(desk, row, reason))


def _settle(desk: Desk, row: IncidentRow, *, doubtful: bool) -> bool:
    """What the order's outcome says of its effect; False = it has none that could be undone.

    Doubtful: no conclusion is drawn from it (a failed failover does not drain: routing reads the `failed` record the
    same way), but a server may be drained, so it is undone like one that stands. A like one before it needs no second
    order.
    """
    if (own := _own_drain(desk, row)) is None:
        return False
    asset, drain = own
    earlier = drain.earlier
    if earlier is not None and earlier.doubtful and drain.is_like(earlier):
        earlier = earlier.earlier
    drain = drain.model_copy(update={"doubtful": doubtful, "earlier": earlier})
    desk.draft.put_asset(asset.model_copy(update={"drain": drain}))
    return True


def _forget_drain(desk: Desk, row: IncidentRow) -> None:
    """Nothing was done; what stood before stands, and its timer goes on."""
    if (own := _own_drain(desk, row)) is None:
        return
    asset, drain = own
    failback_at = asset.failback_at if drain.earlier is not None else None
    desk.draft.put_asset(asset.model_copy(update={"drain": drain.earlier, "failback_at": failback_at}))


def _own_drain(desk: Desk, row: IncidentRow) -> tuple[AssetRow, Drain] | None:
    """What the row's action left on its asset: an action of another strategy takes nothing away from what stands."""
    asset = desk.draft.asset(row.asset_id)
    drain = asset.drain
    if drain is None or (drain.incident_id, drain.strategy) != (row.id, row.strategy):
        return None
    return asset, drain


def on_no_outcome(desk: Desk, row: IncidentRow) -> None:
    """No outcome in time: the effect may have happened, so its cooldown starts, and a drain stays until failback."""
    start_cooldown(desk, row)
    remember(desk, row.strategy, worked=False)
    _go_on(desk, row, f"no outcome of {row.strategy} within {desk.settings.strategy_timeout_s:g} s")


def on_look(desk: Desk, row: IncidentRow) -> None:
    """A timer, or news of the asset's health, while verifying."""
    since = _healthy_since(desk, row)
    if since is not None and desk.now - since >= milliseconds(desk.settings.healthy_for_s):
        _verified(desk, row, desk.now - since)
    elif since is None and desk.now >= _deadline(desk, row):
        _not_recovered(desk, row)
    else:
        desk.draft.put_incident(row.model_copy(update={"due_at": _next_look(desk, row, since)}))


def _next_look(desk: Desk, row: IncidentRow, since: int | None) -> int:
    """While the watched asset is ill it is looked at now and then: nobody tells of the health of another pool's."""
    if since is not None:
        return max(since + milliseconds(desk.settings.healthy_for_s), desk.now + 1)
    again = desk.now + max(milliseconds(desk.settings.healthy_for_s), LEAST_LOOK_MS)
    return max(min(_deadline(desk, row), again), desk.now + 1)


def _deadline(desk: Desk, row: IncidentRow) -> int:
    return (row.verify_from or 0) + milliseconds(desk.settings.strategy_timeout_s)


def watched_id(desk: Desk, row: IncidentRow) -> str:
    """The asset whose health proves the action; a failover's is its destination, since the ill asset takes no work."""
    return row.watched_id if desk.settings.failover_verified_by == "destination" else row.asset_id


def _healthy_since(desk: Desk, row: IncidentRow) -> int | None:
    """Since when, after the action, the watched asset has had no open incident; None = it has one."""
    watched = desk.draft.asset(watched_id(desk, row))
    return None if watched.open_ids else max(watched.healthy_since, row.verify_from or 0)


def _verified(desk: Desk, row: IncidentRow, healthy_ms: int) -> None:
    remember(desk, row.strategy, worked=True)
    watched = watched_id(desk, row)
    reason = f"{row.strategy} is verified: {watched} has been healthy for {seconds(healthy_ms)} since the action"
    if watched != row.asset_id and row.is_open:
        reason += f"; {row.asset_id} stays drained while it recovers"
    row = tell(desk, row, RemediationStatus.VERIFIED, reason)
    resolve(desk, row)
    for other_id in desk.draft.asset(row.asset_id).open_ids:
        other = desk.draft.incident(other_id)
        if other is not None and other.held_by == "joined":
            desk.draft.put_incident(
                other.model_copy(update={"state": IncidentState.RESOLVED, "due_at": retention_at(desk)})
            )


def resolve(desk: Desk, row: IncidentRow) -> None:
    release(desk, row)
    desk.draft.to_diagnose.extend(row.symptom_ids)
    update = {"state": IncidentState.RESOLVED, "held_by": "", "due_at": retention_at(desk), "symptom_ids": ()}
    desk.draft.put_incident(row.model_copy(update=update))


def _not_recovered(desk: Desk, row: IncidentRow) -> None:
    remember(desk, row.strategy, worked=False)
    watched = watched_id(desk, row)
    still = ", ".join(desk.draft.asset(watched).open_ids)
    reason = f"{watched} is not healthy {desk.settings.strategy_timeout_s:g} s after {row.strategy} (open: {still})"
    diagnose(desk, give_up(desk, row, reason))
