"""`JobRouter`: one decision for one job. `RoutingLayer`: the life of jobs, and when decisions are revised. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from schemas.records import (
    Anomaly,
    AnomalyState,
    AssetState,
    Candidate,
    JobOutcome,
    JobRequest,
    PolicyRecord,
    PolicyVerdict,
    RegisteredAsset,
    Remediation,
)
from streams.kit.layer import Event, Step
from streams.policy.gate import PolicyGate
from streams.policy.port import PolicyHook
from streams.routing import listing, sentence
from streams.routing.case import Ask, Case
from streams.routing.columns import Frame
from streams.routing.figures import Figures, figures
from streams.routing.filters import Check, all_ok, figure_checks, health_checks, placement_checks, rest_check
from streams.routing.fleet import RELEASES, Fleet
from streams.routing.jobs import Jobs, Occasion, due_at, over
from streams.routing.permission import Permissions
from streams.routing.preferences import soft_terms
from streams.routing.scoring import Indexes, score, weights_of
from streams.routing.selection import Chooser
from streams.routing.settings import RoutingSettings
from streams.routing.state import JobRow, Ledger, Phase, Row, decode, encode, target_keys, waiting_keys


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a job should go and why: a decision record without its identity. `target_id` None = unroutable."""

    target_id: str | None
    target_domain: str | None
    fallback_ids: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    weights: dict[str, float]
    policies: tuple[PolicyVerdict, ...]
    obligations: tuple[str, ...]
    registry_version: str
    counterfactual: str | None
    reason: str
    limited: bool = False
    """The target's capacity is known, so the job books a part of it."""


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
        case = self._case(fleet, ask)
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
            registry_version=fleet.world.registry_version,
            counterfactual=sentence.counterfactual(case),
            reason=sentence.reason(case, prefix),
            limited=index is not None and not np.isnan(case.frame.floats("capacity")[index]),
        )

    def reasons_to_leave(self, fleet: Fleet, job: JobRequest, asset_id: str) -> list[str]:
        """Why a job may not stay where it runs: its target's health and placement; figures alone move none."""
        frame = fleet.frame_of(asset_id)
        if frame is None:
            return [f"{asset_id} is removed from the registry"]
        checks = [*health_checks(frame, fleet, self.settings), *placement_checks(frame, job)]
        return [f"{asset_id} {check.why(0)}" for check in checks if not check.ok[0]]

    def no_plan(self, fleet: Fleet, reason: str) -> Plan:
        """For a job that is given up: no candidate is looked at any more."""
        return Plan(None, None, (), (), {}, (), (), fleet.world.registry_version, None, reason)

    def _case(self, fleet: Fleet, ask: Ask) -> Case:
        frame = fleet.frame()
        now = figures(frame, ask.job, ask.at, self.settings, ask.learned)
        checks = self._checks(fleet, frame, ask, now)
        feasible, degraded = self._feasible(frame, checks)
        permissions = Permissions(self.policy, fleet, frame, ask.job, now, ask.at, ask.room, self.settings)
        soft = soft_terms(permissions, feasible, self.settings)
        weights = soft.weights(weights_of(ask.job, self.settings))
        scores = score(frame, feasible, now, ask.job, weights, ask.incumbent, self.settings, soft.columns)
        selection = Chooser(frame, scores, permissions, self.settings).choose(ask.preference)
        case = Case(
            ask, frame, self.settings, now, weights, tuple(checks), scores, permissions, selection, degraded,
            soft,
        )  # fmt: skip
        if selection.target is None:
            self._ask_about_refused(case)
        return case

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


