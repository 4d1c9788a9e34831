"""What jobs that ask for the same have in common: figures, filters, terms and scores of all candidates, and plans.

A *kind* is everything that a job asks for, which is all of it but its id and its time. Kept in the view until anything
in it changes; a property test holds decisions that were made with and without it to the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from schemas.records import JobRequest
from streams.policy.obligations import Duty, parse_all
from streams.routing.case import Ask, Case
from streams.routing.columns import Flags, Floats, Frame, Hashes
from streams.routing.figures import Figures
from streams.routing.filters import Check
from streams.routing.learned import LearnedRow, counted_at
from streams.routing.permission import Permission
from streams.routing.plan import Plan, Plans
from streams.routing.preferences import Soft
from streams.routing.scoring import Scores, Weights, mixed, ranked
from streams.routing.sentence import NAMED_IN_FULL, runner_up
from streams.routing.settings import RoutingSettings
from streams.routing.state import hash_of

CANDIDATES_KEPT: Final = 400_000
"""Of all kinds together: about 200 bytes each."""


@dataclass(frozen=True, slots=True)
class Times:
    """When a kind's figures hold: which measurements are fresh, and how far what is learned has decayed."""

    after: float
    until: float
    learned: tuple[LearnedRow, ...]
    counted_at: int

    @classmethod
    def of(cls, frame: Frame, ask: Ask, settings: RoutingSettings) -> Times:
        ends = frame.floats("measured_at") + math.floor(settings.performance_ttl_s * 1000)
        fresh, old = ends[ends >= ask.at], ends[ends < ask.at]
        return cls(
            float(old.max()) if len(old) else -math.inf,
            float(fresh.min()) if len(fresh) else math.inf,
            ask.learned,
            counted_at(ask.at),
        )

    def hold(self, ask: Ask) -> bool:
        if not self.after < ask.at <= self.until or len(self.learned) != len(ask.learned):
            return False
        same = all(one is other for one, other in zip(self.learned, ask.learned, strict=True))
        return same and (not self.learned or self.counted_at == counted_at(ask.at))


@dataclass(slots=True)
class Shared:
    """`refused`: candidates for which a soft term failed; `lone`: rows whose score no other row has."""

    owner: object
    times: Times
    frame: Frame
    now: Figures
    weights: Weights
    checks: tuple[Check, ...]
    scores: Scores
    soft: Soft
    refused: Mapping[int, Permission]
    degraded: bool
    hashes: Hashes
    plans: Plans | None = field(default_factory=Plans)
    """None = the policy may answer two jobs of this kind differently."""
    _lone: Flags | None = None

    def scores_of(self, job: JobRequest) -> Scores:
        return replace(self.scores, ties=mixed(self.hashes, hash_of(job.id)))

    def keep(self, case: Case, plan: Plan) -> bool:
        """Keeps a plan that every job of this kind would get which is given the same answers about room; was it one?"""
        if self.plans is None or _approved(case.permissions.distinct):
            return False
        if not bool(self.lone[_named(case)].all()):
            return False
        self.plans.keep(case.ask.preference, case.permissions.asking.quota, case.permissions.asked, plan)
        return True

    @property
    def lone(self) -> Flags:
        if self._lone is None:
            self._lone = _lone(self.scores.score)
        return self._lone


def _named(case: Case) -> list[int]:
    """The rows that a plan depends on."""
    if case.permissions.quota is not None and not case.selection.stopped:
        return ranked(
            case.scores, max(case.settings.candidates_listed, NAMED_IN_FULL)
        )  # of the others only their number
    rows = [*ranked(case.scores, case.settings.candidates_listed), *case.selection.chosen, *case.selection.denied]
    rival = runner_up(case)
    return rows if rival is None else [*rows, rival]


def sharable(ask: Ask) -> bool:
    """Does what counts for this job depend on nothing but its kind? What only some jobs have is not shared."""
    return ask.incumbent is None and not ask.resting and ask.job.constraints.deadline_at is None


def _approved(answers: Iterable[Permission]) -> bool:
    """Does one of them depend on an approval, which is of a certain job?"""
    return any(o.duty is Duty.REQUIRE_APPROVAL for answer in answers for o in parse_all(answer.obligations))


def _lone(score: Floats) -> Flags:
    order = np.argsort(score, kind="stable")
    apart = np.diff(score[order]) != 0
    lone = np.ones(len(score), np.bool_)
    lone[order[1:]] &= apart
    lone[order[:-1]] &= apart
    return lone
