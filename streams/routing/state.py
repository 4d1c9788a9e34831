"""What the routing table keeps: a row for each job, index rows that find jobs, what is booked and what is learned.

    job-requests ──► ACTIVE ── target ill or failed, another one eligible ──► ACTIVE (pivoted, revision + 1)
         │             │  └─── none eligible ───► WAITING
         │             ├─ succeeded ─► DONE ── done_kept_s ──► gone
         │             └─ job_ttl_s ─────────────────────────► gone
         └─ none eligible ─► WAITING ── world is better, or retry_s ──► ACTIVE
                               ├─ attempts_max reached ─► DONE
                               └─ deadline or job_ttl_s ──► gone

At most one target is active for a job: a row has one. Rows are JSON with a version: `{"v": 4, ...}`.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache, lru_cache
from heapq import nsmallest
from typing import Final

from schemas.records import JobRequest
from streams.kit import ids
from streams.kit.layer import Emission, Step
from streams.routing import learned
from streams.routing.bookings import BookedRow, Booking, Room, booked_key, booking_of, changed, quota_key, quota_of
from streams.routing.learned import LearnedRow
from streams.routing.leaving import LeavingRow, leaving_key, place_of, urgency_of
from streams.routing.settings import RoutingSettings

STATE_VERSION: Final = 2
LEARNED_VERSION: Final = 3
"""Of rows of what is learned, which version 2 did not have and so refuses by version; the others are as before."""
JOB_VERSION: Final = 4
"""Of rows of jobs. Those of 2 have no `changed_at`, those of 3 no `quota_until`; both are read: never, no quota."""
_SHARDS: Final = 256
"""Index rows of one target: keeps each of them short when a target has many jobs, since one is written whole."""


class StateVersionError(ValueError):
    """A row was written by a version whose rows this one cannot read; see the changelog."""


class Phase(StrEnum):
    ACTIVE = "active"
    WAITING = "waiting"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class JobRow:
    """`failed`: (target, when it failed this job, ms), newest last; `held`: targets the job had before.

    `changed_at`: when it was last asked for in other words, or again after its end, ms; 0 = never.
    """

    request: JobRequest
    phase: Phase
    revision: int
    decision_id: str
    target_id: str | None
    target_domain: str | None
    fallback_ids: tuple[str, ...]
    failed: tuple[tuple[str, int], ...]
    held: tuple[str, ...]
    attempts: int
    tried_at: int
    retry_at: int | None
    expires_at: int
    booked_units: float = 0.0
    booked_until: int = 0
    changed_at: int = 0
    quota_until: int = 0


@dataclass(frozen=True, slots=True)
class IndexRow:
    """Ids of the jobs that are active on one target, or waiting, in order; never empty."""

    job_ids: tuple[str, ...]


Row = JobRow | IndexRow | BookedRow | LearnedRow | LeavingRow


@lru_cache(maxsize=4096)
def hash_of(job_id: str) -> int:
    """`ids.tie_break` of a job's id, which one decision needs more than once."""
    return ids.tie_break(job_id)


def job_key(job_id: str) -> str:
    return ids.row_key("job", job_id)


@lru_cache(maxsize=256)
def target_keys(asset_id: str) -> tuple[str, ...]:
    return tuple(ids.row_key("target", asset_id, str(shard)) for shard in range(_SHARDS))


@cache
def waiting_keys() -> tuple[str, ...]:
    return tuple(ids.row_key("waiting", str(shard)) for shard in range(_SHARDS))


def index_key(row: JobRow) -> str | None:
    """The index row that must name this job; None when it is done."""
    shard = str(hash_of(row.request.id) % _SHARDS)
    if row.phase is Phase.ACTIVE and row.target_id is not None:
        return ids.row_key("target", row.target_id, shard)
    return ids.row_key("waiting", shard) if row.phase is Phase.WAITING else None


