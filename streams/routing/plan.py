"""Where a job should go and why, and plans that are used again for jobs that ask for the same.

A plan depends on a job's id in two ways only: ties are broken by it, and what has room is asked one candidate after the
other while jobs fill them. So a plan without ties is kept with the answers that led to it, as a tree:

    svc-7 has room ──► svc-2 has room ──► plan
          └─ "4 of 4 units booked" ──► svc-2 has room ──► svc-9 has room ──► plan

Asking again, in the same order, leads to the same plan or to where the tree ends; then the long way is taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.records import Candidate, PolicyVerdict
from streams.routing.room import Asking

PLANS_KEPT: Final = 256
"""Of one kind of jobs, between two changes of the view."""


@dataclass(frozen=True, slots=True)
class Preference:
    """`chain`: fallbacks that were announced, in order; `leave_domain`: the failure domain that is to be left."""

    chain: tuple[str, ...] = ()
    leave_domain: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A decision record without its identity. `target_id` None = unroutable."""

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
    spends_micro_usd: int = 0
    """What the target costs the job an hour, with the moving of its data; 0 where it is not known."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A candidate that was asked for room. `capacity` in units, `cost` in USD an hour, NaN = not known.

    `refusal` empty = it has room.
    """

    asset_id: str
    capacity: float
    cost: float
    refusal: str


@dataclass(slots=True)
class _Turn:
    asset_id: str
    capacity: float
    cost: float
    then: dict[str, _Turn | Plan] = field(default_factory=dict)


@dataclass(slots=True)
class Plans:
    """The trees of one kind of jobs: one for each preference."""

    _first: dict[Preference, _Turn | Plan] = field(default_factory=dict)
    _over_quota: dict[tuple[Preference, str], Plan] = field(default_factory=dict)
    """Where the tenant may have no more jobs no candidate is asked: all say the same."""
    _count: int = 0

    def find(self, preference: Preference, asking: Asking) -> Plan | None:
        """The plan that the answers about room lead to; None = not known yet."""
        if asking.quota:
            return self._over_quota.get((preference, asking.quota))
        now = self._first.get(preference)
        while type(now) is _Turn:
            now = now.then.get(asking.refusal(now.asset_id, now.capacity, now.cost))
        return now  # type: ignore[return-value]

    def keep(self, preference: Preference, quota: str, asked: Sequence[Asked], plan: Plan) -> None:
        """`quota`: why all were refused, or empty; then `asked` says what each was told."""
        if self._count >= PLANS_KEPT:
            self._first.clear()
            self._over_quota.clear()
            self._count = 0
        self._count += 1
        if quota:
            self._over_quota[preference, quota] = plan
            return
        if not asked:
            self._first[preference] = plan
            return
        turn = self._first.setdefault(preference, _turn(asked[0]))
        for one, following in itertools.pairwise(asked):
            assert isinstance(turn, _Turn)  # the same answers never lead to a plan and to a question
            turn = turn.then.setdefault(one.refusal, _turn(following))
        assert isinstance(turn, _Turn)
        turn.then[asked[-1].refusal] = plan


def _turn(one: Asked) -> _Turn:
    return _Turn(one.asset_id, one.capacity, one.cost)
