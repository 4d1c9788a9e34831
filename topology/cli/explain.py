"""`maestro explain`: the whole story of an id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from topology.cli.options import AsJson, Broker, SettingsFile, client_of, connected
from topology.cli.output import clock, entry_json, note, out
from topology.cli.root import Refused
from topology.clock import now_ms

if TYPE_CHECKING:
    from topology.client import MaestroConductor
    from topology.client.stories import Story


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

    From the read model in Redis if there is one, else from the topics, read whole; stderr says which. Of a job that was
    moved and runs, also why it is not back on the target that an illness drove it from. Exit 1 if nothing bears the id.
    """
    settings, address = connected(settings_file, broker)
    with client_of(settings, address) as maestro:
        story = maestro.explain(name)
        note(f"from the {story.source}")
        if not story:
            raise Refused(f"nothing bears the id {name!r}: see `maestro tail TOPIC --json` for ids")
        if not as_json:
            _tell(story)
        not_back = _why_not_back(maestro, story, settings.app_id)
    if as_json:
        entries = [entry_json(entry, text) for entry, text in zip(story.entries, story.sentences, strict=True)]
        more = {"not_back": not_back} if not_back else {}
        out(orjson.dumps({"name": name, "source": story.source, "entries": entries, **more}))
    elif not_back:
        out(f"{'now':<23}  {'':<17}  not back yet: {not_back}")


def _tell(story: Story) -> None:
    for entry, text in zip(story.entries, story.sentences, strict=True):
        out(f"{clock(entry.at)}  {entry.topic:<17}  {text}")
        because = f", because of {entry.cause_id}" if entry.cause_id else ""
        out(f"{'':23}  {'':17}  {entry.id}{because}")


def _why_not_back(maestro: MaestroConductor, story: Story, app_id: str) -> str:
    """Empty for whatever is no job that was moved and runs, for which alone routing's rows are read.

    The story stands without it: what is against reading the rows is told on stderr.
    """
    from streams.routing.state import StateVersionError
    from topology.client import FeedError
    from topology.client.changelogs import changelog_of
    from topology.client.returning import moved_job, why_not_back_from

    job_id = moved_job(story.entries)
    if not job_id:
        return ""
    try:
        return why_not_back_from(changelog_of(maestro, app_id, "routing"), job_id, now_ms())
    except (TimeoutError, FeedError, StateVersionError) as error:
        note(f"why it is not back cannot be told: {error}")
        return ""
