"""`maestro topics list|create|check`: the declaration, and the broker against it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import orjson
import typer

from topology.cli.options import AsJson, Broker, SettingsFile, connected
from topology.cli.output import note, out, show, table
from topology.settings import load_settings
from topology.topics import BY_NAME

if TYPE_CHECKING:
    from topology.admin import WantedTopic


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="The topics: declared, created, checked.")
    group.command("list", epilog="Example: maestro topics list --json")(list_topics)
    group.command("create", epilog="Example: maestro topics create --broker 127.0.0.1:9092")(create)
    group.command("check", epilog="Example: maestro topics check || echo 'the topics differ'")(check)
    app.add_typer(group, name="topics")


def list_topics(settings_file: SettingsFile = None, as_json: AsJson = False) -> None:
    """Every topic as declared, with the settings applied. Needs no broker."""
    from topology.admin import wanted_topics

    wanted = wanted_topics(load_settings(settings_file))
    if as_json:
        out(orjson.dumps([_row(one) for one in wanted]))
        return
    rows = table("topic", "partitions", "key", "records", "retention", "written by", "read by")
    for one in wanted:
        declared = BY_NAME[one.name]
        rows.add_row(
            one.name,
            str(one.partitions),
            declared.key,
            " or ".join(r.__name__ for r in declared.records) or "any, as refused",
            _retention(one),
            ", ".join(declared.written_by),
            ", ".join(declared.read_by),
        )
    show(rows)


def create(settings_file: SettingsFile = None, broker: Broker = None, as_json: AsJson = False) -> None:
    """Creates those that do not exist; never changes one that does. May be run again."""
    from topology.admin import TopicAdmin, wanted_topics

    settings, address = connected(settings_file, broker)
    wanted = wanted_topics(settings)
    created = TopicAdmin(address).create(wanted)
    if as_json:
        out(orjson.dumps({"created": created, "existing": [w.name for w in wanted if w.name not in created]}))
    else:
        note(f"{len(created)} topics created, {len(wanted) - len(created)} were there")
        for name in created:
            out(name)


def check(settings_file: SettingsFile = None, broker: Broker = None, as_json: AsJson = False) -> None:
    """Says what differs between the broker and the declaration, and how to mend it. Exit 1 if anything does."""
    from topology.admin import TopicAdmin, wanted_topics

    settings, address = connected(settings_file, broker)
    wanted = wanted_topics(settings)
    found = TopicAdmin(address).check(wanted)
    if as_json:
        out(orjson.dumps([asdict(line) for line in found]))
    for line in () if as_json else found:
        out(f"{line.topic}: {line.what} is {line.found}, declared {line.wanted}. Mend: {line.fix}")
    if found:
        note(f"{len(found)} differences")
        raise typer.Exit(1)
    note(f"all {len(wanted)} topics are as declared")


def _row(wanted: WantedTopic) -> dict[str, object]:
    declared = BY_NAME[wanted.name]
    return asdict(wanted) | {
        "key": declared.key,
        "records": [r.__name__ for r in declared.records],
        "split": declared.split.value,
        "written_by": declared.written_by,
        "read_by": declared.read_by,
        "doc": declared.doc,
    }


def _retention(wanted: WantedTopic) -> str:
    if "retention.ms" not in wanted.config:
        return "newest of each key"
    ms = int(wanted.config["retention.ms"])
    return "for ever" if ms < 0 else f"{ms / 86_400_000:g} days"
