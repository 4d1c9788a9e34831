"""`maestro recommend`: recommendations as patches of a Kubernetes HorizontalPodAutoscaler, or served over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer

from schemas.records import Recommendation
from streams.kit.addresses import host_port
from topology.cli.lines import LineReader
from topology.cli.options import Broker, Lines, SettingsFile, connected
from topology.cli.output import note, out
from topology.cli.root import Misused, Refused
from topology.standing.board import replicas

Patch = dict[str, object]
Serve = Annotated[
    str | None,
    typer.Option("--serve", metavar="[HOST:]PORT", help="Answer autoscalers over HTTP instead; loopback by default."),
]


def register(app: typer.Typer) -> None:
    example = "Example: maestro tail recommendations --from-beginning --for 0 --json | maestro recommend"
    app.command("recommend", epilog=example)(recommend)


def recommend(
    source: Lines = "-", serve: Serve = None, settings_file: SettingsFile = None, broker: Broker = None
) -> None:
    """Prints, per line of `recommendations` that scales and is not withdrawn, the patch for `kubectl patch hpa`.

    It sets the floor, `minReplicas`: the autoscaler may go above it by what it sees itself. Exit 1 if a line was bad.
    With --serve no lines are read: what stands on the topic is at /units/ASSET_ID (for KEDA) and /metrics until Ctrl-C.
    """
    if serve is not None:
        _serve(serve, settings_file, broker)
        return
    lines = LineReader(source, "recommendations", (Recommendation,))
    for record in lines:
        patch = hpa_patch(record) if isinstance(record, Recommendation) else None
        if patch is not None:
            out(orjson.dumps(patch))
    if lines.refused:
        raise typer.Exit(1)


def _serve(address: str, settings_file: Path | None, broker: str | None) -> None:
    from topology.standing.command import parse_address, run_serve  # the web server: only what serves waits for it

    try:
        host, port = parse_address(address)
    except ValueError as error:
        raise Misused(f"--serve {error}") from error
    _, kafka = connected(settings_file, broker)
    try:
        run_serve(kafka, host, port, note)
    except OSError as error:
        raise Refused(f"{host_port(host, port)} cannot be served ({error.strerror or error})") from error


def hpa_patch(r: Recommendation) -> Patch | None:
    """A merge patch of autoscaling/v2; None = it does not scale, or no longer holds. Units are whole replicas."""
    units = replicas(r)
    if r.withdrawn or units is None:
        return None
    notes = {"maestro/recommendation": r.id, "maestro/asset": r.asset_id, "maestro/reason": r.reason,
             "maestro/valid-until-ms": str(r.valid_until)}  # fmt: skip
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"annotations": notes},
        "spec": {"minReplicas": units},
    }
