"""`maestro policy shadow`: what the next set would have changed, as tables or JSON lines."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from topology.cli.options import AsJson, Broker, SettingsFile, connected, input_lines
from topology.cli.output import note, out, show, table
from topology.cli.root import FAILURE, Misused
from topology.settings import Settings, load_settings

if TYPE_CHECKING:
    from streams.policy.cedar import CedarPolicySet
    from streams.policy.port import Answer
    from topology.recording.shadow import Shadow

Log = Annotated[
    str | None,
    typer.Option("--log", metavar="FILE|-", help="Recorded lines, as of `maestro log export`; else the topics."),
]
Name = Annotated[str | None, typer.Option(help="Name of the set that it replaces; else the folder's.")]
DETAIL = 100


def shadow(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the next set: *.cedar and *.cel.")],
    log: Log = None,
    name: Name = None,
    settings_file: SettingsFile = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """What the set in DIR would have changed on the recorded decisions. Nothing is published. Exit 0 also if it would.

    Every question that policies were asked in the recorded run is put to the next set too; and jobs are routed by it
    once more, soft terms included. Exit 1 if the set is refused or nothing of the log could be used.
    """
    from topology.plugins import PluginError
    from topology.recording.shadow import shadow as compare

    if not folder.is_dir():
        raise Misused(f"{folder}: no such folder")
    next_set = _next_set(folder, name)
    settings, lines = _recorded(log, settings_file, broker)
    try:
        found = compare(lines, next_set, settings)
    except PluginError as error:
        note(str(error))
        raise typer.Exit(2) from error
    for row in _rows(found) if as_json else ():
        out(orjson.dumps(row))
    if not as_json:
        _show(found)
    for line in found.notes:
        note(line)
    note(
        f"{next_set.id} {next_set.version}: {len(found.changes)} of the answers to {found.asks} questions and "
        f"{len(found.moved)} of {found.decisions} routing decisions would be others"
    )
    if found.summary.refused:
        note(f"{found.summary.refused} of {found.summary.read} lines were refused")
    if found.summary.read == found.summary.refused:
        note("no line of the log could be used: it shows nothing")
        raise typer.Exit(FAILURE)


def _next_set(folder: Path, name: str | None) -> CedarPolicySet:
    from streams.policy.cedar import PolicyLoadError
    from streams.policy.directory import load_directory

    try:
        return load_directory(folder, name or folder.resolve().name)
    except PolicyLoadError as error:
        for fault in error.faults:
            note(str(fault))
        note(f"{len(error.faults)} faults: this set must not be published")
        raise typer.Exit(FAILURE) from None


def _recorded(log: str | None, settings_file: Path | None, broker: str | None) -> tuple[Settings, list[bytes]]:
    """From the file, or from the topics: each machine's inputs in the order in which it took them."""
    if log is not None:
        return load_settings(settings_file, broker=broker), [line for _, _, line in input_lines(log)]
    from topology.recording.export import export
    from topology.schema_registry import connected_ids

    settings, address = connected(settings_file, broker)
    buffer = io.BytesIO()
    done = export(address, buffer, settings, connected_ids(settings.schema_registry_url))
    if done.missing:
        note(f"{len(done.missing)} gaps in the log (retention or compaction): what is left is compared")
    return settings, buffer.getvalue().splitlines(keepends=True)


def _rows(found: Shadow) -> Iterator[dict[str, Any]]:
    for change in found.changes:
        asked = change.asked
        yield {
            "changed": "answer", "point": asked.point, "asset_id": asked.asset_id, "action": asked.action,
            "principal": asked.principal, "job_id": asked.job_id or None, "times": change.times,
            "was": _answer(change.was), "would_be": _answer(change.would_be),
        }  # fmt: skip
    for moved in found.moved:
        yield {
            "changed": "decision", "job_id": moved.job_id, "revision": moved.revision,
            "was": _decision(moved.was), "would_be": _decision(moved.would_be),
        }  # fmt: skip


def _answer(answer: Answer) -> dict[str, Any]:
    return {"outcome": answer.outcome.value, "obligations": list(answer.obligations), "reason": answer.reason}


def _decision(decision: dict[str, Any] | None) -> dict[str, Any] | None:
    wanted = ("outcome", "target_id", "obligations", "reason")
    return None if decision is None else {name: decision[name] for name in wanted}


def _show(found: Shadow) -> None:
    if found.changes:
        rows = table("point", "asset", "action", "for", "times", "was", "would be", "because")
        for change in found.changes:
            asked = change.asked
            whom = asked.job_id or asked.principal
            was, would_be = _said(change.was), _said(change.would_be)
            because = change.would_be.reason[:DETAIL]
            rows.add_row(asked.point, asked.asset_id, asked.action, whom, str(change.times), was, would_be, because)
        show(rows)
    if found.moved:
        rows = table("job", "revision", "was", "would be")
        for moved in found.moved:
            rows.add_row(moved.job_id, str(moved.revision), _went(moved.was), _went(moved.would_be))
        show(rows)


def _said(answer: Answer) -> str:
    return " ".join((answer.outcome.value, *answer.obligations))


def _went(decision: dict[str, Any] | None) -> str:
    if decision is None:
        return "no such revision"
    return " ".join((decision["outcome"], decision["target_id"] or "", *decision["obligations"])).strip()
