"""`maestro policy check|shadow`: a folder of policies before it is published."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer

from topology.cli.options import AsJson
from topology.cli.output import note, out
from topology.cli.policy_shadow import shadow
from topology.cli.root import Misused


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Policy sets: Cedar, with CEL.")
    group.callback(no_args_is_help=True, invoke_without_command=False)(_group)
    group.command("check", epilog="Example: maestro policy check docs/examples/policies")(check)
    group.command("shadow", epilog="Example: maestro policy shadow next/ --name base --log live.jsonl")(shadow)
    app.add_typer(group, name="policy")


def _group() -> None:
    """Policy sets: Cedar, with CEL."""


def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of *.cedar and *.cel files.")],
    as_json: AsJson = False,
) -> None:
    """Says everything that is wrong, as FILE:LINE with the policy's id. Exit 1 if anything is."""
    from streams.policy.cedar import PolicyLoadError
    from streams.policy.directory import load_directory

    if not folder.is_dir():
        raise Misused(f"{folder}: no such folder")
    try:
        loaded = load_directory(folder)
    except PolicyLoadError as error:
        for fault in () if as_json else error.faults:
            out(str(fault))
        if as_json:
            out(orjson.dumps({"valid": False, "faults": [asdict(f) for f in error.faults]}))
        note(f"{len(error.faults)} faults: this set must not be published")
        raise typer.Exit(1) from None
    files = len({*(s.file for s in loaded.statements), *(t.file for t in loaded.soft)})
    if as_json:
        ids = {"policies": [s.id for s in loaded.statements], "soft_terms": [s.id for s in loaded.soft]}
        out(orjson.dumps({"valid": True, "version": loaded.version, **ids}))
    soft = f" and {len(loaded.soft)} soft terms" if loaded.soft else ""
    note(f"{len(loaded.statements)} policies{soft} in {files} files, version {loaded.version}: valid")
