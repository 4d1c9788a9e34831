"""Cost-aware throttling: fewer requests are let in, as many as bring the figure back to what is expected.

    limit = what comes in now x expected / value, at least `floor_share` of it

Cost, saturation and queues follow load, which is what makes the rule of three a fair first guess; the proof is the
incident's end, as for any action. The limit is lifted when the asset has been well for long enough.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Action, RegisteredAsset
from streams.healing.ports import Plan, Situation
from streams.healing.strategies.declared import LIMIT, endpoint

THROTTLE, LIFT = "throttle", "unthrottle"


@dataclass(frozen=True, slots=True)
class Throttle:
    floor_share: float = 0.2
    id: str = THROTTLE

    def precheck(self, situation: Situation) -> str | None:
        asset = situation.asset
        if asset is None:
            return "the asset is not in the registry"
        if endpoint(asset, LIMIT) is None:
            return f"it declares no endpoint of type {LIMIT}"
        if situation.standing is not None:
            return f"a {situation.standing} of it stands already"
        if _share(situation, self.floor_share) is None:
            return "there is no value with an expectation to throttle by"
        return None if _incoming_per_s(situation, asset) else "how much comes in is not known"

    def plan(self, situation: Situation) -> tuple[Plan, ...]:
        share, asset = _share(situation, self.floor_share), situation.asset
        incoming = _incoming_per_s(situation, asset) if asset is not None else None
        if share is None or asset is None or not incoming:
            return ()
        limit = max(1, int(incoming * share))
        action = Action(type=THROTTLE, target_id=asset.id, parameters={"limit_per_s": limit})
        why = f"throttle of {asset.id} to {limit} of {incoming:g} requests/s ({share:.0%})"
        return (Plan((action,), why, watched_id=asset.id),)

    def compensate(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        return tuple(a.model_copy(update={"type": LIFT}) for a in actions if a.type == THROTTLE)


def _share(situation: Situation, floor: float) -> float | None:
    """Of what comes in; None = it cannot be said, or less load would not help."""
    value, expected = situation.anomaly.value, situation.anomaly.expected
    if value is None or expected is None or not 0 <= expected < value:
        return None
    return min(1.0, max(floor, expected / value))


def _incoming_per_s(situation: Situation, asset: RegisteredAsset) -> float | None:
    """Measured, else the most that it declares."""
    performance = situation.world.performance.get(asset.id)
    if performance is not None and performance.throughput_per_s is not None:
        return performance.throughput_per_s
    return max((c.throughput_per_s for c in asset.capabilities if c.throughput_per_s is not None), default=None)
