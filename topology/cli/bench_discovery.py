"""`maestro bench discovery`: changes in a watched source, and many assets of one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from topology.cli.bench_rows import show
from topology.cli.options import AsJson
from topology.cli.root import Misused, Refused


def discovery(
    changes: Annotated[int, typer.Option(min=0, help="Changes in the watched cluster; 0 = leave them out.")] = 300,
    services: Annotated[int, typer.Option(min=1, help="Of the cluster, before the changes.")] = 1_000,
    rate: Annotated[float, typer.Option(min=0.1, help="Changes a second.")] = 10.0,
    assets: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Of one source; again for growth. Else 10,000 and 100,000; 0 = none."),
    ] = None,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(help="Of a real cluster to use: its namespace `maestro-bench` is made, filled and deleted."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """ms from a change in a watched cluster to `lifecycle-events`; then time, CPU and memory of many assets of a file.

    `maestro discover` and a discovery worker are processes of their own on an embedded Kafka.
    """
    from topology.bench.discovery import run
    from topology.bench.watched import SideError

    logging.basicConfig(level=logging.ERROR)
    if services < changes:
        raise Misused(f"--services {services}: each of the {changes} changes needs one of its own")
    try:
        show(run.figures(services, changes, rate, assets or [10_000, 100_000], kubeconfig), as_json, run.text)
    except SideError as error:
        raise Refused(str(error)) from error
