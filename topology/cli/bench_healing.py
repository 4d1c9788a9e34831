"""`maestro bench healing`: faults in a real pool; with `--kills`, kill -9 of the workers that heal."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from topology.cli.bench_rows import show
from topology.cli.options import AsJson
from topology.cli.root import Misused, Refused


def healing(
    faults: Annotated[int, typer.Option(min=1, help="Faults of each side: kill, slow, error in turn.")] = 12,
    side: Annotated[list[str] | None, typer.Option(help="maestro, maestro-fast, alertmanager, checks, none.")] = None,
    kills: Annotated[
        int | None, typer.Option(min=1, help="Instead: so many kill -9 of the healing and executor workers.")
    ] = None,
    seed: Annotated[int, typer.Option(help="With --kills: of the moments of the kills.")] = 6,
    as_json: AsJson = False,
) -> None:
    """Faults in a pool of real HTTP servers behind HAProxy: ms to detected, decided, effected, verified; lost requests.

    Beside Prometheus with Alertmanager and a webhook, HAProxy's own checks, and nobody.
    Needs Debian's haproxy, prometheus and prometheus-alertmanager.

    With --kills: at each step between planned and verified one of the two workers is killed; ends with 1 if an effect
    happened twice or was lost. Needs none of those.
    """
    from topology.bench.healing import kills as killing
    from topology.bench.healing import pool, run, sides

    logging.basicConfig(level=logging.ERROR)
    if kills is not None and side:
        raise Misused("--kills has no --side")
    wanted = side or list(sides.SIDES)
    if unknown := sorted(set(wanted) - set(sides.SIDES)):
        raise Misused(f"--side {unknown[0]}: one of {', '.join(sides.SIDES)} is needed")
    try:
        if kills is None:
            show(run.figures(wanted, faults), as_json, run.text)
        elif killing.broken(show(killing.figures(kills, seed), as_json, killing.text)):
            raise Refused("an effect happened twice, was lost, or had two outcomes: see the rows")
    except pool.BenchError as error:
        raise Refused(str(error)) from error
