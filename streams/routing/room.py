"""What is left, for one job, of capacity, of its tenant's quota and of budgets, and why it does not fit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from schemas.records import JobRequest, Priority
from streams.routing.accrued import AccruedRow, accrued_key, period_refusal
from streams.routing.bookings import BookedRow, Booking, booked_key, quota_key, units_of, until
from streams.routing.budgets import NO_LIMITS, Limit, Limits, refusal, scopes_of, spent_key
from streams.routing.settings import RoutingSettings

BY_QUOTA: Final = "quota"
Spent = tuple[str, Limit, Booking | None, float]
"""A scope, its budget, what the job itself spends of it, and what others do, micro-USD an hour (not of a period)."""


@dataclass(frozen=True, slots=True)
class Room:
    """What one decision may know of bookings: `row` looks one up, `own` is what the job itself holds now."""

    row: Callable[[str], BookedRow | None]
    shares: int = 1
    own: Booking | None = None
    own_quota: Booking | None = None
    own_spends: tuple[Booking, ...] = ()
    limits: Limits = field(default_factory=lambda: NO_LIMITS)
    accrued: Callable[[str], AccruedRow | None] = lambda key: None

    @property
    def has_own(self) -> bool:
        """Does the job hold anything now, which others of its kind do not?"""
        return self.own is not None or self.own_quota is not None or bool(self.own_spends)

    def asked_by(self, job: JobRequest, at: int, settings: RoutingSettings) -> Asking:
        """The job, at that time (ms), before its first question."""
        reserve_share = 0.0 if job.priority is Priority.CRITICAL else settings.critical_reserve_share
        quota = self.over_quota(job.tenant, at, settings)
        spent, ends_at = self._spent(job.tenant, at), until(at, settings)
        return Asking(self, at, ends_at, quota, spent, units_of(job, settings), reserve_share)

    def over_quota(self, tenant: str | None, at: int, settings: RoutingSettings) -> str:
        """Why the tenant may have no more active jobs, wherever they run; empty = it may."""
        quota = settings.tenant_quotas.get(tenant) if tenant is not None else None
        if tenant is None or quota is None:
            return ""
        share = math.ceil(quota / self.shares)
        active = self.others(quota_key(tenant), tenant, self.own_quota, at)
        if active + 1 <= share:
            return ""
        return f"tenant {tenant} has {active:g} of {of_whole(share, quota, self.shares)} active jobs (tenant_quotas)"

    def _spent(self, tenant: str | None, at: int) -> tuple[Spent, ...]:
        """Of each scope with a budget."""
        found: list[Spent] = []
        for scope in scopes_of(tenant) if self.limits else ():
            limit = self.limits.get(scope)
            if limit is not None:
                own = next((spend for spend in self.own_spends if spend.target_id == scope), None)
                now = 0.0 if limit.period is not None else self.others(spent_key(scope), scope, own, at)
                found.append((scope, limit, own, now))
        return tuple(found)

    def others(self, key: str, name: str, own: Booking | None, at: int) -> float:
        """What other jobs have booked."""
        row = self.row(key)
        return (row.units(at) if row is not None else 0.0) - (own.of(name, at) if own is not None else 0.0)


@dataclass(frozen=True, slots=True)
class Asking:
    """One job that asks candidates for room, one after the other: what does not depend on them is asked once.

    `at`, and `ends_at`, when what it books ends, in ms. `quota`: why its tenant may have no more active jobs, wherever;
    empty = it may. `wanted` in units.
    """

    room: Room
    at: int
    ends_at: int
    quota: str
    spent: tuple[Spent, ...]
    wanted: float
    reserve_share: float

    def refusal(self, target_id: str, capacity: float, cost: float = 0.0) -> str:
        """Why the job does not fit; empty = it fits. As `refused` says."""
        return self.quota or self.over_budget(cost) or self.full(target_id, capacity)

    def refused(self, target_id: str, capacity: float, cost: float = 0.0) -> tuple[str, str]:
        """By what the job is refused (quota, budget, capacity), and why; both empty = it fits.

        `capacity` in units, NaN = no limit is known; `cost` in USD per hour, NaN = not known, which is the filter's.
        """
        if self.quota:
            return BY_QUOTA, self.quota
        if why := self.over_budget(cost):
            return "budget", why
        why = self.full(target_id, capacity)
        return ("capacity", why) if why else ("", "")

    def over_budget(self, cost: float) -> str:
        """Why the job would take its tenant, or all, over a budget; empty = it would not."""
        for scope, limit, own, spent in self.spent:
            if over := self._over(scope, limit, own, spent, cost):
                return over
        return ""

    def _over(self, scope: str, limit: Limit, own: Booking | None, spent: float, cost: float) -> str:
        room = self.room
        if limit.period is None:
            return refusal(scope, limit, room.shares, spent, cost)
        booked, accrued = room.row(spent_key(scope)), room.accrued(accrued_key(scope))
        return period_refusal(accrued, scope, booked, own, limit, room.shares, cost, self.at, self.ends_at)

    def full(self, target_id: str, capacity: float) -> str:
        """Why the target has no room for the job; empty = it has."""
        wanted = self.wanted
        if capacity != capacity or wanted == 0:
            return ""
        share = math.ceil(capacity / self.room.shares)
        # Of a single unit nothing is kept: nobody else could ever have it.
        kept = math.ceil(share * self.reserve_share) if share >= 2 else 0
        row, own = self.room.row(booked_key(target_id)), self.room.own
        booked = 0.0 if row is None else row.units(self.at)
        if own is not None:
            booked -= own.of(target_id, self.at)
        if booked + wanted <= share - kept + 1e-9:
            return ""
        reserve = f", {kept:g} kept for critical jobs" if kept else ""
        whole = of_whole(share, capacity, self.room.shares)
        return f"{booked:g} of {whole} units of capacity booked{reserve}, needs {wanted:g}"


def of_whole(share: float, whole: float, shares: int) -> str:
    return f"{share:g}" if shares == 1 else f"{share:g} (of {whole:g} over {shares} partitions)"


EMPTY: Final = Room(lambda key: None)
