"""`maestro publish`: records from JSON lines, recorded series or a policy folder to their topics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from schemas.records import HealthSignal
from topology.cli.csv_feed import CsvFeed
from topology.cli.lines import LineReader
from topology.cli.options import AsJson, Broker, Lines, SettingsFile, client
from topology.cli.output import note, out
from topology.cli.root import Misused, Refused
from topology.topics import BY_NAME

if TYPE_CHECKING:
    from topology.client import MaestroConductor

GATHERED = 2_000
"""Signals of a file that are turned into batches at once."""


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True,
        help="Records to their topics. A line is the record, or a line of `maestro replay`; `at` is now where it has "
        "none. Bad lines are reported as FILE:LINE, and the exit status is 1 if there were any.",
    )
    group.command("signals", epilog="Example: maestro publish signals --csv recorded/ --speed 3600 --rebase")(signals)
    group.command("discovery", epilog="Example: maestro publish discovery assets.jsonl")(discovery)
    group.command("jobs", epilog='Example: echo \'{"id": "job-1"}\' | maestro publish jobs')(jobs)
    group.command("outcomes", epilog="Example: maestro publish outcomes - < outcomes.jsonl")(outcomes)
    group.command("policies", epilog="Example: maestro publish policies docs/examples/policies --name base")(policies)
    app.add_typer(group, name="publish")


def signals(
    source: Lines = "-",
    csv: Annotated[
        list[Path] | None,
        typer.Option(help="CSV file, or folder of them: columns timestamp and value. May be given again."),
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0.0, help="Seconds of the recording per second; 0 = as fast as possible.")
    ] = 0.0,
    metric: Annotated[str | None, typer.Option(help="Metric of all files; else told by their names.")] = None,
    unit: Annotated[str | None, typer.Option(help="Unit of all files; else told by their names.")] = None,
    rebase: Annotated[
        bool, typer.Option(help="Move the recording in time, so that its last sample is sent at its own time.")
    ] = False,
    settings_file: SettingsFile = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Health signals (or batches of them), or with --csv recorded series in the order of their times."""
    if not csv:
        _publish("health-signals", source, settings_file, broker, as_json)
        return
    if source != "-":
        raise Misused("either a file of JSON lines or --csv, not both")
    feed = CsvFeed(csv, metric, unit, speed=speed, rebase=rebase)
    with client(settings_file, broker) as maestro:
        feed.run(maestro.ingest_health_signals)
    _finish("health-signals", feed.sent, feed.faults, "rows left out", as_json)


def discovery(
    source: Lines = "-", settings_file: SettingsFile = None, broker: Broker = None, as_json: AsJson = False
) -> None:
    """Discovery events: what a source says about its assets."""
    _publish("discovery-events", source, settings_file, broker, as_json)


def jobs(
    source: Lines = "-", settings_file: SettingsFile = None, broker: Broker = None, as_json: AsJson = False
) -> None:
    """Job requests, without waiting for their decisions (`maestro route` waits)."""
    _publish("job-requests", source, settings_file, broker, as_json)


def outcomes(
    source: Lines = "-", settings_file: SettingsFile = None, broker: Broker = None, as_json: AsJson = False
) -> None:
    """How routed jobs ended."""
    _publish("job-outcomes", source, settings_file, broker, as_json)


def policies(
    source: Annotated[str, typer.Argument(metavar="[FILE|-|DIR]", help="JSON lines, or a folder of *.cedar.")] = "-",
    name: Annotated[str | None, typer.Option(help="Name of the set; else the folder's.")] = None,
    author: Annotated[str, typer.Option(help="Who stands for it, kept in the record.")] = "",
    reason: Annotated[str, typer.Option(help="Why, kept in the record.")] = "",
    settings_file: SettingsFile = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Policy records, or a folder of Cedar files as one set, which replaces the set of the same name."""
    if not Path(source).is_dir():
        _publish("policies", source, settings_file, broker, as_json)
        return
    from streams.policy.cedar import PolicyLoadError

    with client(settings_file, broker) as maestro:
        try:
            record = maestro.publish_policies(Path(source), name, author=author, reason=reason)
        except PolicyLoadError as error:
            raise Refused(str(error)) from error
    note(f"policy set {record.id}, version {record.version}")
    _finish("policies", 1, 0, "lines refused", as_json)


def _publish(topic: str, source: str, settings_file: Path | None, broker: str | None, as_json: bool) -> None:
    lines = LineReader(source, topic, BY_NAME[topic].records)
    with client(settings_file, broker) as maestro:
        # What comes down a pipe goes out as it comes; a file's samples share messages.
        sent = _send(maestro, topic, lines, GATHERED if topic == "health-signals" and source != "-" else 1)
    _finish(topic, sent, lines.refused, "lines refused", as_json)


def _send(maestro: MaestroConductor, topic: str, lines: LineReader, gathered: int) -> int:
    """Keeps the order of the lines, also between gathered samples and batches."""
    publisher, waiting = maestro.publisher, list[HealthSignal]()
    for record in lines:
        alone = gathered == 1 or not isinstance(record, HealthSignal)
        if isinstance(record, HealthSignal) and not alone:
            waiting.append(record)
        if waiting and (alone or len(waiting) >= gathered):
            publisher.publish_signals(waiting)
            waiting.clear()
        if alone:
            try:
                publisher.publish(topic, record)
            except ValueError as error:
                lines.refuse(str(error))
    if waiting:
        publisher.publish_signals(waiting)
    publisher.flush()
    return lines.read - lines.refused


def _finish(topic: str, sent: int, refused: int, refused_name: str, as_json: bool) -> None:
    note(f"{sent} records to {topic}, {refused} {refused_name}")
    if as_json:
        out(orjson.dumps({"topic": topic, "published": sent, "refused": refused}))
    if refused:
        raise typer.Exit(1)
