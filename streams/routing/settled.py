"""The row that a decision leads to: who has the job now, and what it books, counts and spends there. Pure."""

from __future__ import annotations

from streams.routing.bookings import units_of, until
from streams.routing.plan import Plan
from streams.routing.settings import RoutingSettings
from streams.routing.state import JobRow, Phase


def decided(row: JobRow, plan: Plan, decision_id: str, at: int, settings: RoutingSettings) -> JobRow:
    """`at` in ms. Each field is named: `dataclasses.replace` would take twice as long, for every job."""
    routed = plan.target_id is not None
    booked = units_of(row.request, settings) if plan.limited else 0.0
    counted = routed and row.request.tenant in settings.tenant_quotas
    ends_at = until(at, settings)
    return JobRow(
        request=row.request,
        phase=Phase.ACTIVE if routed else Phase.WAITING,
        revision=row.revision + 1,
        decision_id=decision_id,
        target_id=plan.target_id,
        target_domain=plan.target_domain,
        home_id=row.home_id if row.home_id != plan.target_id else None,
        fallback_ids=plan.fallback_ids,
        failed=row.failed,
        held=_held(row, plan.target_id),
        attempts=row.attempts,
        tried_at=at,
        retry_at=None if routed else retry_at(at, settings),
        expires_at=row.expires_at,
        changed_at=row.changed_at,
        booked_units=booked,
        booked_until=ends_at if booked else 0,
        quota_until=ends_at if counted else 0,
        spent_micro_usd=plan.spends_micro_usd,
        spent_until=ends_at if plan.spends_micro_usd else 0,
    )


def retry_at(at: int, settings: RoutingSettings) -> int:
    return at + ms(settings.retry_s)


def ms(seconds: float) -> int:
    """At least one."""
    return max(1, round(seconds * 1000))


def _held(row: JobRow, target_id: str | None) -> tuple[str, ...]:
    if row.target_id is None or row.target_id == target_id:
        return row.held
    return tuple(sorted({*row.held, row.target_id}))
