"""Why a job is not back on the target that an illness drove it from, read from routing's changelog."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from schemas.records import JobOutcome, JobResult, RoutingDecision
from streams.command.ledger import Entry
from streams.kit.ids import row_prefix
from streams.routing.state import Row, decode, job_key
from streams.routing.turns import why_not_back
from topology.client.changelogs import row_changes
from topology.client.reading import Read

_AWAY = row_prefix("away")


def moved_job(entries: Sequence[Entry]) -> str:
    """The id of the one job of these that was decided to be elsewhere before and has not succeeded; else empty."""
    decided: dict[str, list[RoutingDecision]] = {}
    for entry in entries:
        if isinstance(entry.record, RoutingDecision):
            decided.setdefault(entry.record.job_id, []).append(entry.record)
    results = [entry.record for entry in entries if isinstance(entry.record, JobOutcome)]
    done = {result.job_id for result in results if result.outcome is JobResult.SUCCEEDED}
    moved = [job_id for job_id, own in decided.items() if job_id not in done and _was_elsewhere(own)]
    return moved[0] if len(moved) == 1 else ""


def _was_elsewhere(decisions: Sequence[RoutingDecision]) -> bool:
    last = max(decisions, key=lambda decision: decision.revision)
    return any(decision.target_id not in (None, last.target_id) for decision in decisions)


def why_not_back_from(changelog: Iterable[Read], job_id: str, at: int) -> str:
    """In words; empty = it is where it belongs. `changelog` from its beginning; `at`: now, ms."""
    wanted = job_key(job_id)
    rows: dict[int, dict[str, bytes]] = {}
    for partition, key, row in row_changes(changelog, lambda key: key == wanted or key.startswith(_AWAY)):
        of_partition = rows.setdefault(partition, {})
        of_partition.pop(key, None)
        if row is not None:
            of_partition[key] = row
    for of_partition in rows.values():
        if wanted in of_partition:
            found: dict[str, Row] = {key: decode(data) for key, data in of_partition.items()}
            return why_not_back(found, job_id, at)
    return ""
