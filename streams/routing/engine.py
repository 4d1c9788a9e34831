"""`RoutingLayer`: the life of jobs, and when decisions are revised; `JobRouter` decides one. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.records import JobOutcome, JobRequest
from streams.kit.layer import Event, Step
from streams.policy.port import PolicyHook
from streams.routing.fleet import Fleet
from streams.routing.jobs import Jobs, Occasion, due_at, over
from streams.routing.leaving import PACE_MS, LeavingRow, place_of
from streams.routing.occasions import content_of, health_of, may_help
from streams.routing.router import JobRouter
from streams.routing.settings import RoutingSettings
from streams.routing.state import JobRow, Ledger, Phase, Row, decode, encode, target_keys

__all__ = ["JobRouter", "RoutingLayer"]


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
        asset_id = health_of(event)
        helps = may_help(event)
        if asset_id is None and not helps:
            return Step()
        ledger = Ledger(rows)
        jobs, occasion = Jobs(self.router, view, ledger), Occasion(now, event.cause_id, content_of(event))
        if asset_id is not None:
            self._move(jobs, asset_id, occasion)
        if helps:
            jobs.try_waiting(occasion)
        return ledger.step()

    def _move(self, jobs: Jobs, asset_id: str, on: Occasion, after: tuple[int, str] = (-1, "")) -> None:
        """Moves jobs behind `after` away from a target that may no longer have them; of many, the rest later."""
        ledger, moved, last = jobs.ledger, 0, after
        for row in ledger.jobs_in(target_keys(asset_id)):
            if place_of(row) <= after:
                continue
            if moved >= self.router.settings.moved_max:
                ledger.leaving(asset_id, LeavingRow(asset_id, *last, on.at + PACE_MS, on.cause_id))
                return
            if why := self.router.reasons_to_leave(jobs.fleet, row.request, asset_id):
                jobs.leave(row, "; ".join(why), on)
                moved += 1
            last = place_of(row)
        ledger.leaving(asset_id, None)

    def due_at(self, row: Row) -> int | None:
        if isinstance(row, LeavingRow):
            return row.due_at
        return due_at(row) if isinstance(row, JobRow) else None

    def on_timer(self, rows: Mapping[str, Row], view: Fleet, key: str, now: int) -> Step[Row]:
        row, ledger = rows.get(key), Ledger(rows)
        if isinstance(row, LeavingRow):
            occasion = Occasion(now, row.cause_id, ("leaving", row.asset_id, now))
            self._move(Jobs(self.router, view, ledger), row.asset_id, occasion, (row.urgency, row.job_id))
            return ledger.step()
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
