"""`maestro detect`: recorded series through the detector, a row out for each row in."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from topology.cli.options import SettingsFile
from topology.cli.output import note
from topology.cli.root import FAILURE, Misused
from topology.settings import load_settings
from topology.sources.timestamps import TimestampError, event_time_ms

if TYPE_CHECKING:
    from streams.telemetry.detector import Detector, Score
    from streams.telemetry.settings import TelemetrySettings

COLUMNS = ("file", "row", "timestamp", "value", "score", "kind", "severity", "alarm")


def register(app: typer.Typer) -> None:
    app.command("detect", epilog="Example: maestro detect recorded/ --out found.csv")(detect)


@dataclass(slots=True)
class Counts:
    files: int = 0
    broken_files: int = 0
    rows: int = 0
    unreadable: int = 0
    alarms: int = 0


def detect(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="CSV files, or folders of them.")],
    out: Annotated[Path | None, typer.Option(metavar="F", help="Where to; else standard output.")] = None,
    settings_file: SettingsFile = None,
) -> None:
    """Scores each row of CSV series (columns timestamp and value; each file is one series). Needs no broker.

    Out: file,row,timestamp,value,score,kind,severity,alarm. `row` counts from 0; a higher `score` is more anomalous;
    `alarm` is 1 once for each incident. Rows that cannot be read score 0. Exit 1 if a file could not be read.
    """
    settings = load_settings(settings_file).telemetry
    files = list(found_files(paths, out))
    counts = Counts()
    try:
        target = nullcontext(sys.stdout) if out is None else out.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise Misused(f"{out}: cannot be written ({error.strerror})") from error
    with target as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for file, name in files:
            writer.writerows(rows_of(file, name, settings, counts))
    note(
        f"{counts.files} files, {counts.rows} rows, {counts.alarms} alarms, {counts.unreadable} rows not readable"
        + (f", {counts.broken_files} files not readable" if counts.broken_files else "")
    )
    if counts.broken_files:
        raise typer.Exit(FAILURE)


def found_files(paths: list[Path], out: Path | None) -> Iterator[tuple[Path, str]]:
    """Each file with its name relative to the PATH that it was found by. Misused if a PATH has none."""
    own = out.resolve() if out is not None else None
    for path in paths:
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() == ".csv" and p.is_file())
            if not files:
                raise Misused(f"{path}: no CSV file in this folder")
        elif path.is_file():
            files = [path]
        else:
            raise Misused(f"{path}: no such file or folder")
        for file in files:
            if file.resolve() != own:
                yield file, (file.relative_to(path).as_posix() if path.is_dir() else file.name)


def rows_of(file: Path, name: str, settings: TelemetrySettings, counts: Counts) -> Iterator[tuple[object, ...]]:
    """The output rows of one series. What is wrong with the file as a whole goes to stderr."""
    from streams.telemetry.detector import Detector

    counts.files += 1
    detector = Detector(settings)
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as text:
            for row, (timestamp, value) in enumerate(cells(text)):
                score = score_of(detector, timestamp, value, counts)
                counts.rows += 1
                counts.alarms += score.alarm
                yield name, row, timestamp, value, f"{score.score:.9g}", *_verdict(score)
    except (OSError, csv.Error, ValueError) as error:
        counts.broken_files += 1
        note(f"{file}: {error.strerror if isinstance(error, OSError) else error}")


def cells(text: IO[str]) -> Iterator[tuple[str, str]]:
    """(timestamp, value) of each row as they stand; "" where a row is too short. ValueError without the columns."""
    reader = csv.reader(line.replace("\0", "\ufffd") for line in text)
    columns = [column.strip().lower() for column in next(reader, [])]
    if "timestamp" not in columns or "value" not in columns:
        raise ValueError(f"the header needs the columns timestamp and value, it has {', '.join(columns) or 'none'}")
    at, value = columns.index("timestamp"), columns.index("value")
    for row in reader:
        if row:
            yield (row[at] if at < len(row) else ""), (row[value] if value < len(row) else "")


def score_of(detector: Detector, timestamp: str, value: str, counts: Counts) -> Score:
    try:
        at, figure = event_time_ms(timestamp), float(value)
    except (TimestampError, ValueError):
        counts.unreadable += 1
        return detector.step(0, math.nan)  # what it says of a value that is none
    return detector.step(at, figure)


def _verdict(score: Score) -> tuple[str, str, int]:
    return (
        score.kind.value if score.kind is not None else "",
        score.severity.value if score.severity is not None else "",
        int(score.alarm),
    )