class RoutingLayer:
    """The Layer protocol over jobs' rows: requests and outcomes decide, the view revises, timers try again and end."""

    name: str = "routing"
    inputs: tuple[str, ...] = ("job-requests", "job-outcomes")
    views: tuple[str, ...] = ("assets", "performance", "anomalies", "remediations", "policies")

    def __init__(
        self, settings: RoutingSettings | None = None, policy: PolicyHook | None = None, shares: int = 1
    ) -> None:
        self.router = JobRouter(settings, policy, shares)

    def new_view(self) -> Fleet:
        return Fleet()

    def see(self, view: Fleet, event: Event) -> None:
        view.see(event)

    def step(self, rows: Mapping[str, Row], view: Fleet, event: Event, now: int) -> Step[Row]:
        ledger = Ledger(rows)
        jobs, value = Jobs(self.router, view, ledger), event.value
        if isinstance(value, JobRequest):
            jobs.request(value, Occasion(now, event.cause_id, ("request", value.model_dump_json())))
        elif isinstance(value, JobOutcome):
            content = ("outcome", value.target_id, value.outcome.value, value.at)
            jobs.outcome(value, Occasion(now, event.cause_id, content))
        return ledger.step()

    def on_view(self, rows: Mapping[str, Row], view: Fleet, event: Event, now: int) -> Step[Row]:
        """Jobs whose target may no longer have them pivot; jobs that wait try again when the world may be better."""
        asset_id = _health_of(event)
        may_help = _may_help(event)
        if asset_id is None and not may_help:
            return Step()
        ledger = Ledger(rows)
        jobs, occasion = Jobs(self.router, view, ledger), Occasion(now, event.cause_id, _content(event))
        for row in ledger.jobs_in(target_keys(asset_id)) if asset_id is not None else ():
            why = self.router.reasons_to_leave(view, row.request, asset_id) if asset_id is not None else []
            if why:
                jobs.leave(row, "; ".join(why), occasion)
        for row in ledger.jobs_in(waiting_keys()) if may_help else ():
            if now - row.tried_at >= self.router.settings.retry_min_s * 1000:
                jobs.retry(row, occasion)
        return ledger.step()

    def due_at(self, row: Row) -> int | None:
        return due_at(row) if isinstance(row, JobRow) else None

    def on_timer(self, rows: Mapping[str, Row], view: Fleet, key: str, now: int) -> Step[Row]:
        row, ledger = rows.get(key), Ledger(rows)
        if not isinstance(row, JobRow):
            return Step()
        if over(row, now):
            ledger.put(row.request.id, None)
        elif row.phase is Phase.WAITING:
            Jobs(self.router, view, ledger).retry(row, Occasion(now, row.decision_id, ("timer", now)))
        return ledger.step()

    def encode_row(self, row: Row) -> bytes:
        return encode(row)

    def decode_row(self, data: bytes) -> Row:
        return decode(data)


def _health_of(event: Event) -> str | None:
    """The asset whose health or registration this event may have changed."""
    if event.topic == "assets":
        return event.key
    return event.value.asset_id if isinstance(event.value, Anomaly | Remediation) else None


def _may_help(event: Event) -> bool:
    """Could a job that nobody took now find a target?"""
    value = event.value
    if isinstance(value, RegisteredAsset):
        return value.state in (AssetState.REGISTERED, AssetState.UPDATED)
    if isinstance(value, Anomaly):
        return value.state is not AnomalyState.OPENED
    if isinstance(value, Remediation):
        return value.status in RELEASES
    return event.topic == "policies"


def _content(event: Event) -> tuple[str | int, ...]:
    """What the event says, for the ids of decisions that it causes: the same live and in replay."""
    value = event.value
    if isinstance(value, Anomaly | Remediation):
        return event.topic, value.id
    if isinstance(value, RegisteredAsset):
        return event.topic, event.key, value.version_hash, value.state.value
    if isinstance(value, PolicyRecord):
        return event.topic, event.key, value.version
    return event.topic, event.key, "tombstone"


def _cost_limits(fleet: Fleet, job: JobRequest) -> dict[str, float]:
    """Whose limit -> USD per hour: the job's own, and the budgets of its tenant and of all."""
    limits: dict[str, float] = {}
    if job.constraints.max_cost_usd_per_hour is not None:
        limits["limit"] = job.constraints.max_cost_usd_per_hour
    for scope in (f"tenant:{job.tenant}", "*") if job.tenant else ("*",):
        if scope in fleet.budgets:
            limits[f"budget of {scope}"] = fleet.budgets[scope]
    return limits
