"""`maestro recommend`: recommendations as patches of a Kubernetes HorizontalPodAutoscaler."""

from __future__ import annotations

import math

import orjson
import typer

from schemas.records import Recommendation, RecommendedAction
from topology.cli.lines import LineReader
from topology.cli.options import Lines
from topology.cli.output import out

Patch = dict[str, object]
_SCALING = (RecommendedAction.SCALE_OUT, RecommendedAction.SCALE_IN)


def register(app: typer.Typer) -> None:
    example = "Example: maestro tail recommendations --from-beginning --for 0 --json | maestro recommend"
    app.command("recommend", epilog=example)(recommend)


def recommend(source: Lines = "-") -> None:
    """Prints, per line of `recommendations` that scales and is not withdrawn, the patch for `kubectl patch hpa`.

    It sets the floor, `minReplicas`: the autoscaler may go above it by what it sees itself. Exit 1 if a line was bad.
    """
    lines = LineReader(source, "recommendations", (Recommendation,))
    for record in lines:
        patch = hpa_patch(record) if isinstance(record, Recommendation) else None
        if patch is not None:
            out(orjson.dumps(patch))
    if lines.refused:
        raise typer.Exit(1)


def hpa_patch(r: Recommendation) -> Patch | None:
    """A merge patch of autoscaling/v2; None = it does not scale, or no longer holds. Units are whole replicas."""
    if r.withdrawn or r.action not in _SCALING:
        return None
    notes = {"maestro/recommendation": r.id, "maestro/asset": r.asset_id, "maestro/reason": r.reason,
             "maestro/valid-until-ms": str(r.valid_until)}  # fmt: skip
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"annotations": notes},
        "spec": {"minReplicas": max(1, math.ceil(r.to_units))},
    }
