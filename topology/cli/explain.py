"""`maestro explain`: the whole story of an id."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer

from topology.cli.options import AsJson, Broker, SettingsFile, client
from topology.cli.output import clock, entry_json, note, out
from topology.cli.root import Refused


def register(app: typer.Typer) -> None:
    app.command("explain", epilog="Example: maestro explain incident-0f3a... --json")(explain)


def explain(
    name: Annotated[
        str,
        typer.Argument(metavar="ID", help="Of an incident, action, remediation, recommendation, decision or job; or "
                                          "topic:partition:offset."),
    ],
    settings_file: SettingsFile = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """What led to it and what came of it, in the order of time, down to the records that caused it.

    From the read model in Redis if there is one, else from the topics, read whole; stderr says which. Exit 1 if nothing
    bears the id.
    """
    with client(settings_file, broker) as maestro:
        story = maestro.explain(name)
    note(f"from the {story.source}")
    if not story:
        raise Refused(f"nothing bears the id {name!r}: see `maestro tail TOPIC --json` for ids")
    told = list(zip(story.entries, story.sentences, strict=True))
    if as_json:
        entries = [entry_json(entry, text) for entry, text in told]
        out(orjson.dumps({"name": name, "source": story.source, "entries": entries}))
        return
    for entry, text in told:
        out(f"{clock(entry.at)}  {entry.topic:<17}  {text}")
        because = f", because of {entry.cause_id}" if entry.cause_id else ""
        out(f"{'':23}  {'':17}  {entry.id}{because}")
