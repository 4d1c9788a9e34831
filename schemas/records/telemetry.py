"""Samples in, incidents and rolling snapshots out."""

from __future__ import annotations

import math

from pydantic import ConfigDict, Field, field_validator, model_validator

from schemas.records.base import EventTime, Finite, Int64, Labels, Name, NonNegative, Record, Scalars, Share
from schemas.records.enums import AnomalyKind, AnomalyState, Direction, Severity


class HealthSignal(Record):
    asset_id: Name
    metric: Name
    value: Finite
    unit: str = ""
    at: EventTime
    tags: Labels = Field(default_factory=dict)
    source: str = ""
    trace_id: str | None = None


class SeriesKey(Record):
    asset_id: Name
    metric: Name
    unit: str = ""


class HealthSignalBatch(Record):
    """Many samples in columns; `series_index[i]`, `at[i]`, `value[i]` are one sample.

    Values are not checked here: a bad row loses that row, not the batch (the telemetry agent reports it).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True)

    source: str = ""
    series: tuple[SeriesKey, ...]
    series_index: tuple[int, ...]
    at: tuple[int, ...]
    value: tuple[float, ...]

    @field_validator("value", mode="before")
    @classmethod
    def _null_is_not_a_number(cls, column: object) -> object:
        """JSON has no NaN: its `null` (also what NaN is written as) costs its row, not the batch."""
        if isinstance(column, list | tuple):
            return tuple(math.nan if value is None else value for value in column)
        return column

    @model_validator(mode="after")
    def _columns_are_equally_long(self) -> HealthSignalBatch:
        if not len(self.series_index) == len(self.at) == len(self.value):
            raise ValueError(
                f"columns differ in length: series_index {len(self.series_index)}, "
                f"at {len(self.at)}, value {len(self.value)}"
            )
        return self


class Anomaly(Record):
    id: Name
    incident_id: Name
    state: AnomalyState
    asset_id: Name
    metric: Name
    kind: AnomalyKind
    severity: Severity
    score: NonNegative
    direction: Direction
    value: Finite | None
    expected: Finite | None
    slope_per_s: Finite
    confidence: Share
    at: EventTime
    started_at: EventTime
    cause_id: str
    evidence: Scalars = Field(default_factory=dict)
    reason: str


class Performance(Record):
    """Snapshot per asset over its rolling window; None = not reported (never counted as 0)."""

    asset_id: Name
    at: EventTime
    window_s: NonNegative
    samples: Int64
    latency_ms_p50: NonNegative | None = None
    latency_ms_p95: NonNegative | None = None
    error_rate: Share | None = None
    saturation: NonNegative | None = None
    utilization: NonNegative | None = None
    throughput_per_s: NonNegative | None = None
    cost_usd_per_hour: NonNegative | None = None
    queue_depth: NonNegative | None = None
    energy_w: NonNegative | None = None
    cause_id: str = ""
