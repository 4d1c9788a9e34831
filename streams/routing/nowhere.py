"""The verdict "nowhere", remembered within a step: the next job of its kind gets it without asking all targets again.

One freed slot is offered to several jobs: the first one takes it, and to the others each target would say again that it
is full. What a target says depends on the job's kind and on what is booked, counted, spent and learned, so whatever
changes one of these forgets all verdicts. Nothing outlives its step, in which the view does not change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streams.routing.plan import Plan, Preference

if TYPE_CHECKING:
    from streams.routing.case import Ask


@dataclass(slots=True)
class Nowhere:
    """Plans without a target, by the kind of job, what it prefers and when it asked (ms)."""

    _plans: dict[tuple[str, Preference, int], Plan] = field(default_factory=dict)

    def find(self, ask: Ask) -> Plan | None:
        """The verdict on jobs like this one; None = not known. `ask` must be one whose plan is shared."""
        return self._plans.get(_like(ask)) if self._plans and not ask.room.has_own else None

    def keep(self, ask: Ask, plan: Plan) -> None:
        """Keeps a plan that any job of this kind would get as things are; one with a target changes them."""
        if plan.target_id is None and not ask.room.has_own:
            self._plans[_like(ask)] = plan

    def forget(self) -> None:
        self._plans.clear()


def _like(ask: Ask) -> tuple[str, Preference, int]:
    return ask.kind, ask.preference, ask.at
