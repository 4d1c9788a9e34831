"""When a job's row wants its timer and is over, and which outcomes count for it. Pure."""

from __future__ import annotations

from schemas.records import JobOutcome, JobRequest
from streams.routing.state import JobRow, Phase


def due_at(row: JobRow) -> int:
    """When the row next wants its timer, ms: a try, the end of waiting at its deadline, or the end of its life."""
    if row.phase is not Phase.WAITING:
        return row.expires_at
    deadline_at = row.request.constraints.deadline_at
    times = [row.expires_at, row.retry_at, deadline_at + 1 if deadline_at is not None else None]
    return min(time for time in times if time is not None)


def over(row: JobRow, at: int) -> bool:
    """Is there nothing more to be done for this row?"""
    return at >= row.expires_at or (row.phase is Phase.WAITING and too_late(row.request, at))


def too_late(job: JobRequest, at: int) -> bool:
    return job.constraints.deadline_at is not None and at > job.constraints.deadline_at


def of_this_stay(row: JobRow, result: JobOutcome) -> bool:
    """Is it of the target that has the job, and of this revision? Then it comes once: it ends the stay.

    An outcome does not name its revision. Of a later one than the first it must have happened after the decision, or it
    may be a repeat of what an earlier stay on the same target ended with.
    """
    if row.phase is not Phase.ACTIVE or result.target_id != row.target_id:
        return False
    return row.revision == 1 or result.at > row.tried_at


def of_this_request(row: JobRow, result: JobOutcome) -> bool:
    """Is it of a target that has or had the job, and of what is asked for now? Not of what was asked for before."""
    if result.target_id not in {row.target_id, *row.held}:
        return False
    return row.changed_at == 0 or result.at > row.changed_at
