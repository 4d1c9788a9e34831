"""`RoutingLayer`: the life of jobs, and when decisions are revised; `JobRouter` decides one. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.records import JobOutcome, JobRequest
from streams.kit.layer import Event, Step
from streams.kit.partition import Partition
from streams.policy.port import PolicyHook
from streams.routing import turns
from streams.routing.away import AwayRow
from streams.routing.bookings import BookedRow
from streams.routing.fleet import Fleet
from streams.routing.jobs import Jobs, Occasion
from streams.routing.leaving import PACE_MS, LeavingRow, place_of
from streams.routing.ledger import Ledger
from streams.routing.life import due_at, over
from streams.routing.occasions import content_of, health_of, may_help
from streams.routing.router import JobRouter
from streams.routing.rows import JobRows
from streams.routing.settings import RoutingSettings
from streams.routing.state import JobRow, Phase, Row, decode, encode, target_keys
from streams.routing.texts import text_of
from streams.routing.told import ToldRow, accrue_all, spent_elsewhere, tell_budgets, tell_due, tell_spent
from streams.routing.waiting import Freed

__all__ = ["JobRouter", "RoutingLayer"]

_OF_BUDGETS = ("spending", "policies")
"""Views after which a period of a budget goes on otherwise, also where no job has spent anything of it yet."""


class RoutingPartition(Partition[Row, Fleet]):
    """The usual partition, whose rows have the queue of jobs that wait (`waiting.JobRows`)."""

    def __init__(self, layer: RoutingLayer, view: Fleet, rows: JobRows, clock: int = 0) -> None:
        super().__init__(layer, view, rows, clock)
        self.rows = rows


class RoutingLayer:
    """The Layer protocol over jobs' rows: requests and outcomes decide, the view revises, timers try again and end."""

    name: str = "routing"
    inputs: tuple[str, ...] = ("job-requests", "job-outcomes")
    views: tuple[str, ...] = ("assets", "performance", "anomalies", "remediations", "policies", "spending")

    def __init__(
        self, settings: RoutingSettings | None = None, policy: PolicyHook | None = None, shares: int = 1
    ) -> None:
        self.router = JobRouter(settings, policy, shares)
        self._told_ms = round(self.router.settings.spending_told_s * 1000)

    def new_view(self) -> Fleet:
        return Fleet()

    def see(self, view: Fleet, event: Event) -> None:
        view.see(event)

    def step(self, rows: Mapping[str, Row], view: Fleet, event: Event, now: int) -> Step[Row]:
        ledger = Ledger(rows, view.budgets, now)
        jobs, value = Jobs(self.router, view, ledger), event.value
        if isinstance(value, JobRequest):
            jobs.request(value, Occasion(now, event.cause_id, ("request", text_of(value))))
        elif isinstance(value, JobOutcome):
            content = ("outcome", value.target_id, value.outcome.value, value.at)
            jobs.outcome(value, Occasion(now, event.cause_id, content))
        tell_spent(ledger, view, now, event.cause_id, self._told_ms)
        return ledger.step()

    def on_view(self, rows: Mapping[str, Row], view: Fleet, event: Event, now: int) -> Step[Row]:
        """Jobs whose target may no longer have them pivot; jobs that wait try again when the world may be better."""
        if not rows and event.topic not in _OF_BUDGETS:
            return Step()  # neither jobs nor anything kept of them
        asset_id = health_of(event)
        helps = may_help(event, view)
        if asset_id is None and not helps.something and not spent_elsewhere(event):
            return Step()
        ledger = Ledger(rows, view.budgets, now)
        if spent_elsewhere(event) or event.topic == "policies":
            accrue_all(ledger, view)
        jobs, occasion = Jobs(self.router, view, ledger), Occasion(now, event.cause_id, content_of(event))
        if asset_id is not None:
            self._move(jobs, asset_id, occasion)
        if helps.something:
            jobs.try_waiting(helps, occasion)
        tell_budgets(ledger, view, event, now, self._told_ms)
        tell_spent(ledger, view, now, event.cause_id, self._told_ms)
        return ledger.step()

    def _move(self, jobs: Jobs, asset_id: str, on: Occasion, after: tuple[int, str] = (-1, "")) -> None:
        """Moves jobs behind `after` away from a target that may no longer have them; of many, the rest later."""
        ledger, moved, last = jobs.ledger, 0, after
        here = ledger.jobs_in(target_keys(asset_id))
        ill = self.router.why_ill(jobs.fleet, asset_id) if here else []
        for row in here:
            if place_of(row) <= after:
                continue
            if moved >= self.router.settings.moved_max:
                ledger.leaving(asset_id, LeavingRow(asset_id, *last, on.at + PACE_MS, on.cause_id))
                turns.look(jobs, asset_id, on)
                return
            if why := [*ill, *self.router.misplaced(jobs.fleet, row.request, asset_id)]:
                jobs.leave(row, "; ".join(why), on, drives_away=True)
                moved += 1
            last = place_of(row)
        ledger.leaving(asset_id, None)
        turns.look(jobs, asset_id, on)

    def due_at(self, row: Row) -> int | None:
        if isinstance(row, JobRow):  # asked of each row that is written: the commonest first
            return due_at(row)
        if isinstance(row, BookedRow):
            return row.ends[0][0]
        return row.due_at if isinstance(row, LeavingRow | AwayRow | ToldRow) else None

    def on_timer(self, rows: Mapping[str, Row], view: Fleet, key: str, now: int) -> Step[Row]:
        row, ledger = rows.get(key), Ledger(rows, view.budgets, now)
        jobs = Jobs(self.router, view, ledger)
        if isinstance(row, LeavingRow):
            occasion = Occasion(now, row.cause_id, ("leaving", row.asset_id, now))
            self._move(jobs, row.asset_id, occasion, (row.urgency, row.job_id))
        elif isinstance(row, BookedRow):
            ledger.lapse(key, now)
            jobs.wake(Freed.lapsed(key, view), Occasion(now, "", ("lapsed", key, now)))
        elif isinstance(row, AwayRow):
            turns.take(jobs, row, Occasion(now, "", ("away", row.asset_id, now)))
        elif isinstance(row, ToldRow):
            tell_due(ledger, view, row, now)
        elif isinstance(row, JobRow):
            self._on_time_of(row, jobs, now)
        tell_spent(ledger, view, now, row.decision_id if isinstance(row, JobRow) else "", self._told_ms)
        return ledger.step()

    def _on_time_of(self, row: JobRow, jobs: Jobs, now: int) -> None:
        occasion = Occasion(now, row.decision_id, ("timer", now))
        if over(row, now):
            jobs.forget(row, occasion)
        elif row.phase is Phase.WAITING:
            jobs.retry(row, occasion)

    def partition(self, view: Fleet, clock: int = 0) -> RoutingPartition:
        """What holds the rows of a partition live and in replay: with the queue of the jobs that wait."""
        return RoutingPartition(self, view, JobRows(), clock)

    def encode_row(self, row: Row) -> bytes:
        return encode(row)

    def decode_row(self, data: bytes) -> Row:
        return decode(data)
