"""The rows that `maestro detect` writes of one file: read, scored and written down a block of rows at a time."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TypeAlias

import numpy as np

from streams.telemetry.detector import KINDS, SEVERITIES, Detector, Scores
from streams.telemetry.settings import TelemetrySettings
from streams.telemetry.state import NORMAL
from topology.cli.output import note
from topology.sources.csv_columns import blocks, figures
from topology.sources.timestamp_columns import UNREADABLE, event_times_ms

Row: TypeAlias = tuple[str, int, str, str, str, str, str, int]
"""File, row, timestamp, value, score, kind, severity, alarm."""

_KINDS = ["" if code == NORMAL else kind.value for code, kind in enumerate(KINDS)]
_SEVERITIES = ["", *(severity.value for severity in SEVERITIES)]


@dataclass(slots=True)
class Counts:
    files: int = 0
    broken_files: int = 0
    rows: int = 0
    unreadable: int = 0
    alarms: int = 0


def blocks_of(file: Path, name: str, settings: TelemetrySettings, counts: Counts) -> Iterator[Iterable[Row]]:
    """The rows of one series in order. What is wrong with the file as a whole goes to stderr."""
    counts.files += 1
    detector, start = Detector(settings), 0
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as text:
            for timestamps, values in blocks(text):
                end = start + len(values)
                verdicts = _texts(_scores(detector, timestamps, values, counts))
                yield zip(repeat(name), range(start, end), timestamps, values, *verdicts)
                start = end
    except (OSError, csv.Error, ValueError) as error:
        counts.broken_files += 1
        note(f"{file}: {error.strerror if isinstance(error, OSError) else error}")


def _scores(detector: Detector, timestamps: list[str], values: list[str], counts: Counts) -> Scores:
    at, (x, is_number) = event_times_ms(timestamps), figures(values)
    readable = is_number & (at != UNREADABLE)
    x[~readable] = math.nan  # scores 0 and changes nothing
    found = detector.score(at, x)
    counts.rows += len(values)
    counts.unreadable += len(values) - int(readable.sum())
    counts.alarms += int(found.alarm.sum())
    return found


def _texts(found: Scores) -> tuple[list[str], list[str], list[str], list[int]]:
    severity = np.where(found.kind == NORMAL, 0, found.severity + 1)
    return (
        [f"{score:.9g}" for score in found.score.tolist()],
        [_KINDS[code] for code in found.kind.tolist()],
        [_SEVERITIES[code] for code in severity.tolist()],
        found.alarm.astype(int).tolist(),
    )
