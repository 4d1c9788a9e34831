"""The telemetry layer with the peers' z-score in the place of its detector, so that path and detector cost apart.

All else is the product's own: consumer, gathering, admission, table and row (872 bytes, of which 544 are written
here), changelog, store, flush and its order. There are no timers, no order of times and no incidents: as in the peers,
each value that is far off is told in a message of its cause.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.columns import SampleColumns
from streams.atleastonce import App
from streams.atleastonce.batch import Batch, Headers, Output
from streams.kit.kernel import kernel
from streams.kit.layer import Emission
from streams.runtime.attach import Batches, attach
from streams.runtime.owned import Owned
from streams.runtime.runner import LayerRunner, RunnerConfig
from streams.telemetry.assets import Assets
from streams.telemetry.block import DONE, STRANGER, Changes, Places, Samples, note
from streams.telemetry.engine import TelemetryLayer
from streams.telemetry.observing import usable
from streams.telemetry.partition import TelemetryPartition
from streams.telemetry.record import SERIES
from streams.telemetry.telling import Causes
from topology.bench.work import ALARM_Z, ANOMALIES, MEAN_OF_RECENT, RECENT, RING, SQUARES_OF_RECENT

_PLACE = {name: SERIES.fields[name][1] for name in ("cause_number", "level", "offset", "samples", "cause_row", "age")}  # type: ignore[index]
ROW = np.dtype(
    {
        "names": ["cause_number", "slope", "z", "samples", "cause_row", "ring"],
        "formats": ["<i8", "<f8", "<f8", "<i4", "<i4", ("<f8", RING)],
        "offsets": list(_PLACE.values()),
        "itemsize": SERIES.itemsize,
    }
)
"""Over the bytes of a series' record: what the table itself looks at is where it is, the rest is the toy's."""
HEADERS: Headers = (("content-type", b"avro/binary"),)
"""Kafka Streams forwards those of the message."""


class ToyPartition(TelemetryPartition):
    def on_columns(self, columns: SampleColumns, causes: Causes) -> list[Emission]:
        """The rows of the values that are far off, with their causes and no records."""
        if not len(columns):
            return []
        series, index = self._interned(columns) if len(columns.series) == 1 else (columns.series, columns.series_index)
        samples, prefix = self._samples(index, columns, causes)
        far_off, size = np.empty(len(columns), np.int32), np.zeros(1, np.int64)
        row, is_welcome = 0, False
        while True:
            places, table = self._senders.places_of(series), self.table
            row, why = _run(
                row, is_welcome, samples, places, table.records.view(ROW), table.changes, table.prefix, prefix,
                self._clock, far_off, size,
            )  # fmt: skip
            if why == DONE:
                break
            number = int(samples.number[row])
            places.slot[number], places.factor[number] = self._admission.slot_of(series[number], row, self.clock)
            is_welcome = bool(places.slot[number] >= 0)
            row += not is_welcome
        told = [(i, series[samples.number[i]].asset_id) for i in far_off[: size[0]].tolist()]
        return [Emission(ANOMALIES, key, None, int(samples.at[i]), causes(i)) for i, key in told]


class ToyLayer(TelemetryLayer):
    def partition(self, view: Assets, clock: int = 0) -> ToyPartition:
        return ToyPartition(self, view, clock)


class ToyRunner(LayerRunner):
    """Publishes what Kafka Streams does: the cause as text, under the key of the message."""

    def _samples(self, owned: Owned, batch: Batch) -> tuple[list[Emission], list[Output]]:
        emissions, outputs = super()._samples(owned, batch)
        return [], [*outputs, *(Output(e.topic, e.key.encode(), e.cause_id.encode(), HEADERS) for e in emissions)]


def register(app: App, layer: TelemetryLayer, config: RunnerConfig) -> LayerRunner:
    """As the telemetry layer's own."""
    runner = attach(app, ToyLayer(layer.settings), config, ToyRunner)

    async def telemetry(batches: Batches) -> None:
        await runner.run(batches)

    app.agent(app.batches, name="telemetry")(telemetry)
    return runner


@kernel
def _run(
    start: int,
    is_welcome: bool,
    samples: Samples,
    places: Places,
    rows: NDArray[np.void],
    changes: Changes,
    prefixes: NDArray[np.int32],
    prefix: int,
    clock: NDArray[np.int64],
    far_off: NDArray[np.int32],
    size: NDArray[np.int64],
) -> tuple[int, int]:
    """As `block.run`."""
    for i in range(start, len(samples.at)):
        number = samples.number[i]
        slot = places.slot[number]
        x = samples.value[i] * places.factor[number]
        if samples.at[i] > clock[0]:
            clock[0] = samples.at[i]
        if not usable(x):
            continue
        if slot < 0 or (rows[slot].samples == 0 and not (is_welcome and i == start)):
            return i, STRANGER
        row = rows[slot]
        observe(row, x)
        row.cause_number = samples.cause_number[i]
        row.cause_row = samples.cause_row[i]
        prefixes[slot] = prefix
        note(changes, slot)
        if abs(row.z) > ALARM_Z:
            far_off[size[0]] = i
            size[0] += 1
    return len(samples.at), DONE


@kernel
def observe(row: Any, x: float) -> None:
    """One value, as `Scorer.observe` of the Kafka Streams peer does it, operation by operation."""
    ring, seen = row.ring, row.samples
    known = min(seen, RING)
    z = 0.0
    if known > 1:
        mean = 0.0
        for k in range(known):
            mean += ring[k]
        mean /= known
        squares = 0.0
        for k in range(known):
            off = ring[k] - mean
            squares += off * off
        deviation = np.sqrt(squares / known)
        z = (x - mean) / (deviation if deviation > 0.0 else 1.0)
    ring[seen % RING] = x
    seen += 1
    slope = 0.0
    if seen >= RECENT:
        for k in range(RECENT):
            slope += (k - MEAN_OF_RECENT) * ring[(seen - RECENT + k) % RING]
    row.samples, row.slope, row.z = seen, slope / SQUARES_OF_RECENT, z
