"""`maestro policy check`: a folder of Cedar files before it is published."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer

from topology.cli.options import AsJson
from topology.cli.output import note, out
from topology.cli.root import Misused


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Cedar policies.")
    group.callback(no_args_is_help=True, invoke_without_command=False)(_group)
    group.command("check", epilog="Example: maestro policy check docs/examples/policies")(check)
    app.add_typer(group, name="policy")


def _group() -> None:
    """Cedar policies."""


def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of *.cedar files.")], as_json: AsJson = False
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
    files = len({s.file for s in loaded.statements})
    if as_json:
        out(orjson.dumps({"valid": True, "version": loaded.version, "policies": [s.id for s in loaded.statements]}))
    note(f"{len(loaded.statements)} policies in {files} files, version {loaded.version}: valid")
