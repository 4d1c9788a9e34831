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
    hours: Annotated[
        float | None, typer.Option(min=0.1, help="Instead: so many hours of made telemetry, in event time.")
    ] = None,
    every_s: Annotated[float, typer.Option(min=0.05, help="With --hours: s between two samples of a series.")] = 1.0,
    flap_s: Annotated[float, typer.Option(min=1.0, help="s that one server flaps for.")] = 30.0,
    seed: Annotated[int, typer.Option(help="With --kills: of the kills' moments; with --hours: of the samples.")] = 6,
    as_json: AsJson = False,
) -> None:
    """Faults in a pool of real HTTP servers behind HAProxy: ms to detected, decided, effected, verified; lost requests.

    Beside Prometheus with Alertmanager and a webhook, HAProxy's own checks, and nobody.
    Needs Debian's haproxy, prometheus and prometheus-alertmanager.

    With --kills: at each step between planned and verified one of the two workers is killed; ends with 1 if an effect
    happened twice or was lost. Needs none of those.

    With --hours: actions an asset-hour under default settings: servers that are well, noisy or flapping, and a storm.
    """
    from topology.bench.healing import event_time, pool, run, sides
    from topology.bench.healing import kills as killing

    logging.basicConfig(level=logging.ERROR)
    if sum((kills is not None, hours is not None, bool(side))) > 1:
        raise Misused("one of --side, --kills and --hours is possible")
    wanted = side or list(sides.SIDES)
    if unknown := sorted(set(wanted) - set(sides.SIDES)):
        raise Misused(f"--side {unknown[0]}: one of {', '.join(sides.SIDES)} is needed")
    try:
        if hours is not None:
            show(event_time.figures(hours, every_s, seed=seed), as_json, event_time.text)
        elif kills is None:
            show(run.figures(wanted, faults, flap_s), as_json, run.text)
        elif killing.broken(show(killing.figures(kills, seed), as_json, killing.text)):
            raise Refused("an effect happened twice, was lost, or had two outcomes: see the rows")
    except pool.BenchError as error:
        raise Refused(str(error)) from error
