"""IaC rollback: what would have to change to be back at an earlier state, as a record. Nothing is ever applied."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Action
from streams.healing.ports import Plan, Situation
from streams.healing.strategies.declared import TERRAFORM, endpoint

IAC_PLAN = "iac-plan"


@dataclass(frozen=True, slots=True)
class IacRollback:
    id: str = "iac_rollback"

    def precheck(self, situation: Situation) -> str | None:
        if situation.asset is None:
            return "the asset is not in the registry"
        return None if endpoint(situation.asset, TERRAFORM) else "it declares no Terraform workspace"

    def plan(self, situation: Situation) -> tuple[Plan, ...]:
        asset_id = situation.anomaly.asset_id
        why = f"a plan (never applied) of how to get {asset_id} back to its state before"
        return (Plan((Action(type=IAC_PLAN, target_id=asset_id),), why, watched_id=asset_id),)

    def compensate(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        return ()
