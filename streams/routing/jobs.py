"""What happens to jobs: asked for, failed, left by their target, tried again, ended. State machine: see `state`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from schemas.records import JobOutcome, JobRequest, JobResult, RoutingDecision, RoutingOutcome
from streams.kit import ids
from streams.kit.layer import Emission
from streams.routing.away import AwayRow
from streams.routing.case import Ask
from streams.routing.fleet import Fleet
from streams.routing.ledger import Ledger
from streams.routing.life import of_this_request, of_this_stay, too_late
from streams.routing.plan import Plan, Preference
from streams.routing.settled import decided, ms, retry_at
from streams.routing.state import JobRow, Phase
from streams.routing.texts import kind_of
from streams.routing.waiting import Blocked, Freed

if TYPE_CHECKING:
    from streams.routing.engine import JobRouter

DECISIONS = "routing-decisions"
_NO_PREFERENCE = Preference()


@dataclass(frozen=True, slots=True)
class Occasion:
    """What made us look: `at` in ms, the id to name as the cause, and its content for the decision's id.

    Of what no record caused, the end of a time, the cause is empty: the job's last decision is named.
    """

    at: int
    cause_id: str
    content: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Jobs:
    router: JobRouter
    fleet: Fleet
    ledger: Ledger

    def request(self, job: JobRequest, on: Occasion) -> None:
        """A new job, a changed one (a revision), or the same again (nothing, or another try if it waits)."""
        row = self.ledger.job(job.id)
        if row is not None and kind_of(row.request) == kind_of(job):
            if row.phase is Phase.WAITING:
                self.retry(row, on)
            return
        if row is None or row.phase is Phase.DONE:
            row = self._fresh(job, row, on)
        else:
            ends_at = on.at + ms(self.router.settings.job_ttl_s)
            row = replace(row, request=job, home_id=None, changed_at=on.at, expires_at=ends_at)
        incumbent = row.target_id if row.phase is Phase.ACTIVE else None
        plan = self.router.decide(self.fleet, self._ask(row, on, incumbent), "")
        self._settle(row, plan, RoutingOutcome.ROUTED, on)

    def outcome(self, result: JobOutcome, on: Occasion) -> None:
        """Success of any target that has or had the job ends it; a failure counts only of the one that has it.

        What was reported before the job's newer revision, and comes late or again, is fenced off by its time.
        """
        row = self.ledger.job(result.job_id)
        if row is None or row.phase is Phase.DONE:
            return
        of_its_stay = of_this_stay(row, result)
        if result.outcome is not JobResult.UNKNOWN and of_its_stay:
            succeeded = result.outcome is JobResult.SUCCEEDED
            self.ledger.learn(result.target_id, succeeded, on.at, self.router.settings)
        if result.outcome is JobResult.SUCCEEDED and of_this_request(row, result):
            self._end(row, on.at)
        elif result.outcome is JobResult.FAILED and of_its_stay:
            self._failed(row, result, on)
        self.wake(Freed.by(row, self.ledger.job(row.request.id), self.fleet), on)

    def wake(self, freed: Freed, on: Occasion) -> None:
        """Capacity or a quota is free again: the most urgent of those that it may help are tried at once."""
        if freed.something:
            self._try(freed, on.at - 1, self.router.settings.woken_max, on)

    def try_waiting(self, freed: Freed, on: Occasion) -> None:
        """The view may be better: some of those that wait are tried at once, the others with what comes next."""
        tried_by = on.at - self.router.settings.retry_min_s * 1000
        self._try(freed, tried_by, self.router.settings.retried_max, on)

    def forget(self, row: JobRow, on: Occasion) -> None:
        """The end of a job's life without an outcome; what it still held is free."""
        self.ledger.put(row.request.id, None)
        self.wake(Freed.by(row, None, self.fleet), on)

    def _try(self, freed: Freed, tried_by: float, most: int, on: Occasion) -> None:
        for row in self.ledger.waiting(freed, tried_by, most, self._over_quota(on.at)):
            self.retry(row, on if on.cause_id else replace(on, cause_id=row.decision_id))

    def _over_quota(self, at: int) -> Blocked:
        """Which tenants may have no more active jobs, wherever: theirs would be tried in vain before others."""
        room = self.ledger.room(self.router.shares)
        return cache(lambda tenant: bool(room.over_quota(tenant, at, self.router.settings)))

    def leave(self, row: JobRow, why: str, on: Occasion, *, drives_away: bool = False) -> None:
        """Takes the job away from its target: to an announced fallback first, outside its failure domain.

        `drives_away`: by no fault of the job, which may come back when the target is well (`returning`).
        """
        if drives_away and row.target_id is not None:
            row = replace(row, home_id=row.home_id or row.target_id)
        preference = Preference(row.fallback_ids, row.target_domain)
        ask = self._ask(row, on, None, preference)
        plan = self.router.decide(self.fleet, ask, f"pivots from {row.target_id} ({why})")
        if plan.target_id == row.target_id:
            return  # Only possible with allow_degraded: an ill target is better than none, so the job stays.
        self._settle(row, plan, RoutingOutcome.PIVOTED, on)

    def come_back(self, row: JobRow, why: str, on: Occasion) -> str:
        """Back to where the job was before an illness, if that is worth its move; else says what is against it."""
        home = row.home_id
        if home is None or row.phase is not Phase.ACTIVE:
            return ""
        ask = self._ask(row, on, row.target_id, Preference((home,)))
        plan, against = self.router.back(self.fleet, ask, home, f"fails back from {row.target_id}: {why}")
        if not against:
            self._settle(row, plan, RoutingOutcome.PIVOTED, on)
        return against

    def retry(self, row: JobRow, on: Occasion) -> None:
        """Tries a waiting job again; a decision is published only if it now has a target."""
        ask = self._ask(row, on)
        waited_s = (on.at - row.tried_at) / 1000
        plan = self.router.decide(self.fleet, ask, f"tried again {waited_s:,.1f} s after the last try")
        if plan.target_id is None:
            again_at = retry_at(on.at, self.router.settings)
            self.ledger.put(row.request.id, replace(row, tried_at=on.at, retry_at=again_at))
        else:
            elsewhere = row.held and plan.target_id not in row.held
            self._settle(row, plan, RoutingOutcome.PIVOTED if elsewhere else RoutingOutcome.ROUTED, on)

    def _failed(self, row: JobRow, result: JobOutcome, on: Occasion) -> None:
        failed = (*(f for f in row.failed if f[0] != result.target_id), (result.target_id, on.at))
        row = replace(row, failed=failed, attempts=row.attempts + 1)
        why = f"the job failed there: {result.error}" if result.error else "the job failed there"
        if row.attempts < self.router.settings.attempts_max:
            self.leave(row, why, on)
            return
        text = f"given up after {row.attempts} failed attempts (attempts_max), the last on {result.target_id}: {why}"
        self._publish(row, self.router.no_plan(self.fleet, text), RoutingOutcome.UNROUTABLE, on)
        self._end(replace(row, revision=row.revision + 1), on.at)

    def _settle(self, row: JobRow, plan: Plan, routed_as: RoutingOutcome, on: Occasion) -> None:
        """Publishes the plan as the job's next revision and writes the row that it leads to."""
        routed = plan.target_id is not None
        outcome = routed_as if routed else RoutingOutcome.UNROUTABLE
        decision_id = self._publish(row, plan, outcome, on)
        settled = decided(row, plan, decision_id, on.at, self.router.settings)
        if not routed and too_late(row.request, on.at):
            self._end(settled, on.at)
        else:
            self.ledger.put(row.request.id, settled)
            if settled.home_id is not None and self.ledger.away(settled.home_id) is None:
                self.ledger.put_away(settled.home_id, AwayRow(settled.home_id))

    def _publish(self, row: JobRow, plan: Plan, outcome: RoutingOutcome, on: Occasion) -> str:
        job_id, revision = row.request.id, row.revision + 1
        decision = RoutingDecision.known(
            {
                "id": ids.derive("decision", job_id, revision, *on.content),
                "job_id": job_id,
                "revision": revision,
                "outcome": outcome,
                "target_id": plan.target_id,
                "fallback_ids": plan.fallback_ids,
                "candidates": plan.candidates,
                "weights": plan.weights,
                "policies": plan.policies,
                "obligations": plan.obligations,
                "registry_version": plan.registry_version,
                "counterfactual": plan.counterfactual,
                "cause_id": on.cause_id,
                "reason": plan.reason,
                "at": on.at,
            }
        )
        self.ledger.emit(Emission(DECISIONS, job_id, decision, on.at, on.cause_id))
        return decision.id

    def _fresh(self, job: JobRequest, ended: JobRow | None, on: Occasion) -> JobRow:
        """A job from its beginning; `ended` is its row of before, whose revisions go on."""
        return JobRow(
            request=job,
            phase=Phase.WAITING,
            revision=ended.revision if ended is not None else 0,
            decision_id="",
            target_id=None,
            target_domain=None,
            fallback_ids=(),
            failed=(),
            held=(),
            attempts=0,
            tried_at=on.at,
            retry_at=None,
            expires_at=on.at + ms(self.router.settings.job_ttl_s),
            changed_at=on.at if ended is not None else 0,
        )

    def _end(self, row: JobRow, at: int) -> None:
        done = replace(row, phase=Phase.DONE, retry_at=None, expires_at=at + ms(self.router.settings.done_kept_s))
        self.ledger.put(row.request.id, done)

    def _ask(
        self, row: JobRow, on: Occasion, incumbent: str | None = None, preference: Preference | None = None
    ) -> Ask:
        room = self.ledger.room(self.router.shares, row.request.id, self.fleet.budgets)
        resting = self._resting(row, on.at)
        preferred, learned = preference or _NO_PREFERENCE, self.ledger.learned()
        kind, nowhere = kind_of(row.request), self.ledger.nowhere
        return Ask(row.request, on.at, incumbent, resting, preferred, room, learned, kind, nowhere)

    def _resting(self, row: JobRow, at: int) -> dict[str, int]:
        rest_ms = ms(self.router.settings.failed_target_rest_s)
        return {target: failed_at + rest_ms for target, failed_at in row.failed if at < failed_at + rest_ms}
