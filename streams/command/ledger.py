"""Records by id, cause and incident, and the story that they tell together. Pure.

A record names its cause (`cause_id`) and, in incidents, its `incident_id`. The story of an id is what led to it (its
causes, and theirs) and what came of it, over both kinds of link, in order of time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from schemas.records import JobOutcome, JobRequest, Record, Remediation, RoutingDecision


@dataclass(frozen=True, slots=True)
class Entry:
    """One published record. `id` names it as a cause; `coordinates` is `topic:partition:offset`."""

    id: str
    topic: str
    key: str
    at: int
    record: Record
    coordinates: str

    @property
    def cause_id(self) -> str | None:
        cause = getattr(self.record, "cause_id", None)
        return cause if isinstance(cause, str) and cause else None

    @property
    def threads(self) -> tuple[str, ...]:
        """What this record belongs to besides its cause: an incident (its root's, its fault's), an action, a job."""
        found = [getattr(self.record, name, None) for name in ("incident_id", "action_id")]
        if isinstance(self.record, Remediation):
            found += [self.record.evidence.get(f"{name}_incident_id") for name in ("group_root", "inoculation")]
        if isinstance(self.record, RoutingDecision | JobOutcome):
            found.append(f"job:{self.record.job_id}")
        if isinstance(self.record, JobRequest):
            found.append(f"job:{self.record.id}")
        return tuple(t for t in found if isinstance(t, str) and t)

    @property
    def names(self) -> tuple[str, ...]:
        """Everything a user may ask for it by."""
        jobs = tuple(t.removeprefix("job:") for t in self.threads if t.startswith("job:"))
        return (self.id, self.coordinates, *self.threads, *jobs)


class Source(Protocol):
    """Where entries are looked up: a `Ledger` in memory or the read model."""

    def find(self, name: str) -> list[Entry]: ...

    def effects(self, name: str) -> list[Entry]: ...


class Ledger:
    """Entries, once each: a repeat of an id (same cause, at least once delivery) is the same entry."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._by_id: dict[str, Entry] = {}
        self._by_name: dict[str, list[str]] = {}
        self._effects: dict[str, list[str]] = {}
        for entry in entries:
            self.add(entry)

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, entry: Entry) -> bool:
        """False if an entry of that id is there already (the first copy is the decision)."""
        if entry.id in self._by_id:
            self._by_name.setdefault(entry.coordinates, []).append(entry.id)
            return False
        self._by_id[entry.id] = entry
        for name in entry.names:
            self._by_name.setdefault(name, []).append(entry.id)
        if entry.cause_id is not None:
            self._effects.setdefault(entry.cause_id, []).append(entry.id)
        return True

    def find(self, name: str) -> list[Entry]:
        """The entries that bear this id, incident id, action id, job id or coordinates."""
        return [self._by_id[i] for i in dict.fromkeys(self._by_name.get(name, ()))]

    def effects(self, name: str) -> list[Entry]:
        return [self._by_id[i] for i in self._effects.get(name, ())]

    def story(self, name: str) -> list[Entry]:
        return story(self, name)


def story(source: Source, name: str) -> list[Entry]:
    """All that led to `name` and came of it, by time, then stage; empty if nothing bears the name."""
    told: dict[str, Entry] = {}
    for entry in source.find(name):
        _walk(entry, told, lambda e: _causes(source, e))
        _walk(entry, told, lambda e: _consequences(source, e))
    return sorted(told.values(), key=lambda e: (e.at, _order(e.topic), e.coordinates))


def _walk(start: Entry, told: dict[str, Entry], onward: Callable[[Entry], list[Entry]]) -> None:
    waiting, seen = [start], set[str]()
    while waiting:
        current = waiting.pop()
        if current.id not in seen:
            seen.add(current.id)
            told[current.id] = current
            waiting += onward(current)


def _causes(source: Source, entry: Entry) -> list[Entry]:
    if entry.cause_id is None:
        return []
    return source.find(entry.cause_id) or source.find(_message(entry.cause_id))


def _consequences(source: Source, entry: Entry) -> list[Entry]:
    return source.effects(entry.id) + [other for thread in entry.threads for other in source.find(thread)]


_STAGES = (
    "discovery-events",
    "health-signals",
    "job-requests",
    "policies",
    "anomalies",
    "remediations",
    "action-outcomes",
    "recommendations",
    "routing-decisions",
)


def _order(topic: str) -> int:
    """Within one millisecond a cause is told before its effect."""
    return _STAGES.index(topic) if topic in _STAGES else len(_STAGES)


def _message(cause_id: str) -> str:
    """The message that holds a sample: `topic:partition:offset#row` without its row."""
    return cause_id.split("#", 1)[0]
