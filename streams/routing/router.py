"""`JobRouter`: one decision for one job, or the one that all jobs of its kind get. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from schemas.records import JobRequest
from streams.kit.ledger import micro_usd
from streams.policy.gate import PolicyGate, reads_job_id
from streams.policy.port import PolicyHook
from streams.routing import listing, returning, sentence
from streams.routing.budgets import scopes_of
from streams.routing.case import Ask, Case
from streams.routing.columns import Frame
from streams.routing.figures import Figures, figures
from streams.routing.filters import Check, all_ok, figure_checks, health_checks, placement_checks, rest_check
from streams.routing.fleet import Fleet
from streams.routing.permission import Permissions
from streams.routing.plan import Plan
from streams.routing.preferences import soft_terms
from streams.routing.scoring import Indexes, score, weights_of
from streams.routing.selection import Chooser
from streams.routing.settings import RoutingSettings
from streams.routing.shared import CANDIDATES_KEPT, Shared, Times, sharable


class JobRouter:
    """Hard filters, normalised terms, weighted score, policy, disjoint fallbacks, and the explanation of all that.

    `shares`: how many partitions the jobs are split over, and so the capacity of each target (`bookings`).
    """

    def __init__(
        self, settings: RoutingSettings | None = None, policy: PolicyHook | None = None, shares: int = 1
    ) -> None:
        self.shares = shares
        self.settings = settings or RoutingSettings()
        self.policy: PolicyHook = policy or PolicyGate()

    def decide(self, fleet: Fleet, ask: Ask, prefix: str = "") -> Plan:
        """`prefix` says what led to a revision; the rest of the plan does not depend on it."""
        plan = ask.nowhere.find(ask) if ask.kind and sharable(ask) else None
        if plan is None:
            plan = self._decided(fleet, ask)
        return plan if not prefix else replace(plan, reason=f"{prefix}; {plan.reason}")

    def _decided(self, fleet: Fleet, ask: Ask) -> Plan:
        shared = self._shared(fleet, ask)
        if shared.plans is None:
            return self._plan(self._case(fleet, ask, shared))
        plan = shared.plans.find(ask.preference, ask.room.asked_by(ask.job, ask.at, self.settings))
        if plan is not None:
            ask.nowhere.keep(ask, plan)
            return plan
        case = self._case(fleet, ask, shared)
        plan = self._plan(case)
        if shared.keep(case, plan):
            ask.nowhere.keep(ask, plan)
        return plan

    def back(self, fleet: Fleet, ask: Ask, home: str, prefix: str) -> tuple[Plan, str]:
        """The plan that brings a job back home, and why it should stay where it is; empty = it should come."""
        case = self._case(fleet, ask, self._made(fleet, ask))
        plan = self._plan(case)
        return replace(plan, reason=f"{prefix}; {plan.reason}"), returning.against(case, home)

    def why_ill(self, fleet: Fleet, asset_id: str) -> list[str]:
        """Why no job may stay there, whatever it asks for; empty = registered and well. Figures alone move none."""
        frame = fleet.frame_of(asset_id)
        if frame is None:
            return [f"{asset_id} is removed from the registry"]
        return _against(asset_id, health_checks(frame, fleet, self.settings))

    def misplaced(self, fleet: Fleet, job: JobRequest, asset_id: str) -> list[str]:
        """Why this job may not stay on the target, however well that is."""
        frame = fleet.frame_of(asset_id)
        return [] if frame is None else _against(asset_id, placement_checks(frame, job))

    def no_plan(self, fleet: Fleet, reason: str) -> Plan:
        """For a job that is given up: no candidate is looked at any more."""
        return Plan(None, None, (), (), {}, (), (), fleet.world.registry_version, None, reason)

    def _shared(self, fleet: Fleet, ask: Ask) -> Shared:
        """What jobs of this kind have in common: as it was kept, or made now."""
        if not ask.kind or not sharable(ask):
            return self._made(fleet, ask)
        found = fleet.derived.get(ask.kind)
        if isinstance(found, Shared) and found.owner is self and found.times.hold(ask):
            return found
        made = self._made(fleet, ask, kept=True)
        if made.plans is not None or not made.soft.columns:
            if len(fleet.derived) * len(made.frame) >= CANDIDATES_KEPT:
                fleet.derived.clear()
            fleet.derived[ask.kind] = made
        return made

    def _made(self, fleet: Fleet, ask: Ask, kept: bool = False) -> Shared:
        frame = fleet.frame()
        now = figures(frame, ask.job, ask.at, self.settings, ask.learned)
        checks = self._checks(fleet, frame, ask, now)
        feasible, degraded = self._feasible(frame, checks)
        permissions = Permissions(self.policy, fleet, frame, ask.job, now, ask.at, ask.room, self.settings)
        soft = soft_terms(permissions, feasible, self.settings)
        weights = soft.weights(weights_of(ask.job, self.settings))
        scores = score(frame, feasible, now, ask.job, weights, ask.incumbent, self.settings, soft.columns)
        shared = Shared(
            self, Times.of(frame, ask, self.settings), frame, now, weights, tuple(checks), scores, soft,
            permissions.answers, degraded, frame.hashes()[feasible],
        )  # fmt: skip
        if not kept or reads_job_id(self.policy, fleet.world):
            shared.plans = None
        return shared

    def _case(self, fleet: Fleet, ask: Ask, shared: Shared) -> Case:
        frame, scores = shared.frame, shared.scores_of(ask.job)
        permissions = Permissions(
            self.policy, fleet, frame, ask.job, shared.now, ask.at, ask.room, self.settings, dict(shared.refused)
        )
        selection = Chooser(frame, scores, permissions, self.settings).choose(ask.preference)
        case = Case(
            ask, frame, self.settings, shared.now, shared.weights, shared.checks, scores, permissions, selection,
            shared.degraded, shared.soft,
        )  # fmt: skip
        if selection.target is None:
            self._ask_about_refused(case)
        return case

    def _plan(self, case: Case) -> Plan:
        target = case.selection.target
        index = int(case.scores.index[target]) if target is not None else None
        return Plan(
            target_id=case.target_id,
            target_domain=case.frame.text("domain", index) if index is not None else None,
            fallback_ids=case.fallback_ids,
            candidates=listing.candidates(case),
            weights=dict(case.weights.shares),
            policies=listing.verdicts(case),
            obligations=case.permissions.of(index).obligations if index is not None else (),
            registry_version=case.permissions.fleet.world.registry_version,
            counterfactual=sentence.counterfactual(case),
            reason=sentence.reason(case),
            spends_micro_usd=micro_usd(case.now.losses["cost"].item(index)) if index is not None else 0,
            limited=index is not None and not np.isnan(case.frame.floats("capacity")[index]),
        )

    def _checks(self, fleet: Fleet, frame: Frame, ask: Ask, now: Figures) -> list[Check]:
        job = ask.job
        checks = [
            *health_checks(frame, fleet, self.settings),
            *placement_checks(frame, job),
            *figure_checks(frame, job, now, ask.at, _cost_limits(fleet, job), self.settings),
        ]
        return [*checks, rest_check(frame, ask.resting, ask.at)] if ask.resting else checks

    def _feasible(self, frame: Frame, checks: list[Check]) -> tuple[Indexes, bool]:
        healthy = np.flatnonzero(all_ok(frame, checks))
        if len(healthy) or not self.settings.allow_degraded:
            return healthy, False
        forgiving = [check for check in checks if not check.forgivable]
        return np.flatnonzero(all_ok(frame, forgiving)), True

    def _ask_about_refused(self, case: Case) -> None:
        """An unroutable job deserves the whole answer: would the policy have allowed the nearest ones?"""
        room = self.settings.policy_asks_max - len(case.permissions.answers)
        for index in case.refused(max(0, min(self.settings.fallbacks_max + 1, room))):
            case.permissions.of(index)


def _cost_limits(fleet: Fleet, job: JobRequest) -> dict[str, float]:
    """Whose limit -> USD per hour: the job's own, and the budgets of its tenant and of all."""
    limits: dict[str, float] = {}
    if job.constraints.max_cost_usd_per_hour is not None:
        limits["limit"] = job.constraints.max_cost_usd_per_hour
    for scope in scopes_of(job.tenant):
        if scope in fleet.budgets and fleet.budgets[scope].period is None:
            limits[f"budget of {scope}"] = fleet.budgets[scope].usd_per_hour
    return limits


def _against(asset_id: str, checks: Iterable[Check]) -> list[str]:
    """What speaks against the one target of a frame."""
    return [f"{asset_id} {check.why(0)}" for check in checks if not check.ok[0]]
