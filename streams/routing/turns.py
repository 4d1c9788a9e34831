"""Whose turn it is to come back to a target that is well again (`returning`), and why nobody's is yet. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from streams.routing import away, returning, wording
from streams.routing.away import AwayRow
from streams.routing.jobs import Jobs, Occasion
from streams.routing.leaving import place_of
from streams.routing.state import JobRow, Phase, Row, job_key


def look(jobs: Jobs, asset_id: str, on: Occasion) -> None:
    """The target's health was told: if it is ill, its time begins anew."""
    row = jobs.ledger.away(asset_id)
    if row is not None:
        well = not jobs.router.why_ill(jobs.fleet, asset_id)
        jobs.ledger.put_away(asset_id, away.seen(row, well, on.at, jobs.router.settings))


def take(jobs: Jobs, row: AwayRow, on: Occasion) -> None:
    """Looks at the next `moved_max` jobs that could come back; the others have their turn in `failback_window_s`."""
    ledger, settings = jobs.ledger, jobs.router.settings
    if jobs.router.why_ill(jobs.fleet, row.asset_id):
        ledger.put_away(row.asset_id, AwayRow(row.asset_id))
        return
    next_at = on.at + round(settings.failback_window_s * 1000)
    if why := returning.gate(jobs.fleet.world, row.asset_id, on.at, settings):
        ledger.put_away(row.asset_id, replace(row, due_at=next_at, held=why))
        return
    after = row.urgency, row.job_id
    behind = [job for job in ledger.jobs_in(away.home_keys(row.asset_id)) if place_of(job) > after]
    turn, rest = behind[: settings.moved_max], behind[settings.moved_max :]
    held = _bring_back(jobs, row, turn, on)
    if rest:
        urgency, job_id = place_of(turn[-1])
        ledger.put_away(row.asset_id, replace(row, due_at=next_at, urgency=urgency, job_id=job_id, held=held))
    elif ledger.names_any(away.home_keys(row.asset_id)):
        again_at = on.at + round(max(settings.failback_after_s, settings.failback_window_s) * 1000)
        ledger.put_away(row.asset_id, replace(row, due_at=again_at, urgency=-1, job_id="", held=held))
    else:
        ledger.put_away(row.asset_id, None)


def why_not_back(rows: Mapping[str, Row], job_id: str, at: int) -> str:
    """Why the job is not (yet) back on the target that an illness drove it from; empty = there is no such target."""
    job = rows.get(job_key(job_id))
    if not isinstance(job, JobRow) or job.home_id is None or job.phase is Phase.DONE:
        return ""
    found = rows.get(away.away_key(job.home_id))
    return away.said(found, at) if isinstance(found, AwayRow) else ""


def _bring_back(jobs: Jobs, row: AwayRow, turn: list[JobRow], on: Occasion) -> str:
    """What was against the last one that stays; empty = all came."""
    well_s = (on.at - (row.well_since if row.well_since is not None else on.at)) / 1000
    why = f"{row.asset_id} has been well for {wording.seconds(well_s)}"
    held = ""
    for job in turn:
        held = jobs.come_back(job, why, replace(on, cause_id=job.decision_id)) or held
    return held
