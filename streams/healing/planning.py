"""From an incident to an action: rank, ask policy, look at mode and guards, then order the executor.

diagnose --> ranked strategies --> plans of the best --policy denies--> its next plan, the next strategy
                                        | allows
                                     planned --observe, suggest--> suppressed (would do)
                                        | approve, auto
                                     guards  --held-------------> suppressed, again later
                                        | free
                    approve: awaiting_approval --expired, refused--> the next strategy
                                        | approved, or auto
                                     executing
no strategy left --> page (a person is told)
"""

from __future__ import annotations

from schemas.records import AutonomyMode, RemediationStatus, Scalar
from streams.healing.affording import refused
from streams.healing.confirming import waits_for_more
from streams.healing.desk import Desk, seconds, tell, with_plan, with_policies, without_plan
from streams.healing.draft import action_key
from streams.healing.grouping import SYMPTOM, Root, bind, root_at_work, root_told
from streams.healing.guards import Hold, held
from streams.healing.holding import lease_holder, put_aside, release, retention_at, suppress, take_lease
from streams.healing.ordering import end_escalated, execute
from streams.healing.ports import Plan, ResponseStrategy
from streams.healing.questions import Answer, Point, may, needs_approval, question
from streams.healing.ranking import Ranking, at_least, rank
from streams.healing.settings import PAGE, milliseconds
from streams.healing.state import ActionRow, IncidentRow, IncidentState
from streams.policy.modes import approval, approval_used

DRY = (AutonomyMode.OBSERVE, AutonomyMode.SUGGEST)


def diagnose(desk: Desk, incident: IncidentRow) -> None:
    """Finds and starts the best action that may be taken now; tells each thing that stands in the way."""
    row = incident.model_copy(update={"state": IncidentState.DIAGNOSING, "due_at": None})
    holder = lease_holder(desk, row)
    if holder is not None:
        _join(desk, row, holder)
        return
    if waits_for_more(desk, row):
        return
    root = root_at_work(desk, row)
    if root is not None:
        _wait_for_root(desk, row, root)
        return
    ranking = rank(desk, row)
    row = _tell_broken(desk, row, ranking)
    for candidate in ranking.ready:
        figures: dict[str, Scalar] = {"expected_success": round(candidate.expected_success, 4)}
        weighed = f"expected success {candidate.expected_success:.0%}, utility {candidate.utility:.3f}"
        row, decided = _try(desk, row, candidate.strategy, weighed, ranking.evidence() | figures)
        if decided:
            return
    _nothing_left(desk, row, ranking)


def _join(desk: Desk, row: IncidentRow, holder: str) -> None:
    """One asset, one action at a time: this incident rides on the other's action (H2)."""
    other = desk.draft.incident(holder)
    if other is not None:
        row = row.model_copy(update={"strategy": other.strategy, "action_id": other.action_id})
    reason = f"{row.asset_id} is already being acted on for {holder}; this incident joins it"
    put_aside(desk, row, "joined", reason, {"joined_incident_id": holder})


def _wait_for_root(desk: Desk, row: IncidentRow, root: Root) -> None:
    """Acting on a symptom heals nothing and costs the root's healing its budget and its pool's share."""
    bind(desk, root, row)
    reason = f"{root.why(row)}; this incident waits for the healing of {root.incident.id}"
    put_aside(desk, without_plan(row, ""), SYMPTOM, reason, root.evidence(row))


def _tell_broken(desk: Desk, row: IncidentRow, ranking: Ranking) -> IncidentRow:
    for strategy, reason in ranking.broken:
        row = give_up(desk, without_plan(row, strategy.id), f"{strategy.id} failed: {reason}", failed=True)
    return row


def give_up(desk: Desk, row: IncidentRow, reason: str, *, failed: bool = False) -> IncidentRow:
    """Marks the present strategy as tried and says so; the caller goes on to the next one."""
    if failed:
        row = tell(desk, row, RemediationStatus.FAILED, reason)
    row = tell(desk, row, RemediationStatus.ESCALATED, f"{reason}; the next strategy is tried")
    update = {"tried": (*row.tried, row.strategy), "generation": row.generation + 1, "attempts": 0}
    return desk.draft.put_incident(row.model_copy(update={**update, "strategy_started_at": None}))


