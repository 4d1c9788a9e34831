"""What the routing table keeps: a row for each job, index rows that find jobs, what is booked and what is learned.

    job-requests ──► ACTIVE ── target ill or failed, another one eligible ──► ACTIVE (pivoted, revision + 1)
         │             │  └─── none eligible ───► WAITING
         │             ├─ succeeded ─► DONE ── done_kept_s ──► gone
         │             └─ job_ttl_s ─────────────────────────► gone
         └─ none eligible ─► WAITING ── world is better, or retry_s ──► ACTIVE
                               ├─ attempts_max reached ─► DONE
                               └─ deadline or job_ttl_s ──► gone

At most one target is active for a job: a row has one. Rows are JSON with a version: `{"v": 6, ...}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache, lru_cache
from operator import attrgetter
from typing import Final

import orjson

from schemas.records import JobRequest
from streams.kit import ids
from streams.routing import learned
from streams.routing.accrued import AccruedRow
from streams.routing.away import AwayRow
from streams.routing.bookings import BookedRow
from streams.routing.learned import LearnedRow
from streams.routing.leaving import LeavingRow
from streams.routing.texts import text_of
from streams.routing.told import TellerRow, ToldRow

STATE_VERSION: Final = 2
LEARNED_VERSION: Final = 3
"""Of rows of what is learned, which version 2 did not have and so refuses by version; the others are as before."""
JOB_VERSION: Final = 6
"""Of rows of jobs. Of 2 without `changed_at`, of 3 `quota_until`, of 4 spending, of 5 `home_id`; all are read."""
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

    `home_id`: the target that it had before an illness drove it away, and may come back to.
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
    spent_micro_usd: int = 0
    spent_until: int = 0
    home_id: str | None = None


@dataclass(frozen=True, slots=True)
class IndexRow:
    """Ids of the jobs that are active on one target, or waiting, in order; never empty."""

    job_ids: tuple[str, ...]


Row = JobRow | IndexRow | BookedRow | LearnedRow | LeavingRow | AwayRow | TellerRow | ToldRow | AccruedRow


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


_BESIDE_REQUEST: Final = tuple(name for name in JobRow.__slots__ if name != "request")
_beside_request: Final = attrgetter(*_BESIDE_REQUEST)


def index_key(row: JobRow) -> str | None:
    """The index row that must name this job; None when it is done."""
    shard = str(hash_of(row.request.id) % _SHARDS)
    if row.phase is Phase.ACTIVE and row.target_id is not None:
        return ids.row_key("target", row.target_id, shard)
    return ids.row_key("waiting", shard) if row.phase is Phase.WAITING else None


def encode(row: Row) -> bytes:
    if isinstance(row, IndexRow):
        return _json({"v": STATE_VERSION, "kind": "index", "job_ids": row.job_ids})
    if isinstance(row, BookedRow):
        return _json({"v": STATE_VERSION, "kind": "booked", "ends": row.ends})
    if isinstance(row, LearnedRow):
        return _json({"v": LEARNED_VERSION, "kind": "learned", "targets": row.entries()})
    if isinstance(row, LeavingRow):
        return _json({"v": STATE_VERSION, "kind": "leaving", **asdict(row)})
    if isinstance(row, AwayRow):
        return _json({"v": STATE_VERSION, "kind": "away", **asdict(row)})
    if isinstance(row, TellerRow):
        return _json({"v": STATE_VERSION, "kind": "teller", **asdict(row)})
    if isinstance(row, AccruedRow):
        return _json({"v": STATE_VERSION, "kind": "accrued", **asdict(row)})
    if isinstance(row, ToldRow):
        return _json({"v": STATE_VERSION, "kind": "told", **asdict(row)})
    fields = dict(zip(_BESIDE_REQUEST, _beside_request(row), strict=True))
    return _json({"v": JOB_VERSION, "kind": "job", "request": orjson.Fragment(text_of(row.request)), **fields})


def decode(data: bytes) -> Row:
    """Raises StateVersionError for rows of another version."""
    fields = json.loads(data)  # not orjson: rows of before may have whole numbers that it does not read
    version, kind = fields.pop("v", None), fields.pop("kind", None)
    own = {"learned": LEARNED_VERSION, "job": JOB_VERSION}.get(kind, STATE_VERSION)
    if version != own and (kind, version) not in (("job", 2), ("job", 3), ("job", 4), ("job", 5)):
        raise StateVersionError(f"routing row of state version {version}, this is {own}: rebuild the table")
    if kind == "learned":
        return learned.row_of(fields["targets"])
    if kind == "leaving":
        return LeavingRow(**fields)
    if kind == "away":
        return AwayRow(**fields)
    if kind == "teller":
        return TellerRow(**fields)
    if kind == "accrued":
        return AccruedRow(**fields)
    if kind == "told":
        return ToldRow(**fields)
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
    return orjson.dumps(fields)