class Ledger:
    """The changes of one step over rows that stay as they are; keeps the index rows true to the job rows."""

    def __init__(self, rows: Mapping[str, Row]) -> None:
        self._rows = rows
        self._staged: dict[str, Row | None] = {}
        self._emissions: list[Emission] = []

    def job(self, job_id: str) -> JobRow | None:
        row = self._get(job_key(job_id))
        return row if isinstance(row, JobRow) else None

    def jobs_in(self, keys: tuple[str, ...]) -> list[JobRow]:
        """The jobs that these index rows name, the most urgent first, then by id."""
        return sorted(self._named(keys), key=place_of)

    def waiting(self, tried_by: float, most: int) -> list[JobRow]:
        """At most so many of the jobs that wait, of those last tried at `tried_by` (ms) or before.

        The most urgent first, then the one whose last try is the oldest, then by id: who was tried and still waits goes
        behind its like, so that the next steps come to the others.
        """
        old = (row for row in self._named(waiting_keys()) if row.tried_at <= tried_by)
        return nsmallest(most, old, key=lambda row: (urgency_of(row.request), row.tried_at, row.request.id))

    def _named(self, keys: tuple[str, ...]) -> Iterator[JobRow]:
        for key in keys:
            index = self._get(key)
            for job_id in index.job_ids if isinstance(index, IndexRow) else ():
                if (job := self.job(job_id)) is not None:
                    yield job

    def put(self, job_id: str, row: JobRow | None) -> None:
        old = self.job(job_id)
        before = index_key(old) if old is not None else None
        after = index_key(row) if row is not None else None
        if before != after:
            if before is not None:
                self._reindex(before, job_id, add=False)
            if after is not None:
                self._reindex(after, job_id, add=True)
        self._rebook(booking_of(old), booking_of(row), booked_key)
        self._rebook(quota_of(old), quota_of(row), quota_key)
        self._staged[job_key(job_id)] = row

    def leaving(self, asset_id: str, row: LeavingRow | None) -> None:
        """Who of a target's jobs are still to be asked whether they must leave; None = nobody."""
        if row is not None or self._get(leaving_key(asset_id)) is not None:
            self._staged[leaving_key(asset_id)] = row

    def room(self, shares: int, job_id: str) -> Room:
        row = self.job(job_id)
        return Room(self._booked, shares, booking_of(row), quota_of(row))

    def _booked(self, key: str) -> BookedRow | None:
        row = self._get(key)
        return row if isinstance(row, BookedRow) else None

    def _rebook(self, before: Booking | None, after: Booking | None, key_of: Callable[[str], str]) -> None:
        if before == after:
            return
        for booking, sign in ((before, -1), (after, 1)):
            if booking is not None:
                key = key_of(booking.target_id)
                self._staged[key] = changed(self._booked(key), booking, sign)

    def learn(self, target_id: str, succeeded: bool, at: int, settings: RoutingSettings) -> None:
        """Counts one outcome of a target; `at` in ms."""
        key = learned.learned_key(target_id)
        row, half_life_s = self._get(key), settings.reliability_half_life_s
        known = row if isinstance(row, LearnedRow) else None
        self._staged[key] = learned.counted(known, target_id, succeeded, at, half_life_s)

    def learned(self) -> tuple[LearnedRow, ...]:
        rows = (self._get(key) for key in learned.learned_keys())
        return tuple(row for row in rows if isinstance(row, LearnedRow))

    def emit(self, emission: Emission) -> None:
        self._emissions.append(emission)

    def step(self) -> Step[Row]:
        return Step(self._staged, tuple(self._emissions))

    def _get(self, key: str) -> Row | None:
        return self._staged[key] if key in self._staged else self._rows.get(key)

    def _reindex(self, key: str, job_id: str, *, add: bool) -> None:
        index = self._get(key)
        named = index.job_ids if isinstance(index, IndexRow) else ()
        place = bisect_left(named, job_id)
        there = place < len(named) and named[place] == job_id
        if add != there:
            named = (*named[:place], *((job_id,) if add else ()), *named[place + (not add) :])
        self._staged[key] = IndexRow(named) if named else None


def encode(row: Row) -> bytes:
    if isinstance(row, IndexRow):
        return _json({"v": STATE_VERSION, "kind": "index", "job_ids": row.job_ids})
    if isinstance(row, BookedRow):
        return _json({"v": STATE_VERSION, "kind": "booked", "ends": row.ends})
    if isinstance(row, LearnedRow):
        return _json({"v": LEARNED_VERSION, "kind": "learned", "targets": row.entries()})
    if isinstance(row, LeavingRow):
        return _json({"v": STATE_VERSION, "kind": "leaving", **asdict(row)})
    fields = {name: getattr(row, name) for name in JobRow.__slots__ if name != "request"}
    return _json({"v": JOB_VERSION, "kind": "job", "request": row.request.model_dump(mode="json"), **fields})


def decode(data: bytes) -> Row:
    """Raises StateVersionError for rows of another version."""
    fields = json.loads(data)
    version, kind = fields.pop("v", None), fields.pop("kind", None)
    own = {"learned": LEARNED_VERSION, "job": JOB_VERSION}.get(kind, STATE_VERSION)
    if version != own and (kind, version) not in (("job", 2), ("job", 3)):
        raise StateVersionError(f"routing row of state version {version}, this is {own}: rebuild the table")
    if kind == "learned":
        return learned.row_of(fields["targets"])
    if kind == "leaving":
        return LeavingRow(**fields)
    if kind == "index":
        return IndexRow(tuple(fields["job_ids"]))
    if kind == "booked":
        return BookedRow(tuple((until, units) for until, units in fields["ends"]))
    fields["request"] = JobRequest.model_validate(fields["request"])
    fields["phase"] = Phase(fields["phase"])
    fields["fallback_ids"], fields["held"] = tuple(fields["fallback_ids"]), tuple(fields["held"])
    fields["failed"] = tuple((target, at) for target, at in fields["failed"])
    return JobRow(**fields)


def _json(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
