"""The journal's messages by machine, each once, and what is missing of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from streams.atleastonce.batch import RawMessage

Entry = list[Any]


@dataclass(slots=True)
class MachineJournal:
    """`entries` in the order in which the machine took them in; `missing` says in words what is not there."""

    machine: str
    entries: list[Entry] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    _taken: set[tuple[str, int]] = field(default_factory=set)
    _last: tuple[str, int] = ("", -1)

    def take(self, value: bytes) -> None:
        (_, tenure, number), *entries = orjson.loads(value)
        if (tenure, number) in self._taken:
            return  # a restore finished a flush whose outputs had been published before
        self._taken.add((tenure, number))
        self._note_gap(tenure, number, entries)
        self._last = tenure, number
        self.entries += entries

    def _note_gap(self, tenure: str, number: int, entries: Sequence[Entry]) -> None:
        known, last = self._last
        if number != (last + 1 if tenure == known else 0):
            self.missing.append(f"{self.machine}: the journal lacks what came before message {number} of {tenure}")
        elif known == "" and entries and entries[0][0] == "start" and entries[0][2] > 0:
            self.missing.append(f"{self.machine}: it had a past when its journal begins (retention)")


def by_machine(partitions: Iterable[Iterable[RawMessage]]) -> dict[str, MachineJournal]:
    """In order of the machines' names; a machine's messages are all in one partition."""
    found: dict[str, MachineJournal] = {}
    for messages in partitions:
        for message in messages:
            machine = (message.key or b"").decode()
            if message.value is not None:
                found.setdefault(machine, MachineJournal(machine)).take(message.value)
    return {name: found[name] for name in sorted(found, key=_order)}


def _order(machine: str) -> tuple[str, int]:
    layer, _, partition = machine.partition(":")
    return layer, int(partition)
