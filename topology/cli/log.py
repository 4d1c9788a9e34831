"""`maestro log export`: what the live workers took in, as a file that `maestro replay` runs to the same decisions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from topology.cli.options import Broker, SettingsFile, connected
from topology.cli.output import note
from topology.cli.root import FAILURE, Misused
from topology.schema_registry import connected_ids

SHOWN_GAPS = 20
log = typer.Typer(help="The log of the live system.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(log, name="log")


@log.command("export", epilog="Example: maestro log export --out live.jsonl && maestro replay live.jsonl")
def export(
    target: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to write; else stdout.")] = None,
    settings_file: SettingsFile = None,
    broker: Broker = None,
) -> None:
    """Reads topics and journal, and writes each partition's inputs in the order in which its worker took them.

    Exit 1 if something of them is gone (retention, compaction): the replay would not be exact, and it says what.
    """
    from topology.recording.export import export as write  # the codec and numpy: only this command needs them

    settings, address = connected(settings_file, broker)
    schema_ids = connected_ids(settings.schema_registry_url)
    if target is None:
        done = write(address, sys.stdout.buffer, settings, schema_ids)
    else:
        try:
            with target.open("wb") as file:
                done = write(address, file, settings, schema_ids)
        except OSError as error:
            raise Misused(f"{target}: cannot be written ({error.strerror or error})") from error
    note(f"{done.lines} lines of {len(done.machines)} partitions of layers")
    for gap in done.missing[:SHOWN_GAPS]:
        note(f"missing: {gap}")
    if done.missing:
        note(f"{len(done.missing)} gaps: a replay of this log is not exact")
        raise typer.Exit(FAILURE)
