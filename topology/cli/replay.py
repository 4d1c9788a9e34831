"""`maestro replay`: records from a file through the engines, without a broker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from topology.cli.options import SettingsFile, input_lines
from topology.cli.output import note
from topology.cli.root import FAILURE
from topology.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("replay", epilog="Example: maestro replay recorded.jsonl --policies docs/examples/policies")(replay)


def replay(
    source: Annotated[str, typer.Argument(metavar="FILE|-", help="JSON lines; - is standard input.")],
    settings_file: SettingsFile = None,
    policies: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of *.cedar to decide by.")] = None,
) -> None:
    """Runs recorded lines through the same engines as the live system and prints what they emit, one JSON line each.

    In: {"topic", "key", "at", "value"}, in the order of processing. The same input gives the same bytes. A line that
    cannot be used becomes a `dead-letters` line, and the replay goes on: exit 1 only if no line at all could be used.
    """
    from streams.policy.recorded import Tape
    from topology import replay as engine  # the engines load numpy and more: only this command needs them
    from topology.engines import build_layers
    from topology.plugins import PluginError

    settings = load_settings(settings_file, policies_dir=policies)
    tape = Tape(replays=True)
    try:
        layers = build_layers(settings, tape=tape)
    except PluginError as error:
        note(str(error))
        raise typer.Exit(2) from error
    summary = engine.Summary()
    for line in engine.run(_every_line(source), layers, summary, tape):
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
    emitted = ", ".join(f"{count} {topic}" for topic, count in sorted(summary.emitted.items())) or "nothing"
    note(f"{summary.read} lines read, {summary.refused} refused; emitted: {emitted}")
    if summary.read and summary.refused == summary.read:
        raise typer.Exit(FAILURE)


def _every_line(source: str) -> Iterator[bytes]:
    expected = 1
    for _, number, line in input_lines(source):
        # Blank lines are passed on, so that the numbers in causes are those of the file.
        yield from (b"\n" for _ in range(expected, number))
        yield line
        expected = number + 1
