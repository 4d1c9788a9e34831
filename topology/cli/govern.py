"""`maestro pause|resume|approve|reject`: governance as records on the topic `policies`."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated

import typer
from pydantic import ValidationError

from schemas.records import Pause, PolicyRecord
from schemas.recurrence import named_zone
from streams.command.sentences import sentence
from topology.cli.options import AsJson, Broker, SettingsFile, client
from topology.cli.output import out, record_json
from topology.cli.root import Misused
from topology.clock import now_ms
from topology.sources.timestamps import event_time_ms

Holder = Annotated[str, typer.Option(help="In whose name: only the same holder can end the pause.")]
Scope = Annotated[str, typer.Option(help="*, tenant:NAME or asset:ID.")]
Reason = Annotated[str, typer.Option(help="Kept in the record.")]
ActionId = Annotated[str, typer.Argument(help="`action_id` of a remediation that awaits approval.")]
By = Annotated[str, typer.Option(help="Who answers.")]
Until = Annotated[str | None, typer.Option(help="ISO 8601 (UTC without an offset) or epoch seconds.")]
From = Annotated[str | None, typer.Option("--from", help="Start of the hold, as --until; --for counts from then.")]
Repeat = Annotated[
    str | None, typer.Option(metavar="RRULE", help="FREQ=DAILY, FREQ=WEEKLY;BYDAY=SU, ...: as docs say.")
]
Zone = Annotated[str | None, typer.Option(help="With --repeat: time zone of --from and --until, as Europe/Berlin.")]
ForSeconds = Annotated[float | None, typer.Option("--for", min=0.0, metavar="SECONDS", help="From now.")]


def register(app: typer.Typer) -> None:
    app.command("pause", epilog="Example: maestro pause --holder release-42 --scope tenant:acme --for 1800")(pause)
    app.command("resume", epilog="Example: maestro resume --holder release-42 --scope tenant:acme")(resume)
    app.command("approve", epilog="Example: maestro approve action-1a2b... --by ada --for 600")(approve)
    app.command("reject", epilog="Example: maestro reject action-1a2b... --by ada --reason 'deploy is running'")(reject)


def pause(
    holder: Holder,
    scope: Scope = "*",
    begin: From = None,
    until: Until = None,
    for_s: ForSeconds = None,
    repeat: Repeat = None,
    zone: Zone = None,
    reason: Reason = "",
    settings_file: SettingsFile = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Holds every effect in a scope until then, or until its holder resumes it. With --from: a maintenance window.

    With --repeat the window comes again: FREQ=DAILY, FREQ=WEEKLY;BYDAY=SU,WE or FREQ=MONTHLY;BYDAY=2TU.
    """
    start = _at("--from", begin, zone)
    end = _moment(until, for_s, start, zone)
    if start is not None and end is not None and end <= start:
        raise Misused("--until: a window ends after it begins")
    _check(scope)
    try:
        Pause(holder=holder, scope=scope, starts_at=start, until=end, rrule=repeat, zone=zone)
    except ValidationError as error:
        raise Misused(f"--repeat: {error.errors()[0]['msg']}") from error
    with client(settings_file, broker) as maestro:
        again = {"rrule": repeat, "zone": zone}
        _show(maestro.pause(holder, scope, until=end, reason=reason, starts_at=start, **again), as_json)


def resume(
    holder: Holder,
    scope: Scope = "*",
    reason: Reason = "",
    settings_file: SettingsFile = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Ends this holder's pause of this scope, and nobody else's."""
    _check(scope)
    with client(settings_file, broker) as maestro:
        _show(maestro.resume(holder, scope, reason=reason), as_json)


def approve(
    action_id: ActionId,
    by: By,
    until: Until = None,
    for_s: ForSeconds = None,
    reason: Reason = "",
    settings_file: SettingsFile = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Lets an action go ahead; with --until or --for the approval is void after that."""
    end = _moment(until, for_s)
    with client(settings_file, broker) as maestro:
        _show(maestro.approve(action_id, by, expires_at=end, reason=reason), as_json)


def reject(
    action_id: ActionId,
    by: By,
    reason: Reason = "",
    settings_file: SettingsFile = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Forbids an action that awaits approval."""
    with client(settings_file, broker) as maestro:
        _show(maestro.reject(action_id, by, reason=reason), as_json)


def _check(scope: str) -> None:
    from topology.client.governance import checked_scope

    try:
        checked_scope(scope)
    except ValueError as error:
        raise Misused(str(error)) from error


def _moment(until: str | None, for_s: float | None, start: int | None = None, zone: str | None = None) -> int | None:
    if until is not None and for_s is not None:
        raise Misused("either --until or --for, not both")
    if for_s is not None:
        return (now_ms() if start is None else start) + round(for_s * 1000)
    return _at("--until", until, zone)


def _at(option: str, moment: str | None, zone: str | None = None) -> int | None:
    try:
        return None if moment is None else event_time_ms(moment, UTC if zone is None else named_zone(zone))
    except ValueError as error:
        raise Misused(f"{option}: {error}") from error


def _show(record: PolicyRecord, as_json: bool) -> None:
    out(record_json(record) if as_json else sentence(record))
