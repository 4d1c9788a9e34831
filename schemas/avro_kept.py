"""What was written to Avro is not written again: arrays of records, and records about the same others. By identity.

Decisions on jobs of one kind have the same candidates and, but for id, time and cause, the same objects in every field.
What is known by its identity is kept too, so that nothing else can get its place meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from operator import is_, itemgetter
from typing import Any

from schemas.records import Record

Append = Callable[[bytes], None]
Write = Callable[[Append, Any], None]
KEPT_FROM, ARRAYS_KEPT = 4, 256
"""Records that an array must have to be kept, and how many arrays are: the candidates of jobs that ask for the same."""

Part = bytes | int
"""Bytes that are ready, or the place of a field that must be written."""


def record_about(about: str, members: list[tuple[str, Write]]) -> Write:
    """Writes a record with an array of others (`about`); `members` are its fields, in order, with their writers."""
    writers = [one for _, one in members]
    values_of = itemgetter(*(name for name, _ in members))
    known: dict[int, tuple[tuple[object, ...], list[bytes], dict[tuple[bool, ...], list[Part]]]] = {}

    def bytes_of(one: Write, value: object) -> bytes:
        parts: list[bytes] = []
        one(parts.append, value)
        return b"".join(parts)

    def parts_of(same: tuple[bool, ...], written: list[bytes]) -> list[Part]:
        places = enumerate(zip(same, written, strict=True))
        runs = groupby(places, key=lambda place: place[1][0])
        return [
            part
            for ready, run in runs
            for part in ([b"".join(data for _, (_, data) in run)] if ready else [place for place, _ in run])
        ]

    def record(append: Append, value: Record) -> None:
        fields = value.__dict__
        values, others = values_of(fields), fields[about]
        if type(others) is not tuple or len(others) < KEPT_FROM:
            for one, member in zip(writers, values, strict=True):
                one(append, member)
            return
        before = known.get(id(others))
        if before is None:
            if len(known) >= ARRAYS_KEPT:
                known.clear()
            written = [bytes_of(one, member) for one, member in zip(writers, values, strict=True)]
            before = known[id(others)] = values, written, {}
        same = tuple(map(is_, values, before[0]))
        parts = before[2].get(same)
        if parts is None:
            parts = before[2][same] = parts_of(same, before[1])
        for part in parts:
            if type(part) is int:
                writers[part](append, values[part])
            else:
                append(part)  # type: ignore[arg-type]

    return record


def array_kept(items: Write) -> Write:
    """Of a tuple of records, which never changes: what comes again as the same object is written once."""
    known: dict[int, tuple[object, bytes]] = {}

    def once(append: Append, value: object) -> None:
        if type(value) is not tuple or len(value) < KEPT_FROM:
            items(append, value)
            return
        found = known.get(id(value))
        if found is None:
            if len(known) >= ARRAYS_KEPT:
                known.clear()
            parts: list[bytes] = []
            items(parts.append, value)
            found = known[id(value)] = value, b"".join(parts)
        append(found[1])

    return once
