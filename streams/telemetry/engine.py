"""The telemetry layer: samples in, incidents out. Pure: event time only, rows are copied before they change.

`HealthMonitor` says what a sample means and whether it comes in order; `AnomalyDetector` scores it against the history
before it; `TelemetryLayer` keeps one row a series and publishes what happened. Samples may come one by one, in a batch
record or in columns: each is treated alone and in order, so that no result depends on how they were grouped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.columns import SampleColumns, of_batch
from schemas.records import AssetState, HealthSignal, HealthSignalBatch, RegisteredAsset
from streams.kit import ids
from streams.kit.layer import Event, Step
from streams.telemetry.detector import AnomalyDetector
from streams.telemetry.monitor import HealthMonitor
from streams.telemetry.settings import TelemetrySettings
from streams.telemetry.state import SeriesState, decode, encode
from streams.telemetry.work import Work

__all__ = ["AnomalyDetector", "HealthMonitor", "RemovedAssets", "TelemetryLayer", "series_key"]


@dataclass(slots=True)
class RemovedAssets:
    """The layer's view: assets that the registry has removed. Unknown assets are monitored: signals may come first."""

    ids: set[str] = field(default_factory=set)


def series_key(asset_id: str, metric: str) -> str:
    """Row key of a series; `metric` is the canonical name."""
    return ids.row_key("series", asset_id, metric)


class TelemetryLayer:
    """`streams.kit.layer.Layer[SeriesState, RemovedAssets]`."""

    name = "telemetry"
    inputs: tuple[str, ...] = ("health-signals",)
    views: tuple[str, ...] = ("assets",)

    def __init__(self, settings: TelemetrySettings | None = None) -> None:
        self.settings = settings or TelemetrySettings()
        self.monitor = HealthMonitor(self.settings)
        self.detector = AnomalyDetector(self.settings)

    def new_view(self) -> RemovedAssets:
        return RemovedAssets()

    def see(self, view: RemovedAssets, event: Event) -> None:
        asset = event.value
        if isinstance(asset, RegisteredAsset) and asset.state is not AssetState.REMOVED:
            view.ids.discard(event.key)
        elif event.topic == "assets":
            view.ids.add(event.key)

    def on_view(
        self, rows: Mapping[str, SeriesState], view: RemovedAssets, event: Event, now: int
    ) -> Step[SeriesState]:
        """A removed asset's series end at their next timer, so that no removal has to search the table."""
        return Step()

    def step(self, rows: Mapping[str, SeriesState], view: RemovedAssets, event: Event, now: int) -> Step[SeriesState]:
        value = event.value
        work = Work(self.monitor, self.detector, rows, view.ids, now)
        if isinstance(value, HealthSignal):
            work.sample(value.asset_id, value.metric, value.unit, value.at, value.value, event.cause_id)
        elif isinstance(value, HealthSignalBatch):
            columns = of_batch(value)
            names = message_rows(columns)
            work.columns(columns, lambda row: f"{event.cause_id}#{names[row]}")
        return work.done()

    def step_columns(
        self,
        rows: Mapping[str, SeriesState],
        view: RemovedAssets,
        columns: SampleColumns,
        causes: Callable[[int], str],
        clock: int = 0,
    ) -> Step[SeriesState]:
        """As `step` on each sample in turn. `causes(i)` names row i's cause: asked for emissions and last samples."""
        work = Work(self.monitor, self.detector, rows, view.ids, clock)
        work.columns(columns, causes)
        return work.done()

    def due_at(self, row: SeriesState) -> int | None:
        return row.timer_at or None

    def on_timer(self, rows: Mapping[str, SeriesState], view: RemovedAssets, key: str, now: int) -> Step[SeriesState]:
        row = rows.get(key)
        if row is None or now < row.timer_at:
            return Step()
        work = Work(self.monitor, self.detector, rows, view.ids, now)
        work.timer(key, now)
        return work.done()

    def encode_row(self, row: SeriesState) -> bytes:
        return encode(row)

    def decode_row(self, data: bytes) -> SeriesState:
        return decode(data)


def message_rows(columns: SampleColumns) -> Sequence[int]:
    """Row in the message as it was sent, for each row that was acceptable."""
    if not columns.rejected:
        return range(len(columns))
    refused = {r.row for r in columns.rejected}
    return [row for row in range(len(columns) + len(refused)) if row not in refused]
