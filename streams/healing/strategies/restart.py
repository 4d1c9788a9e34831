"""Restart: as a local process, a rollout of a Kubernetes deployment, or by the asset's control endpoint."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Action
from streams.healing.ports import Plan, Situation
from streams.healing.strategies.declared import CONTROL, KUBERNETES, PROCESS, endpoint
from streams.healing.strategies.kubernetes import DEPLOYMENT


@dataclass(frozen=True, slots=True)
class Restart:
    id: str = "restart"

    def precheck(self, situation: Situation) -> str | None:
        if situation.asset is None:
            return "the asset is not in the registry"
        declared = any(endpoint(situation.asset, kind) is not None for kind in (CONTROL, PROCESS))
        return None if declared or _deployed(situation) else "it declares no control, process or deployment endpoint"

    def plan(self, situation: Situation) -> tuple[Plan, ...]:
        asset_id = situation.anomaly.asset_id
        process = endpoint(situation.asset, PROCESS) is not None
        how = "process" if process else "deployment" if _deployed(situation) else "control endpoint"
        action = Action(type="kubernetes.restart" if how == "deployment" else "restart", target_id=asset_id)
        return (Plan((action,), f"restart of {asset_id} by its {how}", watched_id=asset_id),)

    def compensate(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        """A restart cannot be undone."""
        return ()


def _deployed(situation: Situation) -> bool:
    declared = endpoint(situation.asset, KUBERNETES)
    return declared is not None and DEPLOYMENT in declared.url
