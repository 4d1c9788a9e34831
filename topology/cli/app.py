"""All commands, put together."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import structlog
import typer

from topology.cli import (
    assets,
    bench,
    detect,
    discover,
    explain,
    govern,
    graph,
    log,
    policy,
    publish,
    recommend,
    replay,
    route,
    run,
    settings,
    tail,
    topics,
)
from topology.cli.root import Root

DISTRIBUTION = "maestro-conductor"

app = typer.Typer(
    name="maestro",
    cls=Root,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="A closed-loop control plane for multi-cloud workloads, as a topology of Kafka topics. Start: maestro demo",
    epilog="Settings: MAESTRO_* variables or a TOML file; `maestro settings` shows each. Exit: 0; 1 it ran and found "
    "a failure; 2 usage or configuration.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"maestro {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def root(
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Options before the command."""
    # Standard output is for data: what the libraries below have to say goes beside it.
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


for module in (
    run,
    topics,
    publish,
    tail,
    recommend,
    route,
    explain,
    replay,
    log,
    detect,
    graph,
    policy,
    govern,
    assets,
    discover,
    settings,
    bench,
):
    module.register(app)


def main() -> None:
    app(prog_name="maestro")
