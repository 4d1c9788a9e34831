"""`maestro graph`: the topology as a picture or a document."""

from __future__ import annotations

from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from topology.cli.output import note, out
from topology.cli.root import Misused, Refused


class Format(StrEnum):
    MERMAID = "mermaid"
    JSON = "json"
    ASYNCAPI = "asyncapi"


def register(app: typer.Typer) -> None:
    app.command("graph", epilog="Example: maestro graph --format asyncapi > asyncapi.json")(graph)


def graph(
    form: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.MERMAID,
    check: Annotated[Path | None, typer.Option(metavar="README", help="Exit 1 if its picture is not current.")] = None,
    write: Annotated[Path | None, typer.Option(metavar="README", help="Put the current picture into it.")] = None,
) -> None:
    """Prints the topology as declared. Exit 1 if the declaration contradicts itself."""
    from topology import graph as drawing  # the schemas are read for it

    problems = drawing.validate()
    for problem in problems:
        note(problem)
    try:
        if write is not None:
            drawing.write_readme(write)
        elif check is not None:
            if not drawing.readme_is_current(check):
                raise Refused(f"{check}: the picture of the topology is not current; maestro graph --write {check}")
            note(f"{check}: the picture of the topology is current")
        else:
            _print(form)
    except OSError as error:
        raise Misused(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise Refused(str(error)) from error
    if problems:
        raise typer.Exit(1)


def _print(form: Format) -> None:
    from topology import graph as drawing

    if form is Format.JSON:
        out(drawing.as_json())
    elif form is Format.ASYNCAPI:
        out(drawing.asyncapi(version("maestro-conductor")))
    else:
        out(drawing.mermaid())
