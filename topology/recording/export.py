"""`maestro log export`: topics and journal of a live system as replay lines, each for the machine that processed it.

A replay of these lines makes the same decisions, byte for byte, as the live system did (docs/adr/0004). What retention
or compaction has removed cannot be replayed; `Exported.missing` says so.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Protocol

import numpy as np

from schemas.columns import SampleColumns
from schemas.errors import DecodeError
from schemas.records import HealthSignalBatch, SeriesKey
from schemas.schema_ids import SchemaIds
from streams.atleastonce.batch import RawMessage
from streams.kit.layer import Event
from streams.runtime.ingest import Misplaced, Rules, read_event
from streams.runtime.samples import gather
from topology.recording.broker_log import BrokerLog
from topology.recording.journals import Entry, MachineJournal, by_machine
from topology.recording.lines import NOT_PURE, ViewUse, addressed_line, said_line, start_line, tick_line
from topology.settings import Settings
from topology.tables import LAYER_BY_NAME
from topology.topics import BY_NAME

SAMPLES = "health-signals"


@dataclass(slots=True)
class Exported:
    """`missing`: what keeps the replay from being exact, a line each; empty = it is."""

    lines: int = 0
    machines: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class Log(Protocol):
    """Where the topics are read: `BrokerLog`, or one made by hand."""

    def partitions(self, topic: str) -> Sequence[Sequence[RawMessage]]: ...


def export(broker: str, out: IO[bytes], settings: Settings, schema_ids: SchemaIds | None = None) -> Exported:
    """Writes the lines, machine by machine. The topics are read whole and kept in memory. Raises AdminError."""
    return export_log(BrokerLog(broker), out, settings, schema_ids)


def export_log(log: Log, out: IO[bytes], settings: Settings, schema_ids: SchemaIds | None = None) -> Exported:
    """As `export`, from a log that is at hand."""
    done = Exported()
    for name, journal in by_machine(log.partitions("journal")).items():
        if name.partition(":")[0] in NOT_PURE:
            continue
        done.machines.append(name)
        done.missing += journal.missing
        for line in _Machine(journal, log, settings, schema_ids, done.missing).lines():
            out.write(line)
            done.lines += 1
    return done


class _Machine:
    """Follows one machine's journal. `_view`: `topic:partition` -> next offset that is not in its view yet."""

    def __init__(
        self, journal: MachineJournal, log: Log, settings: Settings, ids: SchemaIds | None, missing: list[str]
    ) -> None:
        self._to, self._entries, self._log, self._missing = journal.machine, journal.entries, log, missing
        self._card = LAYER_BY_NAME[self._to.partition(":")[0]]
        topics = (*self._card.inputs, *self._card.views)
        self._rules = {name: _rules(name, len(log.partitions(name)), settings, ids) for name in topics}
        self._view: dict[str, int] | None = None

    def lines(self) -> Iterator[bytes]:
        for entry in self._entries:
            kind = entry[0]
            if kind == "start":
                yield from self._start(entry[1], entry[2])
            elif kind == "tick":
                yield tick_line(self._to, entry[1])
            elif kind == "said":
                yield said_line(self._to, entry[1:])
            elif kind == "in":
                yield from self._inputs(entry)
            else:
                yield from self._views(entry, shown=kind == "view")

    def _start(self, offsets: Mapping[str, int], clock: int) -> Iterator[bytes]:
        """The view as the worker had it when it took over. One that is behind its predecessor's is built anew."""
        keeps = self._view is not None and all(offsets.get(place, 0) >= at for place, at in self._view.items())
        yield start_line(self._to, clock, keeps_view=keeps)
        before = self._view if keeps and self._view is not None else {}
        waiting: list[tuple[int, int, RawMessage, str, int]] = []
        for rank, (place, end) in enumerate(sorted(offsets.items())):
            topic, partition = _parted(place)
            for message in _between(self._log.partitions(topic)[partition], before.get(place, 0), end - 1):
                waiting.append((message.timestamp, rank, message, topic, partition))
        # Each topic in its order; between topics as the broker took them, since no journal was kept yet.
        waiting.sort(key=lambda w: (w[0], w[1], w[2].offset))
        for _, _, message, topic, partition in waiting:
            yield from self._view_line(topic, partition, message, ViewUse.SEE)
        self._view = dict(offsets)

    def _views(self, entry: Entry, *, shown: bool) -> Iterator[bytes]:
        _, topic, partition, _, _ = entry
        view, place = self._view if self._view is not None else {}, f"{topic}:{partition}"
        for message in self._found(entry):
            is_new = message.offset >= view.get(place, 0)
            if is_new:
                view[place] = message.offset + 1
            use = (ViewUse.BOTH if is_new else ViewUse.SHOW) if shown else ViewUse.SEE
            if shown or is_new:
                yield from self._view_line(topic, partition, message, use)

    def _view_line(self, topic: str, partition: int, message: RawMessage, use: ViewUse) -> Iterator[bytes]:
        try:  # a view takes every partition, so the place of a record says nothing
            yield addressed_line(
                self._to, read_event(replace(self._rules[topic], partitions=1), partition, message), use
            )
        except DecodeError:
            return  # refused live as well

    def _inputs(self, entry: Entry) -> Iterator[bytes]:
        _, topic, partition, _, _ = entry
        rules = self._rules[topic]
        for message in self._found(entry):
            event = _samples(rules, partition, message) if topic == SAMPLES else _event(rules, partition, message)
            if event is not None:
                yield addressed_line(self._to, event)

    def _found(self, entry: Entry) -> Sequence[RawMessage]:
        _, topic, partition, first, last = entry
        found = _between(self._log.partitions(topic)[partition], first, last)
        if not found or (found[0].offset, found[-1].offset) != (first, last):
            gone = f"{topic}[{partition}] {first}..{last} is not there any more in full (retention or compaction)"
            self._missing.append(f"{self._to}: {gone}")
        return found


