"""Recorded series in CSV files as columns of text, a block of rows at a time: memory does not grow with the file."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 2048
"""Enough that work per block costs little, and few enough that the longest cells (131,072 characters) fit in memory."""


def blocks(text: IO[str]) -> Iterator[tuple[list[str], list[str]]]:
    """(timestamps, values) as they stand, at most BLOCK_ROWS of each; "" where a row is too short.

    Raises ValueError without the columns; csv.Error and OSError come after the rows that were read before them.
    """
    reader = csv.reader(line.replace("\0", "\ufffd") for line in text)
    columns = [column.strip().lower() for column in next(reader, [])]
    if "timestamp" not in columns or "value" not in columns:
        raise ValueError(f"the header needs the columns timestamp and value, it has {', '.join(columns) or 'none'}")
    at, value = columns.index("timestamp"), columns.index("value")
    filled = (row for row in reader if row)
    while True:
        rows, error = _take(filled)
        if rows:
            yield _column(rows, at), _column(rows, value)
        if error is not None:
            raise error
        if len(rows) < BLOCK_ROWS:
            return


def _take(rows: Iterator[list[str]]) -> tuple[list[list[str]], Exception | None]:
    """The next block, and what ended it early."""
    taken: list[list[str]] = []
    try:
        for row in islice(rows, BLOCK_ROWS):
            taken.append(row)
    except (csv.Error, OSError) as error:
        return taken, error
    return taken, None


def _column(rows: list[list[str]], index: int) -> list[str]:
    try:
        return [row[index] for row in rows]
    except IndexError:
        return [row[index] if index < len(row) else "" for row in rows]


def figures(texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What `float` makes of each text, and of which it makes a number (nan is one); nan where it does not."""
    size = len(texts)
    try:
        return np.fromiter(map(float, texts), np.float64, size), np.ones(size, np.bool_)
    except ValueError:
        numbers = [_figure(text) for text in texts]
    x = np.fromiter((math.nan if number is None else number for number in numbers), np.float64, size)
    return x, np.fromiter((number is not None for number in numbers), np.bool_, size)


def _figure(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
