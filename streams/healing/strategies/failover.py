"""Failover: the ill asset takes no more work, a healthy one that can do the same takes it over.

Its effect is the drain that routing reads from the remediation; a load balancer and a control endpoint are told too
where they are declared. Blue/green is a failover between two assets that declare a switch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import cast

from schemas.records import Action, AssetState, RegisteredAsset
from streams.healing.ports import Plan, Situation
from streams.healing.strategies.declared import is_standby
from streams.kit.ids import row_key, tie_break
from streams.kit.ledger import micro_usd
from streams.kit.world import World
from streams.policy.budgets import FREE, Cost

_PRESENT = (AssetState.REGISTERED, AssetState.UPDATED)
_TOLD = 5
"""Destinations that a refusal names; a pool may have thousands."""


@dataclass(frozen=True, slots=True)
class Failover:
    derive_fallbacks: bool = True
    max_destination_saturation: float = 0.8
    max_destinations: int = 32
    id: str = "failover"

    def precheck(self, situation: Situation) -> str | None:
        """A destination that exists, is healthy and has room must be there *before* anything is evicted."""
        if situation.asset is None:
            return "the asset is not in the registry"
        if situation.drained_to is not None:
            return f"already failed over to {situation.drained_to}"
        problems: list[str] = []
        for candidate in self._candidates(situation, situation.asset):
            problem = self._problem(situation, situation.asset, candidate)
            if problem is None:
                return None
            problems.append(problem)
        return f"no fallback can take over: {_told(problems)}" if problems else "it has no fallback"

    def plan(self, situation: Situation) -> tuple[Plan, ...]:
        """One plan a destination that can take over, in order of preference, `max_destinations` at most."""
        source = situation.asset
        if source is None:
            return ()
        able = (c for c in self._preferred(situation, source) if self._problem(situation, source, c) is None)
        return tuple(
            Plan(
                actions=(Action(type="failover", target_id=source.id, parameters={"destination_id": destination}),),
                why=f"failover of {source.id} to {destination}",
                watched_id=destination,
                destination_id=destination,
                cost=_cost(situation.world.assets.get(destination)),
            )
            for destination in islice(able, self.max_destinations)
        )

    def compensate(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        return tuple(a.model_copy(update={"type": "failback"}) for a in actions if a.type == "failover")

    def _candidates(self, situation: Situation, source: RegisteredAsset) -> Iterable[str]:
        """What the asset declares, in its order; else, if allowed, who can do the same, in id order."""
        declared = _declared(source)
        if declared or not self.derive_fallbacks:
            return declared
        return (a.id for a in _alike(situation.world, source) if a.id != source.id)

    def _preferred(self, situation: Situation, source: RegisteredAsset) -> Iterator[str]:
        """The candidates, best first. Of a large pool only as many are put in order as are asked for."""
        if _declared(source) or not self.derive_fallbacks:
            yield from self._candidates(situation, source)
            return
        equals: dict[tuple[bool, bool, bool, float], list[str]] = {}
        for other in _alike(situation.world, source):
            if other.id != source.id:
                equals.setdefault(_preference(source, other), []).append(other.id)
        for preference in sorted(equals):
            yield from sorted(equals[preference], key=lambda other_id: tie_break(source.id, other_id))

    def _problem(self, situation: Situation, source: RegisteredAsset, destination_id: str) -> str | None:
        """Why this destination cannot take over; None = it can. What is not reported is not held against it."""
        destination = situation.world.assets.get(destination_id)
        if destination is None or destination.state not in _PRESENT:
            return f"{destination_id} is {destination.state if destination else 'not in the registry'}"
        if not situation.is_healthy(destination_id):
            return f"{destination_id} is not healthy"
        missing = sorted(_capabilities(source) - _capabilities(destination))
        if missing:
            return f"{destination_id} lacks {', '.join(missing)}"
        return self._no_room(situation, source, destination)

    def _no_room(self, situation: Situation, source: RegisteredAsset, destination: RegisteredAsset) -> str | None:
        there = situation.world.performance.get(destination.id)
        here = situation.world.performance.get(source.id)
        limit = self.max_destination_saturation
        if there is not None and there.saturation is not None and there.saturation > limit:
            return f"{destination.id} is at saturation {there.saturation:.2f}, the limit is {limit:g}"
        if destination.capacity_units == 0:
            return f"{destination.id} has no capacity"
        if there is None or there.utilization is None or here is None or here.utilization is None:
            return None
        if source.capacity_units is None or destination.capacity_units is None:
            return None
        load = source.capacity_units * min(here.utilization, 1.0)
        free = destination.capacity_units * max(0.0, 1.0 - there.utilization)
        return f"{destination.id} has {free:.3g} units free, {load:.3g} are needed" if free < load else None


def _declared(source: RegisteredAsset) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f for f in source.fallback_ids if f != source.id))


def _alike(world: World, source: RegisteredAsset) -> tuple[RegisteredAsset, ...]:
    """Assets of its tenant with all its capabilities, in id order, itself among them; worked out once a registry."""
    wanted = sorted({c.name for c in source.capabilities})
    if not wanted:
        return ()
    name = row_key("alike", "" if source.tenant is None else f"={source.tenant}", *wanted)
    known = world.derived.get(name)
    if known is None:
        names = set(wanted)
        found = (a for a in world.assets.values() if a.tenant == source.tenant and names <= _capabilities(a))
        known = world.derived[name] = tuple(sorted(found, key=lambda a: a.id))
    return cast("tuple[RegisteredAsset, ...]", known)


def _capabilities(asset: RegisteredAsset) -> set[str]:
    return {c.name for c in asset.capabilities}


def _cost(destination: RegisteredAsset | None) -> Cost:
    """A standby costs from then on. What works already is paid for, and its jobs are for routing to count."""
    if not is_standby(destination):
        return FREE
    usd = destination.cost_usd_per_hour if destination is not None else None
    return Cost(micro_usd(usd) if usd is not None else None)


def _told(problems: list[str]) -> str:
    more = len(problems) - _TOLD
    return "; ".join(problems[:_TOLD]) + (f"; and {more} more" if more > 0 else "")


def _preference(source: RegisteredAsset, other: RegisteredAsset) -> tuple[bool, bool, bool, float]:
    """Another failure domain, region, cloud first, then the more reliable; ties go by hash of the pair."""
    reliability = min((c.reliability for c in other.capabilities if c.reliability is not None), default=0.0)
    return (
        other.failure_domain is not None and other.failure_domain == source.failure_domain,
        other.region is not None and other.region == source.region,
        other.cloud is not None and other.cloud == source.cloud,
        -reliability,
    )
