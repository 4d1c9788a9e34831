"""Strategies for what runs on Kubernetes: more replicas, the revision before, no new pods on a node."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Action
from streams.healing.ports import Plan, Situation
from streams.healing.strategies.declared import KUBERNETES, endpoint
from streams.kit.ledger import micro_usd
from streams.policy.budgets import FREE, Cost

DEPLOYMENT, NODE = "/deployment/", "/node/"
SCALE, ROLLBACK, CORDON, UNCORDON = (f"kubernetes.{verb}" for verb in ("scale", "rollback", "cordon", "uncordon"))


def _missing(situation: Situation, part: str, what: str) -> str | None:
    if situation.asset is None:
        return "the asset is not in the registry"
    declared = endpoint(situation.asset, KUBERNETES)
    return None if declared is not None and part in declared.url else f"it declares no {what} on Kubernetes"


def _plan(situation: Situation, action: Action, why: str, cost: Cost = FREE) -> tuple[Plan, ...]:
    return (Plan((action,), why, watched_id=situation.anomaly.asset_id, cost=cost),)


def _cost_of_units(situation: Situation, units: int) -> Cost:
    """So many units more, at the price of those that are there; where nobody says how many, there is one."""
    asset = situation.asset
    if asset is None or asset.cost_usd_per_hour is None:
        return Cost(None)
    adds = micro_usd(units * asset.cost_usd_per_hour / (asset.capacity_units or 1.0))
    return Cost(adds, adds)


@dataclass(frozen=True, slots=True)
class Scale:
    """More replicas. Fewer again is for optimisation to say, which knows the load."""

    step: int = 1
    most: int = 20
    id: str = "scale"

    def precheck(self, situation: Situation) -> str | None:
        return _missing(situation, DEPLOYMENT, "deployment")

    def plan(self, situation: Situation) -> tuple[Plan, ...]:
        asset_id = situation.anomaly.asset_id
        action = Action(type=SCALE, target_id=asset_id, parameters={"step": self.step, "most": self.most})
        why = f"{self.step} more replicas of {asset_id}, at most {self.most}"
        return _plan(situation, action, why, _cost_of_units(situation, self.step))

    def compensate(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Rollback:
    """The pod template of the revision before this one."""

    id: str = "rollback"

    def precheck(self, situation: Situation) -> str | None:
        return _missing(situation, DEPLOYMENT, "deployment")

    def plan(self, situation: Situation) -> tuple[Plan, ...]:
        asset_id = situation.anomaly.asset_id
        return _plan(situation, Action(type=ROLLBACK, target_id=asset_id), f"rollback of {asset_id} by one revision")

    def compensate(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        """A rollback of a rollback would bring the fault back."""
        return ()


@dataclass(frozen=True, slots=True)
class Cordon:
    """A node gets no new pods until it is well again; what runs on it stays."""

    id: str = "cordon"

    def precheck(self, situation: Situation) -> str | None:
        missing = _missing(situation, NODE, "node")
        standing = situation.standing is not None
        return missing or (f"a {situation.standing} of it stands already" if standing else None)

    def plan(self, situation: Situation) -> tuple[Plan, ...]:
        asset_id = situation.anomaly.asset_id
        return _plan(situation, Action(type=CORDON, target_id=asset_id), f"no new pods on {asset_id}")

    def compensate(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        return tuple(a.model_copy(update={"type": UNCORDON}) for a in actions if a.type == CORDON)
