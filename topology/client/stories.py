"""The story behind an id, from the read model or from the topics themselves; both tell the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from schemas.records import HealthSignal, HealthSignalBatch
from streams.command.ledger import Entry, Ledger, Source, story
from streams.command.sentences import sentence
from topology.client.reading import Read
from topology.topics import BY_NAME

Fetch = Callable[[str, int, int], Read | None]
_COORDINATES = re.compile(r"([a-z-]+):(\d+):(\d+)(?:#(\d+))?")


@dataclass(frozen=True, slots=True)
class Story:
    """`sentences[i]` tells `entries[i]`; `source` is "read model" or "topics". No entries: nothing bears the name."""

    name: str
    entries: tuple[Entry, ...]
    sentences: tuple[str, ...]
    source: str

    def __bool__(self) -> bool:
        return bool(self.entries)


class WithSamples:
    """A source that also finds what it does not hold (samples, above all) by its coordinates on the broker."""

    def __init__(self, held: Source, fetch: Fetch) -> None:
        self._held = held
        self._fetch = fetch
        self._fetched: dict[str, list[Entry]] = {}

    def find(self, name: str) -> list[Entry]:
        return self._held.find(name) or self._by_coordinates(name)

    def effects(self, name: str) -> list[Entry]:
        return self._held.effects(name)

    def _by_coordinates(self, name: str) -> list[Entry]:
        match = _COORDINATES.fullmatch(name)
        if match is None or match[1] not in BY_NAME:
            return []
        if name not in self._fetched:
            read = self._fetch(match[1], int(match[2]), int(match[3]))
            entry = read.entry() if read is not None else None
            if entry is not None and match[4] is not None:
                entry = sample_of(entry, int(match[4]))
            self._fetched[name] = [entry] if entry is not None else []
        return self._fetched[name]


def sample_of(batch: Entry, row: int) -> Entry | None:
    """One row of a batch as the sample that it is, at its own time; None if the batch has no such usable row."""
    record = batch.record
    if not isinstance(record, HealthSignalBatch) or row >= len(record.value):
        return None
    index = record.series_index[row]
    if not 0 <= index < len(record.series):
        return None
    key = record.series[index].model_dump()
    try:
        sample = HealthSignal(**key, value=record.value[row], at=record.at[row], source=record.source)
    except ValidationError:
        return None
    return Entry(f"{batch.id}#{row}", batch.topic, key["asset_id"], sample.at, sample, batch.coordinates)


def tell_story(name: str, held: Source, fetch: Fetch, source: str) -> Story:
    entries = tuple(story(WithSamples(held, fetch), name))
    return Story(name, entries, tuple(sentence(entry.record) for entry in entries), source)


def ledger_of(reads: Iterable[Read]) -> Ledger:
    """The reads of several partitions in an order of their own, so that the same copy of a repeat is the first."""
    ordered = sorted(reads, key=lambda r: (r.topic, r.partition, r.offset))
    return Ledger(entry for read in ordered if (entry := read.entry()) is not None)