def _try(
    desk: Desk, row: IncidentRow, strategy: ResponseStrategy, weighed: str, evidence: dict[str, Scalar]
) -> tuple[IncidentRow, bool]:
    """Each plan of a strategy until policy allows one; True = the incident's next state is decided."""
    try:
        plans = strategy.plan(desk.situation(row))
    except Exception as error:  # noqa: BLE001 - see ranking.rank: a plug-in's fault is recorded, the loop goes on (H3)
        reason = f"{strategy.id} failed: its plan threw {type(error).__name__}: {error}"
        return give_up(desk, without_plan(row, strategy.id), reason, failed=True), False
    for plan in plans:
        answer = _ask(desk, row, strategy, plan)
        row = with_plan(row, strategy, plan)
        epoch = desk.draft.asset(row.asset_id).epoch + 1
        source, target = desk.world.assets.get(row.asset_id), desk.world.assets.get(plan.destination_id or "")
        used = (*answer.verdicts, *desk.mode_used(strategy.id, source))
        asked = {"policies": used, "obligations": answer.obligations, "fencing_epoch": epoch}
        row = row.model_copy(update=asked)
        row, refusal = refused(desk, row, answer, source, target)
        mode = desk.mode(strategy.id, source)
        row = _tell_planned(desk, row, plan, mode, f"; {weighed}" if weighed else "", evidence)
        if refusal is None:
            _proceed(desk, row, plan, mode, needs_approval(answer.obligations))
            return row, True
        row = tell(desk, row, RemediationStatus.DENIED, f"{strategy.id} is denied {refusal}")
    update = {"tried": (*row.tried, strategy.id), "generation": row.generation + 1}
    return desk.draft.put_incident(row.model_copy(update=update)), False


def _ask(desk: Desk, row: IncidentRow, strategy: ResponseStrategy, plan: Plan) -> Answer:
    assets = desk.world.assets
    destination = assets.get(plan.destination_id) if plan.destination_id else None
    source = assets.get(row.asset_id)
    asked = question(Point.ACTION_PLANNED, strategy.id, row.asset_id, source, destination, row.anomaly)
    return may(desk.policy, desk.world, asked)


def _tell_planned(
    desk: Desk, row: IncidentRow, plan: Plan, mode: AutonomyMode, weighed: str, evidence: dict[str, Scalar]
) -> IncidentRow:
    """Once per action: a wait for a guard does not plan anew."""
    if row.planned_action_id == row.action_id:
        return row
    row = row.model_copy(update={"planned_action_id": row.action_id})
    a = row.anomaly
    figures: dict[str, Scalar] = {"score": a.score, "severity": a.severity, "mode": mode, "metric": a.metric}
    what = f"{plan.why} would be done (mode {mode}, so it is not)" if mode in DRY else f"{plan.why} is planned"
    against = ""
    if a.value is not None and a.expected is not None:
        against = f", {a.value:g} against {a.expected:g} expected"
    reason = f"{what}: {a.severity} {a.kind} of {a.metric} on {row.asset_id}{against} (score {a.score:.3g}){weighed}"
    return tell(desk, row, RemediationStatus.PLANNED, reason, evidence | figures)


def _proceed(desk: Desk, row: IncidentRow, plan: Plan, mode: AutonomyMode, approval_needed: bool) -> None:
    """An allowed plan, through mode and guards, to the executor or to whoever must approve."""
    if mode in DRY:
        release(desk, row)
        held_row = {"state": IncidentState.SUPPRESSED, "held_by": "mode", "due_at": retention_at(desk)}
        desk.draft.put_incident(row.model_copy(update=held_row))
        return
    hold = held(desk, row, telling_only=row.strategy == PAGE)
    if hold is not None:
        if not suppress(desk, row, hold):
            page(desk, row, f"still held back by {hold.guard} after {row.waits} waits: {hold.reason}")
        return
    if (mode is AutonomyMode.APPROVE and row.strategy != PAGE) or approval_needed:
        _await_approval(desk, row)
    else:
        execute(desk, row, plan.why)


