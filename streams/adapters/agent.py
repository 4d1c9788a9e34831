"""Runs converters on Faust: batches of a foreign topic in, `health-signals` and dead letters out, state in the table.

The foreign topic has its own partitions and keys, so there is no place to check; what comes out is keyed by asset.
Rates need the last total of their series: its row is in the table of the partition that the sender's messages are on.
A sender that spreads one series over partitions has a rate of each of them, over longer intervals.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from schemas.columns import SampleColumns, Series
from schemas.errors import DecodeError, TooLarge
from schemas.samples import encode_samples
from schemas.schema_ids import SchemaIds
from schemas.wire import Wire
from streams.adapters.converter import Converter
from streams.adapters.formats import read
from streams.adapters.points import told
from streams.adapters.rounds import Figure
from streams.adapters.rows import Rows
from streams.adapters.settings import IntakeSettings
from streams.atleastonce import App, Batch, Message, Output, RawMessage, dead_letter
from streams.runtime.attach import AppHost, Batches
from streams.runtime.counters import Counters
from streams.runtime.host import Host
from streams.runtime.ingest import refusal
from streams.runtime.stepping import in_steps

log = structlog.get_logger()
SIGNALS = "health-signals"
KEPT_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """One foreign topic and how it is read."""

    name: str
    topic: str
    format: str
    intake: IntakeSettings
    max_bytes: int
    max_future_ms: int
    wire: Wire = Wire.SINGLE_OBJECT
    schema_ids: SchemaIds | None = None


class AdapterRunner:
    """One adapter on one app; what `LayerRunner` is for a layer, without views, clock and journal: nothing is decided
    here, and a replay of decisions begins with what this publishes.
    """

    def __init__(self, config: AdapterConfig, host: Host) -> None:
        self.config, self.host = config, host
        self.counters = Counters()
        self.points: Counter[str] = Counter()
        self.owned: dict[int, Converter] = {}
        self._warned: set[str] = set()

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def views_ready(self) -> None: ...

    def gained(self, partition: int) -> None:
        rows = Rows(self.config.intake.state_rows, self.host.rows(partition))
        self.owned[partition] = Converter(self.config.intake, rows)

    def lost(self, partition: int) -> None:
        self.owned.pop(partition, None)

    async def run(self, batches: Batches) -> None:
        """The body of the agent."""
        async for step in in_steps(batches):
            self.process(step)

    def process(self, batch: Batch) -> None:
        """Takes the batch in and stages what follows."""
        if batch.partition not in self.owned:
            self.gained(batch.partition)
        converter = self.owned[batch.partition]
        figures: list[Figure] = []
        outputs: list[Output] = []
        self.counters.taken += len(batch.messages)
        for message in batch.messages:
            try:
                reading = read(self.config.format, message.value, self.config.intake, self.config.max_bytes)
            except DecodeError as error:
                self.counters.refused += 1
                outputs.append(refused(batch, message, error))
                continue
            reading.refuse_after(message.timestamp + self.config.max_future_ms)
            if reading.faults:
                self.counters.refused += len(reading.faults)
                first = reading.faults[0].code.value
                outputs.append(dead_letter(batch.topic, batch.partition, message, first, told(reading.faults)))
            figures += converter.take(reading)
        self._count(converter)
        signals = list(self._signals(figures))
        self.counters.emitted += len(signals)
        self.counters.by_topic[SIGNALS] = self.counters.by_topic.get(SIGNALS, 0) + len(signals)
        self.host.stage(
            batch.partition,
            rows=converter.rows.take_changes(),
            outputs=[*outputs, *signals],
            applied={batch.topic: batch.next_offset},
        )

    def _count(self, converter: Converter) -> None:
        self.points.update(converter.counts)
        converter.counts.clear()
        for unit in sorted(converter.unknown_units - self._warned):
            log.warning("unit is not known, values are kept as they come", adapter=self.config.name, unit=unit)
        self._warned |= converter.unknown_units

    def _signals(self, figures: Sequence[Figure]) -> Iterator[Output]:
        headers = (("content-type", self.config.wire.value.encode()),)
        for asset_id, columns in columns_by_asset(figures, self.config.name, self.config.intake.max_rows_per_record):
            value = encode_samples(columns, self.config.wire, schema_ids=self.config.schema_ids)
            yield Output(SIGNALS, asset_id.encode(), value, headers)


def refused(batch: Batch, message: Message, error: DecodeError) -> Output:
    """The dead letter. A foreign topic may carry what ours cannot: of a message too large, the beginning is kept."""
    code, reason = refusal(error)
    if isinstance(error, TooLarge):
        reason += f"; the first {KEPT_BYTES} bytes are here, all of it is where it was"
        start = bytes(message.value or b"")[:KEPT_BYTES]
        message = RawMessage(message.offset, message.timestamp, (message.key or b"")[:KEPT_BYTES], start)
    return dead_letter(batch.topic, batch.partition, message, code, reason)


def columns_by_asset(figures: Sequence[Figure], source: str, most_rows: int) -> Iterator[tuple[str, SampleColumns]]:
    """Each asset's samples in their order, at most `most_rows` at a time. Figures beyond any number are left out."""
    of_asset: dict[str, list[Figure]] = {}
    for figure in figures:
        if math.isfinite(figure.value):
            of_asset.setdefault(figure.asset_id, []).append(figure)
    for asset_id, found in of_asset.items():
        for start in range(0, len(found), most_rows):
            yield asset_id, _columns(found[start : start + most_rows], source)


def _columns(figures: Sequence[Figure], source: str) -> SampleColumns:
    index: dict[Series, int] = {}
    rows = [index.setdefault(Series(f.asset_id, f.metric, f.unit), len(index)) for f in figures]
    return SampleColumns(
        tuple(index),
        np.array(rows, np.int32),
        np.array([f.at for f in figures], np.int64),
        np.array([f.value for f in figures], np.float64),
        source,
    )


def register(app: App, config: AdapterConfig) -> AdapterRunner:
    """One agent on the adapter's topic; its rows are in the app's table."""
    runner = AdapterRunner(config, AppHost(app))

    async def gained(partition: int) -> None:
        runner.gained(partition)

    async def lost(partition: int) -> None:
        runner.lost(partition)

    async def adapter(batches: Batches) -> None:
        await runner.run(batches)

    app.on_partition_ready, app.on_partition_lost = gained, lost
    app.agent(app.batches, name=config.name)(adapter)
    return runner
