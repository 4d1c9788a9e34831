"""`maestro route`: submits jobs and prints their decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from schemas.records import JobRequest, RoutingDecision, RoutingOutcome
from streams.command.sentences import sentence
from topology.cli.lines import LineReader
from topology.cli.options import AsJson, Broker, Lines, SettingsFile, client
from topology.cli.output import note, out, record_json

if TYPE_CHECKING:
    from topology.client import MaestroConductor


def register(app: typer.Typer) -> None:
    example = """Example: echo '{"id": "job-1", "required_capabilities": ["render"]}' | maestro route --wait 5"""
    app.command("route", epilog=example)(route)


def route(
    source: Lines = "-",
    wait_s: Annotated[
        float, typer.Option("--wait", min=0.0, metavar="SECONDS", help="For all decisions together; 0 = do not wait.")
    ] = 10.0,
    settings_file: SettingsFile = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Submits jobs (JSON lines) and prints each decision with its reason.

    Exit 1 if a line was bad, a job found no target, or had no decision in time. A job that has a target already and
    is asked for again unchanged gets no new decision.
    """
    lines = LineReader(source, "job-requests", (JobRequest,))
    with client(settings_file, broker) as maestro:
        missing, unroutable = _route(maestro, lines, wait_s, as_json)
    for job_id in missing:
        note(f"job {job_id}: no decision within {wait_s:g} s; is a worker of the routing layer running?")
    if missing or unroutable or lines.refused:
        raise typer.Exit(1)


def _route(maestro: MaestroConductor, lines: LineReader, wait_s: float, as_json: bool) -> tuple[list[str], int]:
    """The ids without a decision, and how many jobs found no target. The reader is there before any job is sent."""
    with maestro.reader("routing-decisions") as reader:
        jobs = [record for record in lines if isinstance(record, JobRequest)]
        for job in jobs:
            maestro.publisher.publish("job-requests", job)
        maestro.publisher.flush()
        waiting, unroutable = dict.fromkeys(job.id for job in jobs), 0
        for read in reader.follow(wait_s if waiting else 0.0):
            decision = read.value
            if isinstance(decision, RoutingDecision) and decision.cause_id == decision.job_id in waiting:
                del waiting[decision.job_id]
                unroutable += decision.outcome is RoutingOutcome.UNROUTABLE
                out(record_json(decision) if as_json else sentence(decision))
            if not waiting:
                break
    return (list(waiting) if wait_s else []), unroutable
