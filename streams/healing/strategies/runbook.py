"""A runbook that somebody wrote for this asset, named by a label."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Action
from streams.healing.ports import Plan, Situation


@dataclass(frozen=True, slots=True)
class Runbook:
    label: str = "runbook"
    id: str = "runbook"

    def precheck(self, situation: Situation) -> str | None:
        if situation.asset is None:
            return "the asset is not in the registry"
        return None if situation.asset.labels.get(self.label) else f"it has no label `{self.label}`"

    def plan(self, situation: Situation) -> tuple[Plan, ...]:
        if situation.asset is None:
            return ()
        name = situation.asset.labels[self.label]
        action = Action(type="runbook", target_id=situation.asset.id, runbook=name)
        return (Plan((action,), f"runbook {name} on {situation.asset.id}", watched_id=situation.asset.id),)

    def compensate(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        """The runbook's own compensating steps undo it when it fails."""
        return ()
