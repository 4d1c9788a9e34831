"""Jobs that must leave one target: some in a step, the most urgent first; a row remembers that others are to follow.

    target falls ill ──► moved_max jobs move ──► row ["leaving", target] ── 0.1 s ──► the next ──► ... ──► no row

Each is asked again when its turn comes: if the target is well by then, the rest stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemas.records import JobRequest
from streams.kit import ids

if TYPE_CHECKING:
    from streams.routing.state import JobRow

PACE_MS: Final = 100
_URGENCY: Final = {"critical": 0, "high": 1, "normal": 2, "low": 3}


@dataclass(frozen=True, slots=True)
class LeavingRow:
    """Jobs behind (`urgency`, `job_id`) in order are still to be asked, at `due_at` (ms), because of `cause_id`."""

    asset_id: str
    urgency: int
    job_id: str
    due_at: int
    cause_id: str


def leaving_key(asset_id: str) -> str:
    return ids.row_key("leaving", asset_id)


def urgency_of(request: JobRequest) -> int:
    """0 = the most urgent."""
    return _URGENCY.get(request.priority.value, 2)


def place_of(row: JobRow) -> tuple[int, str]:
    """Where a job stands among those of its target: the most urgent first, then by id."""
    return urgency_of(row.request), row.request.id
