"""The changes of one step over rows that stay as they are; keeps the index rows true to the job rows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from heapq import nsmallest

from streams.kit.layer import Emission, Step
from streams.routing import learned
from streams.routing.accrued import AccruedRow, accrued_key, brought, committed
from streams.routing.away import AwayRow, away_key, home_key
from streams.routing.bookings import BookedRow, Booking, booked_key, booking_of, changed, quota_key, quota_of
from streams.routing.budgets import ALL, NO_LIMITS, Limit, Limits, scope_of, spends_of, spent_key
from streams.routing.learned import LearnedRow
from streams.routing.leaving import LeavingRow, leaving_key, place_of, urgency_of
from streams.routing.nowhere import Nowhere
from streams.routing.room import Room
from streams.routing.rows import JobRows, learned_of
from streams.routing.settings import RoutingSettings
from streams.routing.state import IndexRow, JobRow, Phase, Row, index_key, job_key, waiting_keys
from streams.routing.told import TellerRow, ToldRow, teller_key, told_key
from streams.routing.waiting import Blocked, Freed, Queue


class Ledger:
    """`limits` are the budgets of `at` (ms), of which those with a period are accrued."""

    def __init__(self, rows: Mapping[str, Row], limits: Limits = NO_LIMITS, at: int = 0) -> None:
        self._rows, self._limits, self._at = rows, limits, at
        self._staged: dict[str, Row | None] = {}
        self._emissions: list[Emission] = []
        self.respent: set[str] = set()
        """Scopes whose spending this step has changed."""
        self.nowhere = Nowhere()
        self._learned = rows.learned if isinstance(rows, JobRows) else learned_of(rows.get)

    def job(self, job_id: str) -> JobRow | None:
        row = self._get(job_key(job_id))
        return row if isinstance(row, JobRow) else None

    def jobs_in(self, keys: tuple[str, ...]) -> list[JobRow]:
        """The jobs that these index rows name, the most urgent first, then by id."""
        return sorted(self._named(keys), key=place_of)

    def names_any(self, keys: tuple[str, ...]) -> bool:
        return next(self._named(keys), None) is not None

    def waiting(self, freed: Freed, tried_by: float, most: int, blocked: Blocked) -> list[JobRow]:
        """At most so many of the jobs that wait and that `freed` may help, in the order of `Queue`.

        Of those last tried at `tried_by` (ms) or before, without those of `blocked` tenants.
        """
        staged = {row.request.id: row for row in self._staged.values() if isinstance(row, JobRow)}
        gone = sum(row is None for row in self._staged.values())
        found = (self.job(i) for i in self._queue().find(freed, tried_by, most + len(staged) + gone, blocked))
        here = [row for row in found if row is not None and row.request.id not in staged]
        here += [
            row for row in staged.values()
            if row.phase is Phase.WAITING and row.tried_at <= tried_by
            and freed.may_help(row.request) and not blocked(row.request.tenant)
        ]  # fmt: skip
        return nsmallest(most, here, key=lambda row: (urgency_of(row.request), row.tried_at, row.request.id))

    def _queue(self) -> Queue:
        """That of the rows as they were before this step; of rows that have none (tests), looked through for it."""
        if isinstance(self._rows, JobRows):
            return self._rows.queue
        queue = Queue()
        for key in waiting_keys():
            index = self._rows.get(key)
            for job_id in index.job_ids if isinstance(index, IndexRow) else ():
                if isinstance(row := self._rows.get(job_key(job_id)), JobRow):
                    queue.put(row)
        return queue

    def _named(self, keys: tuple[str, ...]) -> Iterator[JobRow]:
        for key in keys:
            index = self._get(key)
            for job_id in index.job_ids if isinstance(index, IndexRow) else ():
                if (job := self.job(job_id)) is not None:
                    yield job

    def put(self, job_id: str, row: JobRow | None) -> None:
        old = self.job(job_id)
        self._move(job_id, index_key(old) if old is not None else None, index_key(row) if row is not None else None)
        self._move(job_id, home_key(old), home_key(row))
        self._rebook(booking_of(old), booking_of(row), booked_key)
        self._rebook(quota_of(old), quota_of(row), quota_key)
        self._respend(job_id, spends_of(old), spends_of(row))
        self._staged[job_key(job_id)] = row

    def away(self, asset_id: str) -> AwayRow | None:
        """Whether jobs of this target are elsewhere, and how long it has been well."""
        row = self._get(away_key(asset_id))
        return row if isinstance(row, AwayRow) else None

    def put_away(self, asset_id: str, row: AwayRow | None) -> None:
        if row != self.away(asset_id):
            self._staged[away_key(asset_id)] = row

    def leaving(self, asset_id: str, row: LeavingRow | None) -> None:
        """Who of a target's jobs are still to be asked whether they must leave; None = nobody."""
        if row is not None or self._get(leaving_key(asset_id)) is not None:
            self._staged[leaving_key(asset_id)] = row

    def room(self, shares: int, job_id: str | None = None, limits: Limits = NO_LIMITS) -> Room:
        """What one job, or any, may know of bookings."""
        row = self.job(job_id) if job_id is not None else None
        return Room(self._booked, shares, booking_of(row), quota_of(row), spends_of(row), limits, self.accrued)

    def lapse(self, key: str, at: int) -> None:
        """Drops from a row of bookings those that have ended by `at` (ms)."""
        self.nowhere.forget()
        row = self._booked(key)
        if (scope := scope_of(key)) is not None:
            self.accrue(scope)
        ends = tuple(end for end in row.ends if end[0] > at) if row is not None else ()
        self._staged[key] = BookedRow(ends) if ends else None
        if scope is not None:
            self.respent.add(scope)
            self._name_teller(None)

    def spent(self, scope: str, at: int) -> int:
        """What jobs spend of a scope at `at` (ms), micro-USD an hour."""
        row = self._booked(spent_key(scope))
        return round(row.units(at)) if row is not None else 0

    def accrued(self, key: str) -> AccruedRow | None:
        row = self._get(key)
        return row if isinstance(row, AccruedRow) else None

    def accrue(self, scope: str) -> None:
        """Counts what was spent of a scope's period until now, before that is another amount an hour."""
        limit, key = self._limits.get(scope), accrued_key(scope)
        row = self.accrued(key)
        if limit is not None and limit.period is not None:
            self._staged[key] = brought(row, scope, self._booked(spent_key(scope)), limit, self._at)
        elif row is not None:
            self._staged[key] = None

    def committed(self, scope: str, limit: Limit, at: int) -> tuple[int, int]:
        """(start of the budget's period in ms, micro-USD of it that jobs have spent and booked)."""
        booked = self._booked(spent_key(scope))
        start, jobs, _ = committed(self.accrued(accrued_key(scope)), scope, booked, limit, at)
        return start, jobs

    def told(self, scope: str) -> ToldRow | None:
        row = self._get(told_key(scope))
        return row if isinstance(row, ToldRow) else None

    def put_told(self, row: ToldRow) -> None:
        self._staged[told_key(row.scope)] = row

    def teller(self) -> str | None:
        """By what name this partition tells what it spends; None = nothing was ever spent here."""
        row = self._get(teller_key())
        return row.job_id if isinstance(row, TellerRow) else None

    def _booked(self, key: str) -> BookedRow | None:
        row = self._get(key)
        return row if isinstance(row, BookedRow) else None

    def _rebook(self, before: Booking | None, after: Booking | None, key_of: Callable[[str], str]) -> None:
        if before == after:
            return
        self.nowhere.forget()
        for booking, sign in ((before, -1), (after, 1)):
            if booking is not None:
                key = key_of(booking.target_id)
                self._staged[key] = changed(self._booked(key), booking, sign)

    def _respend(self, job_id: str, before: tuple[Booking, ...], after: tuple[Booking, ...]) -> None:
        if before != after:
            changed_scopes = {spend.target_id for spend in (*before, *after)}
            self.respent |= changed_scopes
            for scope in sorted(changed_scopes):
                self.accrue(scope)
            for spend in before:
                self._rebook(spend, None, spent_key)
            for spend in after:
                self._rebook(None, spend, spent_key)
            self._name_teller(job_id)

    def _name_teller(self, job_id: str | None) -> None:
        """There is one exactly as long as anything is spent, which is counted under `*` whoever spends it."""
        named, spends = self.teller() is not None, self._booked(spent_key(ALL)) is not None
        if named and not spends:
            self._staged[teller_key()] = None
        elif spends and not named and job_id is not None:
            self._staged[teller_key()] = TellerRow(job_id)

    def learn(self, target_id: str, succeeded: bool, at: int, settings: RoutingSettings) -> None:
        """Counts one outcome of a target; `at` in ms."""
        self.nowhere.forget()
        key = learned.learned_key(target_id)
        row, half_life_s = self._get(key), settings.reliability_half_life_s
        known = row if isinstance(row, LearnedRow) else None
        self._staged[key] = learned.counted(known, target_id, succeeded, at, half_life_s)
        self._learned = learned_of(self._get)

    def learned(self) -> tuple[LearnedRow, ...]:
        return self._learned

    def emit(self, emission: Emission) -> None:
        self._emissions.append(emission)

    def step(self) -> Step[Row]:
        return Step(self._staged, tuple(self._emissions))

    def _get(self, key: str) -> Row | None:
        return self._staged[key] if key in self._staged else self._rows.get(key)

    def _move(self, job_id: str, before: str | None, after: str | None) -> None:
        """From one index row to another; None = to or from none."""
        if before != after:
            if before is not None:
                self._reindex(before, job_id, add=False)
            if after is not None:
                self._reindex(after, job_id, add=True)

    def _reindex(self, key: str, job_id: str, *, add: bool) -> None:
        index = self._get(key)
        named = index.job_ids if isinstance(index, IndexRow) else ()
        place = bisect_left(named, job_id)
        there = place < len(named) and named[place] == job_id
        if add != there:
            named = (*named[:place], *((job_id,) if add else ()), *named[place + (not add) :])
        self._staged[key] = IndexRow(named) if named else None
