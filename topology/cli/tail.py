"""`maestro tail`: decoded records of a topic, one a line."""

from __future__ import annotations

from typing import Annotated

import typer

from topology.cli.options import AsJson, Broker, SettingsFile, client
from topology.cli.output import out, read_json, read_text
from topology.cli.root import Misused
from topology.topics import BY_NAME


def register(app: typer.Typer) -> None:
    app.command("tail", epilog="Example: maestro tail anomalies --from-beginning --json | head")(tail)


def tail(
    topic: Annotated[str, typer.Argument(help="A topic of `maestro topics list`.")],
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Also what is there already.")] = False,
    for_s: Annotated[
        float | None, typer.Option("--for", min=0.0, metavar="SECONDS", help="End after that; 0 = what is there now.")
    ] = None,
    settings_file: SettingsFile = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Decoded records, one a line, as they come; until Ctrl-C, or with --for. JSON lines can be fed to replay."""
    if topic not in BY_NAME:
        raise Misused(f"there is no topic {topic!r}; topics: {', '.join(BY_NAME)}")
    with client(settings_file, broker) as maestro, maestro.reader(topic, from_beginning=from_beginning) as reader:
        try:
            for read in reader.read_all() if for_s == 0 else reader.follow(for_s):
                out(read_json(read) if as_json else read_text(read))
        except KeyboardInterrupt:
            return
