"""Rebalance: new weights over the asset's pool, by headroom, told to a load balancer or a control endpoint."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Action, Scalar
from streams.healing.ports import Plan, Situation
from streams.healing.strategies.declared import CONTROL, SERVER, endpoint

_LEAST = 0.05
"""Share of headroom counted for a full asset, so that its weight never becomes 0 (that would be a failover)."""
_UNKNOWN_HEADROOM = 0.5
_MOST_WEIGHT = 256
"""HAProxy's greatest weight."""


@dataclass(frozen=True, slots=True)
class Rebalance:
    id: str = "rebalance"

    def precheck(self, situation: Situation) -> str | None:
        if situation.asset is None:
            return "the asset is not in the registry"
        if endpoint(situation.asset, CONTROL) is None and endpoint(situation.asset, SERVER) is None:
            return "it declares neither a load balancer nor a control endpoint that takes weights"
        if not _helpers(situation):
            return "no other member of its pool is healthy"
        return None

    def plan(self, situation: Situation) -> tuple[Plan, ...]:
        asset_id = situation.anomaly.asset_id
        headroom = {i: _headroom(situation, i) for i in (asset_id, *_helpers(situation))}
        headroom[asset_id] = min(headroom[asset_id], _LEAST)
        total = sum(headroom.values())
        weights: dict[str, Scalar] = {f"weight.{i}": round(h / total, 4) for i, h in sorted(headroom.items())}
        own = weights[f"weight.{asset_id}"]
        why = f"rebalance of {len(headroom)} pool members, {asset_id} down to {own}"
        if endpoint(situation.asset, SERVER) is not None:
            return (Plan(_weighed(situation, headroom), why, watched_id=asset_id),)
        return (Plan((Action(type="rebalance", target_id=asset_id, parameters=weights),), why, watched_id=asset_id),)

    def compensate(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        """Weights are replaced by the next ones, not undone."""
        return ()


def _weighed(situation: Situation, headroom: dict[str, float]) -> tuple[Action, ...]:
    """One action a member behind the load balancer, the ill one first; the one with the most headroom has 256."""
    most = max(headroom.values())
    served = [i for i in headroom if endpoint(situation.world.assets.get(i), SERVER) is not None]
    return tuple(
        Action(type="weigh", target_id=i, parameters={"weight": max(1, round(_MOST_WEIGHT * headroom[i] / most))})
        for i in served
    )


def _helpers(situation: Situation) -> tuple[str, ...]:
    return tuple(i for i in situation.pool_ids if i != situation.anomaly.asset_id and situation.is_healthy(i))


def _headroom(situation: Situation, asset_id: str) -> float:
    """1 - saturation; not reported = the middle, never 0 or 1."""
    performance = situation.world.performance.get(asset_id)
    if performance is None or performance.saturation is None:
        return _UNKNOWN_HEADROOM
    return max(_LEAST, 1.0 - performance.saturation)
