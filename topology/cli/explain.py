"""`maestro explain`: the whole story of an id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from topology.cli.options import AsJson, Broker, SettingsFile, client
from topology.cli.output import clock, entry_json, note, out
from topology.cli.root import Refused
from topology.clock import now_ms
from topology.settings import load_settings

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
    with client(settings_file, broker) as maestro:
        story = maestro.explain(name)
        note(f"from the {story.source}")
        if not story:
            raise Refused(f"nothing bears the id {name!r}: see `maestro tail TOPIC --json` for ids")
        if not as_json:
            _tell(story)
        not_back = _why_not_back(maestro, story, load_settings(settings_file, broker=broker).app_id)
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
    from topology.client.reading import NoSuchTopicError
    from topology.client.returning import moved_job, why_not_back_from
    from topology.client.watched import changelog_of

    job_id = moved_job(story.entries)
    if not job_id:
        return ""
    try:
        with maestro.reader(changelog_of(app_id, "routing"), from_beginning=True) as reader:
            return why_not_back_from(reader.read_all(), job_id, now_ms())
    except NoSuchTopicError:  # no routing worker has run yet: the decisions are somebody's own
        return ""
    except (TimeoutError, FeedError, StateVersionError) as error:
        note(f"why it is not back cannot be told: {error}")
        return ""
