"""Restart, by the asset's control endpoint or as a local process."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Action
from streams.healing.ports import Plan, Situation
from streams.healing.strategies.declared import CONTROL, PROCESS, endpoint


@dataclass(frozen=True, slots=True)
class Restart:
    id: str = "restart"

    def precheck(self, situation: Situation) -> str | None:
        if situation.asset is None:
            return "the asset is not in the registry"
        if endpoint(situation.asset, CONTROL) is None and endpoint(situation.asset, PROCESS) is None:
            return "it declares neither a control nor a process endpoint"
        return None

    def plan(self, situation: Situation) -> tuple[Plan, ...]:
        asset_id = situation.anomaly.asset_id
        how = "process" if endpoint(situation.asset, PROCESS) is not None else "control endpoint"
        action = Action(type="restart", target_id=asset_id)
        return (Plan((action,), f"restart of {asset_id} by its {how}", watched_id=asset_id),)

    def compensate(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        """A restart cannot be undone."""
        return ()
