"""`maestro detect`: recorded series through the detector, a row out for each row in."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from topology.cli.options import SettingsFile
from topology.cli.output import note
from topology.cli.root import FAILURE, Misused
from topology.settings import load_settings

COLUMNS = ("file", "row", "timestamp", "value", "score", "kind", "severity", "alarm")


def register(app: typer.Typer) -> None:
    app.command("detect", epilog="Example: maestro detect recorded/ --out found.csv")(detect)


def detect(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="CSV files, or folders of them.")],
    out: Annotated[Path | None, typer.Option(metavar="F", help="Where to; else standard output.")] = None,
    settings_file: SettingsFile = None,
) -> None:
    """Scores each row of CSV series (columns timestamp and value; each file is one series). Needs no broker.

    Out: file,row,timestamp,value,score,kind,severity,alarm. `row` counts from 0; `score` is for a threshold of yours,
    in days: where nothing is wrong, about one row in so many days scores as high; `alarm` is 1 once for each incident.
    Rows that cannot be read score 0. Exit 1 if a file could not be read.
    """
    from topology.cli.scored_rows import Counts, blocks_of

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
            for block in blocks_of(file, name, settings, counts):
                writer.writerows(block)
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