def _event(rules: Rules, partition: int, message: RawMessage) -> Event | None:
    """None = refused, or sent on to where it belongs, live as well."""
    try:
        return read_event(rules, partition, message)
    except (DecodeError, Misplaced):
        return None


def _samples(rules: Rules, partition: int, message: RawMessage) -> Event | None:
    """The samples of the message that were taken here; None = there were none."""
    found = gather(rules, partition, (message,)).columns
    if found is None or len(found) == 0:
        return None
    key = found.series_of(0).asset_id
    return Event(rules.topic, key, _as_batch(found), int(found.at.min()), f"{rules.topic}:{partition}:{message.offset}")


def _as_batch(found: SampleColumns) -> HealthSignalBatch:
    """Without the series that no sample is of: they may have no usable name."""
    used = np.unique(found.series_index)
    return HealthSignalBatch(
        source=found.source,
        series=tuple(
            SeriesKey(asset_id=key.asset_id, metric=key.metric, unit=key.unit)
            for key in (found.series[i] for i in used.tolist())
        ),
        series_index=tuple(np.searchsorted(used, found.series_index).tolist()),
        at=tuple(found.at.tolist()),
        value=tuple(found.value.tolist()),
    )


def _rules(topic: str, partitions: int, settings: Settings, schema_ids: SchemaIds | None) -> Rules:
    return Rules(
        topic=topic,
        records=BY_NAME[topic].records,
        partitions=partitions,
        max_future_ms=round(settings.max_future_s * 1000),
        max_bytes=settings.max_signal_bytes,
        schema_ids=schema_ids,
    )


def _between(messages: Sequence[RawMessage], first: int, last: int) -> Sequence[RawMessage]:
    """Those with offsets `first` to `last`."""
    start = bisect_left(messages, first, key=lambda m: m.offset)
    return messages[start : bisect_left(messages, last + 1, key=lambda m: m.offset)]


def _parted(place: str) -> tuple[str, int]:
    topic, _, partition = place.rpartition(":")
    return topic, int(partition)
