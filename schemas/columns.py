"""Samples in columns: what the hot path works on instead of one object per sample.

Row i is one sample: `series[series_index[i]]` read `value[i]` at event time `at[i]`. The arrays are read-only and hold
acceptable rows only; refused rows are listed in `rejected`, so that a bad row costs itself and not its batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.errors import Reason
from schemas.records import EARLIEST_AT, LATEST_AT, HealthSignal, HealthSignalBatch, SeriesKey

INT32_MAX = 2**31 - 1
N = TypeVar("N", np.int32, np.int64, np.float64)
NAME_MAX_LENGTH = 512
"""As `schemas.records.Name`; a test holds the two together."""
SPARSE = 16
"""Times as many series as rows, from where on looking at the rows costs less than looking at the series."""


class Series(NamedTuple):
    """Identity of a series; as light as a tuple and usable as a dict key."""

    asset_id: str
    metric: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """`row` counts from 0 in the message as it was sent."""

    row: int
    code: Reason
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class SampleColumns:
    """Samples of one source. Invariant: equal column lengths; finite values; times and indexes in range."""

    series: Sequence[Series]
    """Of a gatherer it grows from one set of columns to the next, and has many that none of these rows is of."""
    series_index: NDArray[np.int32]
    at: NDArray[np.int64]
    value: NDArray[np.float64]
    source: str = ""
    rejected: tuple[RejectedRow, ...] = ()

    def __len__(self) -> int:
        return len(self.at)

    def rows(self, start: int, stop: int) -> SampleColumns:
        """The samples `start` to `stop`, without `rejected` (which was about the whole message)."""
        part = slice(start, stop)
        return SampleColumns(self.series, self.series_index[part], self.at[part], self.value[part], self.source)

    def compact(self) -> SampleColumns:
        """The same rows with those series only that they are of; itself if that are all."""
        if len(self) * SPARSE < len(self.series):
            few, index = np.unique(self.series_index, return_inverse=True)
            named = tuple(self.series[i] for i in few.tolist())
            return SampleColumns(named, index.astype(np.int32), self.at, self.value, self.source, self.rejected)
        used = np.zeros(len(self.series), np.bool_)
        used[self.series_index] = True
        kept = np.flatnonzero(used)
        if len(kept) == len(used):
            return self
        number = np.cumsum(used, dtype=np.int32) - 1
        series = tuple(self.series[i] for i in kept.tolist())
        return SampleColumns(series, number[self.series_index], self.at, self.value, self.source, self.rejected)

    def series_of(self, row: int) -> Series:
        key: Series = self.series[int(self.series_index[row])]
        return key


def checked(
    series: tuple[Series, ...],
    series_index: NDArray[np.int32],
    at: NDArray[np.int64],
    value: NDArray[np.float64],
    source: str = "",
    unnamed: frozenset[int] | None = None,
) -> SampleColumns:
    """Columns with every bad row taken out and named; the arrays given become read-only.

    `unnamed` is `unnamed_series(series)`, for a caller that has it already.
    """
    bad_series = unnamed_series(series) if unnamed is None else unnamed
    if len(at) == 0 or (not bad_series and _all_acceptable(len(series), series_index, at, value)):
        return SampleColumns(series, _frozen(series_index), _frozen(at), _frozen(value), source)
    good = np.isfinite(value) & (at >= EARLIEST_AT) & (at <= LATEST_AT)
    good &= (series_index >= 0) & (series_index < len(series)) & ~np.isin(series_index, list(bad_series))
    rejected = tuple(
        _rejected(int(row), series, int(series_index[row]), int(at[row]), float(value[row]))
        for row in np.flatnonzero(~good)
    )
    kept = (_frozen(series_index[good]), _frozen(at[good]), _frozen(value[good]))
    return SampleColumns(series, *kept, source, rejected)


def unnamed_series(series: Iterable[Series]) -> frozenset[int]:
    """Positions of series without a usable asset id or metric; their samples belong to nothing."""
    return frozenset(i for i, key in enumerate(series) if not _is_named(key))


def one_row(key: Series, at: int, value: float, source: str = "") -> SampleColumns:
    """One acceptable sample; a caller that is not sure asks `fault` first."""
    return SampleColumns(
        (key,), _FIRST, _frozen(np.array((at,), np.int64)), _frozen(np.array((value,), np.float64)), source
    )


def fault(key: Series, at: int, value: float) -> tuple[Reason, str] | None:
    """What makes a sample unacceptable, or None."""
    if not _is_named(key):
        return Reason.INVALID, f"asset id and metric must have 1 to {NAME_MAX_LENGTH} characters"
    if not math.isfinite(value):
        return Reason.NOT_FINITE, f"value {value} is not a finite number"
    if not EARLIEST_AT <= at <= LATEST_AT:
        return Reason.TIME_OUT_OF_RANGE, f"at {at} is not in {EARLIEST_AT} to {LATEST_AT} ms"
    return None


def of_signal(signal: HealthSignal) -> SampleColumns:
    """One row."""
    return one_row(Series(signal.asset_id, signal.metric, signal.unit), signal.at, signal.value, signal.source)


def of_batch(batch: HealthSignalBatch) -> SampleColumns:
    """The batch's acceptable rows."""
    series = tuple(Series(key.asset_id, key.metric, key.unit) for key in batch.series)
    try:
        at, index = np.array(batch.at, np.int64), np.array(batch.series_index, np.int32)
    except OverflowError:
        at = np.array([_within(t, EARLIEST_AT - 1, LATEST_AT + 1) for t in batch.at], np.int64)
        index = np.array([_within(i, -1, INT32_MAX) for i in batch.series_index], np.int32)
    return checked(series, index, at, np.array(batch.value, np.float64), batch.source)


def to_batch(columns: SampleColumns) -> HealthSignalBatch:
    """The record that carries these samples."""
    return HealthSignalBatch(
        source=columns.source,
        series=tuple(SeriesKey(asset_id=key.asset_id, metric=key.metric, unit=key.unit) for key in columns.series),
        series_index=tuple(columns.series_index.tolist()),
        at=tuple(columns.at.tolist()),
        value=tuple(columns.value.tolist()),
    )


def _all_acceptable(
    series_count: int, series_index: NDArray[np.int32], at: NDArray[np.int64], value: NDArray[np.float64]
) -> bool:
    return bool(
        at.min() >= EARLIEST_AT
        and at.max() <= LATEST_AT
        and series_index.min() >= 0
        and series_index.max() < series_count
        and np.isfinite(value).all()
    )


def _rejected(row: int, series: tuple[Series, ...], index: int, at: int, value: float) -> RejectedRow:
    if not 0 <= index < len(series):
        return RejectedRow(row, Reason.INVALID, f"series_index {index} is not one of the {len(series)} series")
    found = fault(series[index], at, value)
    assert found is not None, "only rows with a fault are rejected"
    return RejectedRow(row, *found)


def _is_named(key: Series) -> bool:
    return 0 < len(key.asset_id) <= NAME_MAX_LENGTH and 0 < len(key.metric) <= NAME_MAX_LENGTH


def _within(number: int, least: int, most: int) -> int:
    """Brings an integer of any size into a column's type; both ends are refused values, so it stays refused."""
    return min(max(number, least), most)


def _frozen(column: NDArray[N]) -> NDArray[N]:
    """Read-only, as columns over the bytes of a message are anyway."""
    column.flags.writeable = False
    return column


_FIRST = _frozen(np.zeros(1, np.int32))
