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

    def refusal(
        self, target_id: str, capacity: float, job: JobRequest, at: int, settings: RoutingSettings, cost: float = 0.0
    ) -> str:
        """Why the job does not fit; empty = it fits. As `refused` says."""
        return self.refused(target_id, capacity, job, at, settings, cost)[1]

    def refused(
        self, target_id: str, capacity: float, job: JobRequest, at: int, settings: RoutingSettings, cost: float = 0.0
    ) -> tuple[str, str]:
        """By what the job is refused (quota, budget, capacity), and why; both empty = it fits.

        `capacity` in units, NaN = no limit is known; `cost` in USD per hour, NaN = not known, which is the filter's.
        """
        if why := self.over_quota(job.tenant, at, settings):
            return "quota", why
        if why := self.over_budget(job.tenant, cost, at, until(at, settings)):
            return "budget", why
        why = self.full(target_id, capacity, job, at, settings)
        return ("capacity", why) if why else ("", "")

    def over_budget(self, tenant: str | None, cost: float, at: int, ends_at: int) -> str:
        """Why the job, until `ends_at` (ms), would take its tenant, or all, over a budget; empty = it would not."""
        for scope in scopes_of(tenant) if self.limits else ():
            limit = self.limits.get(scope)
            if limit is not None:
                own = next((spend for spend in self.own_spends if spend.target_id == scope), None)
                if over := self._over(scope, limit, own, cost, at, ends_at):
                    return over
        return ""

    def _over(self, scope: str, limit: Limit, own: Booking | None, cost: float, at: int, ends_at: int) -> str:
        if limit.period is None:
            return refusal(scope, limit, self.shares, self._others(spent_key(scope), scope, own, at), cost)
        booked, accrued = self.row(spent_key(scope)), self.accrued(accrued_key(scope))
        return period_refusal(accrued, scope, booked, own, limit, self.shares, cost, at, ends_at)

    def full(self, target_id: str, capacity: float, job: JobRequest, at: int, settings: RoutingSettings) -> str:
        """Why the target has no room for the job; empty = it has."""
        wanted = units_of(job, settings)
        if math.isnan(capacity) or wanted == 0:
            return ""
        share = float(math.ceil(capacity / self.shares))
        kept = self._kept(share, job, settings)
        booked = self._others(booked_key(target_id), target_id, self.own, at)
        if booked + wanted <= share - kept + 1e-9:
            return ""
        reserve = f", {kept:g} kept for critical jobs" if kept else ""
        return f"{booked:g} of {self._of(share, capacity)} units of capacity booked{reserve}, needs {wanted:g}"

    def over_quota(self, tenant: str | None, at: int, settings: RoutingSettings) -> str:
        """Why the tenant may have no more active jobs, wherever they run; empty = it may."""
        quota = settings.tenant_quotas.get(tenant) if tenant is not None else None
        if tenant is None or quota is None:
            return ""
        share = math.ceil(quota / self.shares)
        active = self._others(quota_key(tenant), tenant, self.own_quota, at)
        if active + 1 <= share:
            return ""
        return f"tenant {tenant} has {active:g} of {self._of(share, quota)} active jobs (tenant_quotas)"

    def _others(self, key: str, name: str, own: Booking | None, at: int) -> float:
        """What other jobs have booked."""
        row = self.row(key)
        booked = row.units(at) if row is not None else 0.0
        if own is not None and own.target_id == name and own.until > at:
            booked -= own.units
        return booked

    def _of(self, share: float, whole: float) -> str:
        return f"{share:g}" if self.shares == 1 else f"{share:g} (of {whole:g} over {self.shares} partitions)"

    def _kept(self, share: float, job: JobRequest, settings: RoutingSettings) -> float:
        """Of a single unit nothing is kept: nobody else could ever have it."""
        if job.priority is Priority.CRITICAL or share < 2:
            return 0.0
        return float(math.ceil(share * settings.critical_reserve_share))


EMPTY: Final = Room(lambda key: None)
