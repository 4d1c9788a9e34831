"""The gatherers of one layer. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from streams.atleastonce.batch import Batch
from streams.runtime.ingest import Rules
from streams.runtime.sample_messages import Gathered
from streams.runtime.samples import Gatherer


class Gatherers:
    """The gatherers of a layer, one for each topic partition that it owns."""

    def __init__(self, rules: Mapping[str, Rules]) -> None:
        self._rules = rules
        self._of: dict[tuple[str, int], Gatherer] = {}

    def gather(self, batch: Batch) -> Gathered:
        place = batch.topic, batch.partition
        if place not in self._of:
            self._of[place] = Gatherer(self._rules[batch.topic], batch.partition)
        return self._of[place].gather(batch.messages)

    def lost(self, partition: int) -> None:
        self._of = {place: gatherer for place, gatherer in self._of.items() if place[1] != partition}
