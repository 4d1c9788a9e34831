"""The `PolicyHook` port: what a layer asks at a decision point, and what a policy answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from schemas.records import PolicyVerdict

Context = Mapping[str, bool | int | float | str | tuple[str, ...]]


class Point(StrEnum):
    """The four decision points of the contract; an action is asked about twice, planned and again executed."""

    ADMISSION = "admission"
    ACTION_PLANNED = "action_planned"
    ACTION_EXECUTED = "action_executed"
    RECOMMENDATION = "recommendation"
    ROUTING = "routing"


class Outcome(StrEnum):
    ALLOW = "allow"
    DENY = "deny"
    ERROR = "error"
    """A policy threw or could not be evaluated: treated as deny, with its own name in the record."""


@dataclass(frozen=True, slots=True)
class Question:
    """May `principal` (tenant or layer) do `action` (strategy, recommended action, "route", "admit") on `asset_id`?

    `attributes` describe the asset (kind, cloud, region, compliance, labels as "label.<name>", ...), `context` the
    situation (severity, cost, job metadata, ...). Both are plain values; missing means not known.
    """

    point: Point
    principal: str
    action: str
    asset_id: str
    attributes: Context = field(default_factory=dict)
    context: Context = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """`verdicts` name each policy that decided, with its version; `obligations` bind whoever acts on an allow."""

    outcome: Outcome
    verdicts: tuple[PolicyVerdict, ...]
    obligations: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        return self.outcome is Outcome.ALLOW

    @property
    def reason(self) -> str:
        """The reasons of the verdicts that decided, for a decision record."""
        return "; ".join(f"{v.id}@{v.version}: {v.reason}" for v in self.verdicts if v.allowed == self.allowed)


class PolicyHook(Protocol):
    """Implement this and register it under the entry point group `maestro.policies` (a callable without arguments).

    A hook whose answer depends on anything but the question (a service, a file, the time) has `pure = False`: its
    answers are then journalled, and a replay tells them instead of asking again (docs/adr/0016).
    """

    id: str
    version: str

    def decide(self, question: Question) -> Answer: ...


class Preference(Protocol):
    """A soft term of a hook that has a method `soft_terms() -> tuple[Preference, ...]`; routing weighs it in.

    One that also has `values`, as `soft.SoftTerm` has, is asked about all candidates at once.

    `weight` is its share of the score (0..1); all together are held to the setting `routing.soft_share_max`.
    """

    @property
    def id(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def reason(self) -> str: ...

    @property
    def weight(self) -> float: ...

    def value(self, question: Question) -> float:
        """0 (worst) to 1 (best), the same for the same question. What it raises denies the candidate."""
