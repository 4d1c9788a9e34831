"""What an inoculation does to its victim, and what takes it away again.

A supervised process is killed; else the asset's server behind a load balancer is lost. Both are declared by the asset.
"""

from __future__ import annotations

from schemas.records import Action, Asset, Remediation
from streams.healing.strategies.declared import PROCESS, SERVER, endpoint

INOCULATION = "inoculation"
"""Strategy of the steps, and the name that policies and mode records know it by."""
INJECT, LIFT_FAULT = "inoculate", "lift_inoculation"
FAULTS = {PROCESS: "kill of its process", SERVER: "loss of its server"}
"""Kinds of endpoint that a fault can be put on, the truest first."""


def injection(asset: Asset) -> Action | None:
    """None = it declares nothing that a fault could be put on."""
    for kind in FAULTS:
        declared = endpoint(asset, kind)
        if declared is not None:
            return Action(type=INJECT, target_id=asset.id, parameters={"kind": kind, "place": declared.url})
    return None


def lifting(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """The place is in the action: it is lifted also where the asset has left the registry meanwhile."""
    return tuple(a.model_copy(update={"type": LIFT_FAULT}) for a in actions if a.type == INJECT)


def only_lifts(order: Remediation) -> bool:
    """Taking away a fault of ours needs nobody's leave: a pause that stopped it would keep the harm."""
    return bool(order.actions) and all(a.type == LIFT_FAULT for a in order.actions)
