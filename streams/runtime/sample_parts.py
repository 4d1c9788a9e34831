"""Samples of a fetch in runs, before they become one set of columns. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.runtime.causes import SINGLE

Part = tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int32]]
"""Series numbers, times, values, offsets and rows within the message."""


def of_one(
    series: NDArray[np.int32], at: NDArray[np.int64], value: NDArray[np.float64], offset: int, *, single: bool
) -> Part:
    """The samples of one message."""
    count = len(series)
    row = np.full(count, SINGLE, np.int32) if single else np.arange(count, dtype=np.int32)
    return series, at, value, np.full(count, offset, np.int64), row


def append(parts: list[Part], columns: Part, start: int, stop: int) -> None:
    """The rows `start` to `stop`, without a copy."""
    if stop > start:
        series, at, value, number, row = columns
        run = slice(start, stop)
        parts.append((series[run], at[run], value[run], number[run], row[run]))
