"""The journal: in which order a partition of a layer took its inputs, its views and its idle ticks. Pure (ADR 4).

A message is a JSON array of entries, which are small arrays; a run of consecutive offsets is one entry:

    ["flush", "5f0c...", 3]                    the fourth message of this tenure of the partition; always first
    ["start", {"assets:0": 5}, 1700000000000]  a worker took the partition over: next offsets of its view, its clock
    ["in",   "job-requests", 2, 100, 117]      offsets 100..117 of job-requests[2]
    ["view", "assets", 0, 5, 5]                offset 5 of assets[0] was applied to the view (unless it was in it at
                                               the start) and shown to the layer
    ["seen", "assets", 0, 5, 5]                the same, not shown: the rows had seen it with another worker
    ["tick", 1700000060000]                    the clock was advanced while no input came
    ["said", ["opa", ...], ...]                answers from outside that the next entry's processing was given, in order

A flush that is finished by a restore publishes its message again: `tenure` and number tell it from a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import orjson

Json = list[Any]


@dataclass(slots=True)
class Journal:
    """Collects entries until they are taken for a flush."""

    entries: list[Json] = field(default_factory=list)
    tenure: str = field(default_factory=lambda: uuid4().hex[:16])
    flushes: int = 0

    def start(self, view_offsets: dict[str, int], clock: int) -> None:
        self.entries.append(["start", dict(sorted(view_offsets.items())), clock])

    def took(self, kind: str, topic: str, partition: int, first: int, last: int) -> None:
        """`kind` "in", "view" or "seen"; joined to the previous entry where it continues it."""
        if self.entries:
            previous = self.entries[-1]
            if previous[:3] == [kind, topic, partition] and previous[4] + 1 == first:
                previous[4] = last
                return
        self.entries.append([kind, topic, partition, first, last])

    def tick(self, at: int) -> None:
        if self.entries and self.entries[-1][0] == "tick":
            self.entries[-1][1] = at
        else:
            self.entries.append(["tick", at])

    def said(self, answers: Sequence[Json]) -> None:
        """Answers of policies that are not pure (ADR 16); before what was processed with them."""
        if answers:
            self.entries.append(["said", *answers])

    def take(self) -> bytes | None:
        """The entries since the last call as JSON, or None if there are none."""
        if not self.entries:
            return None
        taken, self.entries = self.entries, []
        number, self.flushes = self.flushes, self.flushes + 1
        return orjson.dumps([["flush", self.tenure, number], *taken])
