"""Page: the last resort. Tells people, heals nothing, so it is never ranked among the others."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Action
from streams.healing.ports import Plan, Situation
from streams.healing.settings import PAGE


@dataclass(frozen=True, slots=True)
class Page:
    id: str = PAGE

    def precheck(self, situation: Situation) -> str | None:
        return None

    def plan(self, situation: Situation) -> tuple[Plan, ...]:
        a = situation.anomaly
        figures = {"severity": a.severity.value, "metric": a.metric, "kind": a.kind.value, "incident": a.incident_id}
        action = Action(type="webhook", target_id=a.asset_id, parameters=dict(figures))
        return (Plan((action,), f"page about {a.asset_id}", watched_id=a.asset_id),)

    def compensate(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        """A message cannot be taken back."""
        return ()
