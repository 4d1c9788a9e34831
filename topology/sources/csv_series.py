"""Recorded series in CSV files -> HealthSignals in order of time: what `maestro publish signals --csv` sends.

A file has a header with the columns `timestamp` and `value` in any case; others are ignored. One file is one series:
the asset is named after the file, the metric after what the file's name says it is (`guess_metric`) unless it is given.
A row that cannot be used is reported with its file and line, counted and skipped.
"""

from __future__ import annotations

import csv
import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.records import HealthSignal
from topology.sources.timestamps import TimestampError, event_time_ms

DEFAULT_METRIC = "value"
_KNOWN = (
    ("cpu_utilization", "utilization", "percent"),
    ("request_count", "request_count", "count"),
    ("network_in", "network_in", "bytes"),
    ("networkin", "network_in", "bytes"),
    ("network_out", "network_out", "bytes"),
    ("disk_write_bytes", "disk_write_bytes", "bytes"),
    ("disk_read_bytes", "disk_read_bytes", "bytes"),
)
"""What a file's name contains, the metric, its unit. Totals per interval keep their own name: they are no rates."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A row (or a whole file, `line` 1) that was left out, and why. Lines count from 1, the header is line 1."""

    file: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class NoSeriesError(ValueError):
    """There is no CSV file at a path that was given."""


def ignore(_fault: Fault) -> None:
    """The faults are still counted in `CsvSeries.faults`."""


class CsvSeries:
    """Iterate it for `(at, signal)`; `rows` and `faults` count what was read and what was left out so far.

    `at` is when to send the signal: the time of the latest row so far in its file, so it never goes back, also where
    the rows of a file do. The order is that of `at`, then of the files, then of the rows.
    """

    def __init__(
        self,
        paths: Iterable[Path],
        metric: str | None = None,
        unit: str | None = None,
        report: Callable[[Fault], None] = ignore,
        source: str = "csv",
    ) -> None:
        """Raises NoSeriesError. `metric` and `unit` stand for all files; None = by the file's name."""
        self.files = tuple(name_files(paths))
        self.rows = 0
        self.faults = 0
        self._metric, self._unit, self._report, self._source = metric, unit, report, source

    def __iter__(self) -> Iterator[tuple[int, HealthSignal]]:
        streams = [self._in_file(i, file, asset_id) for i, (file, asset_id) in enumerate(self.files)]
        for at, _, _, signal in heapq.merge(*streams, key=lambda row: row[:3]):
            self.rows += 1
            yield at, signal

    def _in_file(self, index: int, file: Path, asset_id: str) -> Iterator[tuple[int, int, int, HealthSignal]]:
        guessed, guessed_unit = guess_metric(file.stem)
        metric = self._metric or guessed
        unit = self._unit if self._unit is not None else ("" if self._metric else guessed_unit)
        latest = 0
        for line, at, value in read_rows(file, self._fault):
            latest = max(latest, at)
            signal = HealthSignal(
                asset_id=asset_id, metric=metric, value=value, unit=unit, at=at, source=f"{self._source}:{file.name}"
            )
            yield latest, index, line, signal

    def _fault(self, fault: Fault) -> None:
        self.faults += 1
        self._report(fault)


def read_rows(file: Path, report: Callable[[Fault], None]) -> Iterator[tuple[int, int, float]]:
    """(line, at in ms, value) of each usable row; the rest is reported. Does not raise for what the file holds."""
    try:
        text = file.open(encoding="utf-8-sig", errors="replace", newline="")
    except OSError as error:
        report(Fault(file, 1, f"cannot be read: {error.strerror or error}"))
        return
    with text:
        reader = csv.reader(line.replace("\0", "\ufffd") for line in text)
        try:
            yield from _usable(file, reader, report)
        except (csv.Error, OSError) as error:
            report(Fault(file, reader.line_num, f"the file is given up here: {error}"))


def guess_metric(stem: str) -> tuple[str, str]:
    """(metric, unit) by the file's name: `ec2_cpu_utilization_24ae8d` -> `utilization`, `percent`."""
    name = stem.lower()
    return next(((metric, unit) for part, metric, unit in _KNOWN if part in name), (DEFAULT_METRIC, ""))


def name_files(paths: Iterable[Path]) -> list[tuple[Path, str]]:
    """Each CSV file (folders are walked) with its asset id: the stem, or the path without suffix where stems repeat."""
    found: dict[Path, str] = {}
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() == ".csv") if path.is_dir() else [path]
        if not files or not all(file.is_file() for file in files):
            raise NoSeriesError(f"{path}: no such CSV file, nor a folder with one")
        for file in files:
            found.setdefault(file, (file.relative_to(path) if path.is_dir() else file).with_suffix("").as_posix())
    stems = Counter(file.stem for file in found)
    return [(file, file.stem if stems[file.stem] == 1 else long) for file, long in found.items()]


def _usable(
    file: Path, reader: Iterator[list[str]], report: Callable[[Fault], None]
) -> Iterator[tuple[int, int, float]]:
    columns = [name.strip().lower() for name in next(reader, [])]
    if "timestamp" not in columns or "value" not in columns:
        report(
            Fault(file, 1, f"the header needs the columns timestamp and value, it has {', '.join(columns) or 'none'}")
        )
        return
    at_column, value_column = columns.index("timestamp"), columns.index("value")
    for row in reader:
        line = reader.line_num  # type: ignore[attr-defined]
        if not row:
            continue
        try:
            yield line, event_time_ms(row[at_column]), _finite(row[value_column])
        except IndexError:
            report(Fault(file, line, f"has {len(row)} of {len(columns)} columns"))
        except (TimestampError, ValueError) as error:
            report(Fault(file, line, str(error)))


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"value {text!r} is no number" if text.strip() else "the value is empty") from None
    if not math.isfinite(value):
        raise ValueError(f"value {text!r} is not finite")
    return value
