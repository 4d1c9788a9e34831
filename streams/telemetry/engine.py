"""The telemetry layer: samples in, incidents out. Pure: event time only, rows are copied before they change.

`HealthMonitor` says what a sample means and whether it comes in order; `AnomalyDetector` scores it against the history
before it; `TelemetryLayer` keeps one row a series and publishes what happened. Samples may come one by one, in a batch
record or in columns: each is treated alone and in order, so that no result depends on how they were grouped. Live and
in replay a `TelemetryPartition` holds the rows; the layer's own steps use a small one of the rows that they need.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from schemas.columns import SampleColumns
from schemas.records import HealthSignal, HealthSignalBatch, SeriesKey
from streams.kit import ids
from streams.kit.layer import Event, Step
from streams.telemetry.assets import Assets
from streams.telemetry.detector import AnomalyDetector
from streams.telemetry.monitor import HealthMonitor
from streams.telemetry.partition import TelemetryPartition
from streams.telemetry.scratch import numbers
from streams.telemetry.settings import TelemetrySettings
from streams.telemetry.state import SeriesState, decode, encode

__all__ = ["AnomalyDetector", "Assets", "HealthMonitor", "TelemetryLayer", "series_key"]


def series_key(asset_id: str, metric: str) -> str:
    """Row key of a series; `metric` is the canonical name."""
    return ids.row_key("series", asset_id, metric)


class TelemetryLayer:
    """`streams.kit.layer.Layer[SeriesState, Assets]`."""

    name = "telemetry"
    inputs: tuple[str, ...] = ("health-signals",)
    views: tuple[str, ...] = ("assets",)

    def __init__(self, settings: TelemetrySettings | None = None) -> None:
        self.settings = settings or TelemetrySettings()
        self.monitor = HealthMonitor(self.settings)
        self.numbers = numbers(self.settings)

    def new_view(self) -> Assets:
        return Assets()

    def see(self, view: Assets, event: Event) -> None:
        if event.topic == "assets":
            view.see(event)

    def on_view(self, rows: Mapping[str, SeriesState], view: Assets, event: Event, now: int) -> Step[SeriesState]:
        """A removed asset's series end at their next timer, so that no removal has to search the table."""
        return Step()

    def step(self, rows: Mapping[str, SeriesState], view: Assets, event: Event, now: int) -> Step[SeriesState]:
        value = event.value
        if isinstance(value, HealthSignal):
            named: Sequence[HealthSignal | SeriesKey] = (value,)
        elif isinstance(value, HealthSignalBatch):
            named = value.series
        else:
            return Step()
        part = self._part(rows, view, {series_key(s.asset_id, self._name(s.metric, s.unit)) for s in named}, now)
        emissions = part.take(event)
        return Step(part.take_changes(), tuple(emissions))

    def step_columns(
        self,
        rows: Mapping[str, SeriesState],
        view: Assets,
        columns: SampleColumns,
        causes: Callable[[int], str],
        clock: int = 0,
    ) -> Step[SeriesState]:
        """As `step` on each sample in turn. `causes(i)` names row i's cause: asked for emissions and last samples."""
        columns = columns.compact()
        keys = {series_key(s.asset_id, self._name(s.metric, s.unit)) for s in columns.series}
        part = self._part(rows, view, keys, clock)
        emissions = part.on_columns(columns, causes)
        return Step(part.take_changes(), tuple(emissions))

    def due_at(self, row: SeriesState) -> int | None:
        return row.timer_at or None

    def on_timer(self, rows: Mapping[str, SeriesState], view: Assets, key: str, now: int) -> Step[SeriesState]:
        part = self._part(rows, view, {key}, now)
        emissions = part.advance(now)
        return Step(part.take_changes(), tuple(emissions))

    def partition(self, view: Assets, clock: int = 0) -> TelemetryPartition:
        """What holds the rows of a partition live and in replay, in place of `streams.kit.partition.Partition`."""
        return TelemetryPartition(self, view, clock)

    def encode_row(self, row: SeriesState) -> bytes:
        return encode(row)

    def decode_row(self, data: bytes) -> SeriesState:
        return decode(data)

    def _part(
        self, rows: Mapping[str, SeriesState], view: Assets, keys: Collection[str], clock: int
    ) -> TelemetryPartition:
        """A partition of the rows that one step is about."""
        part = TelemetryPartition(self, view, clock)
        part.put({key: rows[key] for key in sorted(keys) if key in rows})
        return part

    def _name(self, metric: str, unit: str) -> str:
        return self.monitor.meaning(metric, unit).metric