def _await_approval(desk: Desk, row: IncidentRow) -> None:
    if (given := approval(desk.world, row.action_id, desk.now)) is not None:
        settle_approval(desk, row, given.approved, given.by)
        return
    ttl_ms = milliseconds(desk.settings.approval_ttl_s)
    take_lease(desk, row, ttl_ms)
    desk.draft.put(action_key(row.action_id), ActionRow(incident_id=row.id, asset_id=row.asset_id))
    row = row.model_copy(update={"held_by": "approval", "due_at": desk.now + ttl_ms})
    reason = f"{row.strategy} waits for an approval of {row.action_id}, at most {seconds(ttl_ms)}"
    tell(desk, row, RemediationStatus.AWAITING_APPROVAL, reason)


def settle_approval(desk: Desk, row: IncidentRow, approved: bool, by: str) -> None:
    """A person has answered. Guards are looked at again: the answer may have come late."""
    desk.draft.drop(action_key(row.action_id))
    row = with_policies(row, approval_used(desk.world, row.action_id, desk.now))
    if not approved:
        row = tell(desk, row, RemediationStatus.DENIED, f"{row.strategy} is refused by {by}")
        update = {"tried": (*row.tried, row.strategy), "generation": row.generation + 1, "held_by": ""}
        diagnose(desk, row.model_copy(update=update))
        return
    hold = held(desk, row, telling_only=row.strategy == PAGE)
    if hold is None:
        execute(desk, row, f"{row.strategy} approved by {by}")
    elif not suppress(desk, row, hold):
        page(desk, row, f"approved by {by}, but still held back by {hold.guard}: {hold.reason}")


def _nothing_left(desk: Desk, row: IncidentRow, ranking: Ranking) -> None:
    if ranking.cooling and not row.acted:
        strategy, until = ranking.cooling[0]
        left = seconds(until - desk.now)
        hold = Hold("cooldown", f"{strategy.id} acted on {row.asset_id} and cools down for another {left}", until)
        if suppress(desk, without_plan(row, strategy.id), hold, ranking.evidence()):
            return
    drain = desk.draft.asset(row.asset_id).standing
    if drain is not None and drain.destination_id and not row.acted:
        reason = f"{row.asset_id} takes no work since it failed over to {drain.destination_id}: nothing to protect"
        put_aside(desk, without_plan(row, ""), "drained", reason, ranking.evidence())
        return
    tried = ", ".join(row.tried)
    why = f"tried {tried}" if tried else "no strategy can act"
    if row.symptom_ids:
        why += f"; {len(row.symptom_ids)} incidents of assets that depend on {row.asset_id} are held as its symptoms"
    page(desk, row, why, ranking.evidence())


def _untold(desk: Desk, row: IncidentRow) -> str | None:
    """Why this is nothing to wake a person for; None = it is. What something was tried for and in vain always is."""
    settings, severity, facts = desk.settings, row.anomaly.severity, row.anomaly.evidence
    if not at_least(severity, settings.page_min_severity):
        return f"severity {severity} is below {settings.page_min_severity}"
    seen_s = facts.get("history_s")
    if row.tried or facts.get("never_changed") is not True or not isinstance(seen_s, int | float):
        return None
    if seen_s >= settings.page_after_rest_s:
        return None
    asked = f"({settings.page_after_rest_s:g} s are asked for)"
    return f"it had been seen for {seen_s:g} s only and never to change {asked}"


def page(desk: Desk, row: IncidentRow, why: str, evidence: dict[str, Scalar] | None = None) -> None:
    """The last resort. It has its own cooldown, and is policy-checked like any other action."""
    settings = desk.settings
    untold = _untold(desk, row)
    if untold is not None:
        put_aside(desk, without_plan(row, row.strategy), "no_strategy", f"{why}; {untold}, nobody is paged", evidence)
        return
    root = root_told(desk, row)
    if root is not None:
        bind(desk, root, row)
        reason = f"{why}; {root.why(row)}, and a person was told of that"
        put_aside(desk, without_plan(row, row.strategy), "grouped", reason, (evidence or {}) | root.evidence(row))
        return
    until = desk.draft.cooldown_until(row.asset_id, PAGE)
    if PAGE in row.tried or until is not None:
        recent = f"; paged less than {settings.cooldown_s:g} s ago" if until is not None else ""
        end_escalated(
            desk, without_plan(row, PAGE), f"{why}; nothing more can be done without a person{recent}", evidence
        )
        return
    row, decided = _try(desk, row, desk.page, "", (evidence or {}) | {"why": why})
    if not decided:
        end_escalated(desk, row, f"{why}; nobody could be paged", evidence)
