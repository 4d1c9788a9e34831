"""Runs one layer on one Faust app: batches, view records and idle ticks in; rows and records out, in one flush.

Everything that touches a partition runs on the event loop without awaiting in between, so a partition has one order of
inputs, and the journal tells it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from schemas.errors import DecodeError
from schemas.schema_ids import SchemaIds
from schemas.wire import Wire
from streams.atleastonce.batch import Batch, Output, dead_letter
from streams.kit.layer import Emission, Layer
from streams.kit.machine import Changed
from streams.policy.recorded import Tape
from streams.runtime.counters import Counters
from streams.runtime.gatherers import Gatherers
from streams.runtime.host import Host
from streams.runtime.ingest import Misplaced, Rules, read_event, refusal, sent_on
from streams.runtime.owned import RUNTIME_ROW, Owned, restored
from streams.runtime.publish import as_output
from streams.runtime.refused import letters
from streams.runtime.stepping import in_steps
from streams.runtime.views import ViewReader, ViewRecord
from streams.runtime.warm_up import warm_up

log = structlog.get_logger()
KEPT_VIEW_RECORDS = 100_000
"""How far back a partition that is taken over can be shown what it missed; older records are only in the view."""
JOURNAL_ENTRIES = 1_000
"""So many wait for a flush at most: a layer without input still takes in views, for days on end."""


@dataclass(frozen=True, slots=True)
class RunnerConfig:
    """`inputs` and `views` by topic; `tick_s`: how often idle partitions are looked at."""

    inputs: Mapping[str, Rules]
    views: Mapping[str, Rules]
    broker: str
    wire: Wire = Wire.SINGLE_OBJECT
    schema_ids: SchemaIds | None = None
    tick_s: float = 0.25
    journal_topic: str | None = None
    reports: frozenset[str] = frozenset()
    """Topics whose refused and misplaced records this layer sends on. One layer does for each topic, or there would be
    as many dead letters as readers."""
    tape: Tape | None = None
    """Where policies that are not pure leave their answers, for the journal (ADR 16)."""


class LayerRunner:
    """One layer on one app. `start` before the app starts, `stop` after it has stopped."""

    def __init__(self, layer: Layer[Any, Any], config: RunnerConfig, host: Host) -> None:
        self.layer, self.config, self.host = layer, config, host
        self.counters = Counters()
        self.view = layer.new_view()
        self.owned: dict[int, Owned] = {}
        self._columns = hasattr(layer, "step_columns")
        self._offsets: dict[str, int] = {}
        self._recent: deque[ViewRecord] = deque(maxlen=KEPT_VIEW_RECORDS)
        self._waiting: set[int] = set()
        self._gatherers = Gatherers(config.inputs)
        self.on_loaded: Callable[[int, Owned], None] = lambda _partition, _owned: None
        self._reader = ViewReader(config.broker, config.views, self.take_views, host.fail, f"maestro-{layer.name}")
        self._ticker: asyncio.Task[None] | None = None

    # --- life ---

    async def start(self) -> None:
        """Compiles what there is to compile, and begins to read the views; `views_ready` tells when they are whole."""
        for rules in self.config.inputs.values() if self._columns else ():
            await asyncio.to_thread(warm_up, self.layer, rules)
        self._reader.start()
        self._ticker = asyncio.create_task(self._tick(), name=f"{self.layer.name}-tick")
        self._ticker.add_done_callback(self._ticker_ended)

    async def stop(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
        await self._reader.stop()

    async def views_ready(self) -> None:
        """Returns when the views are whole."""
        await self._reader.ready.wait()

    def gained(self, partition: int) -> None:
        """The partition is ours and its table is restored."""
        if self._reader.ready.is_set():
            self._load(partition)
        else:
            self._waiting.add(partition)

    def lost(self, partition: int) -> None:
        """Everything of it was flushed, or will be read again by its new owner."""
        self._waiting.discard(partition)
        self.owned.pop(partition, None)
        self._gatherers.lost(partition)

    def _load(self, partition: int) -> None:
        self._waiting.discard(partition)
        owned = restored(self.layer, self.view, self.host.rows(partition), dict(self._offsets), self.config.tape)
        self.owned[partition] = owned
        self.on_loaded(partition, owned)
        for record in self._recent:
            self._show(partition, owned, record, again=True)

    # --- input ---

    async def run(self, batches: AsyncIterator[Batch]) -> None:
        """The body of the layer's agent."""
        await self.views_ready()
        async for step in in_steps(batches):
            self.process(step)

    def process(self, batch: Batch) -> None:
        """Takes the batch in and stages what follows."""
        if batch.partition not in self.owned:
            self._load(batch.partition)
        owned = self.owned[batch.partition]
        self.counters.taken += len(batch.messages)
        if self._columns:
            emissions, outputs = self._samples(owned, batch)
        else:
            emissions, outputs = self._events(owned, batch)
        owned.took_in(batch.topic, batch.partition, batch.messages[0].offset, batch.messages[-1].offset)
        self.commit(batch.partition, owned, emissions, outputs, {batch.topic: batch.next_offset})

    def _samples(self, owned: Owned, batch: Batch) -> tuple[list[Emission], list[Output]]:
        found = self._gatherers.gather(batch)
        outputs = self._reported(batch.topic, found.outputs, found.refused, found.sent_on)
        if found.columns is None or len(found.columns) == 0:
            return [], outputs
        emissions = owned.machine.on_columns(found.columns, found.causes)
        refused = owned.machine.take_refused()
        self.counters.refused += len(refused.rows)
        self.counters.dropped += refused.not_told
        return emissions, outputs + letters(batch, found.causes, refused.rows)

    def _events(self, owned: Owned, batch: Batch) -> tuple[list[Emission], list[Output]]:
        rules = self.config.inputs[batch.topic]
        emissions: list[Emission] = []
        outputs: list[Output] = []
        refused = sent = 0
        for message in batch.messages:
            try:
                event = read_event(rules, batch.partition, message)
            except DecodeError as error:
                refused += 1
                outputs.append(dead_letter(batch.topic, batch.partition, message, *refusal(error)))
            except Misplaced as elsewhere:
                sent += 1
                outputs.append(sent_on(batch.topic, elsewhere.key, message))
            else:
                emissions += owned.machine.on_event(event)
        return emissions, self._reported(batch.topic, outputs, refused, sent)

    def _reported(self, topic: str, outputs: list[Output], refused: int, sent: int) -> list[Output]:
        """What this layer says about input that it did not take: nothing, where another layer says it."""
        if topic not in self.config.reports:
            return []
        self.counters.refused += refused
        self.counters.sent_on += sent
        return outputs

    # --- views and time ---

    def take_views(self, records: Sequence[ViewRecord]) -> None:
        """Records of the view topics, in order per partition: into the view, then to the rows that care."""
        for record in records:
            self._offsets[f"{record.topic}:{record.partition}"] = record.offset + 1
            self._recent.append(record)
            if record.event is None:
                log.warning(
                    "refused a record of a view", topic=record.topic, offset=record.offset, reason=record.reason
                )
            else:
                self.layer.see(self.view, record.event)
            for partition, owned in self.owned.items():
                self._show(partition, owned, record)

    def _show(self, partition: int, owned: Owned, record: ViewRecord, *, again: bool = False) -> None:
        if record.event is not None:
            self.commit(partition, owned, owned.on_view(record, again=again))
        elif partition == 0 and record.topic in self.config.reports and owned.is_new_refusal(record):
            self.counters.refused += 1
            letter = dead_letter(record.topic, record.partition, record.message, record.code, record.reason)
            self.host.stage(0, rows={RUNTIME_ROW: owned.runtime_row()}, outputs=[letter], applied={})

    async def _tick(self) -> None:
        await self.views_ready()
        for partition in sorted(self._waiting):
            self._load(partition)
        while True:
            await asyncio.sleep(self.config.tick_s)
            for partition, owned in list(self.owned.items()):
                self.commit(partition, owned, owned.on_silence())

    def _ticker_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.host.fail(error)

    # --- output ---

    def journal_of(self, partition: int) -> Sequence[Output]:
        """What the flush that is about to begin adds: the journal of what led to it (ADR 4)."""
        owned = self.owned.get(partition)
        entries = None if owned is None else owned.journal.take()
        if entries is None or self.config.journal_topic is None:
            return ()
        return (Output(self.config.journal_topic, f"{self.layer.name}:{partition}".encode(), entries),)

    def late_rows(self, partition: int) -> Changed:
        """The rows that the flush takes along that is about to begin: those of samples change in every batch."""
        owned = self.owned.get(partition)
        return () if owned is None else owned.machine.take_encoded()

    def commit(
        self,
        partition: int,
        owned: Owned,
        emissions: Sequence[Emission],
        outputs: Sequence[Output] = (),
        applied: Mapping[str, int] | None = None,
    ) -> None:
        """Stages what there is; of changed rows of samples only that there are some (`late_rows`)."""
        changed = owned.machine.changes
        if not (changed or emissions or outputs or applied or len(owned.journal.entries) >= JOURNAL_ENTRIES):
            return
        rows = {} if self._columns else owned.changed_rows()
        rows[RUNTIME_ROW] = owned.runtime_row()
        encoded = [as_output(e, self.layer.name, self.config.wire, self.config.schema_ids) for e in emissions]
        for emission in emissions:
            self.counters.by_topic[emission.topic] = self.counters.by_topic.get(emission.topic, 0) + 1
        self.counters.emitted += len(encoded)
        self.host.stage(partition, rows=rows, outputs=[*outputs, *encoded], applied=applied or {})
