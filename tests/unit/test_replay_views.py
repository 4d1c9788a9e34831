"""A worker that starts reads its topics in any order between them; its view must come out the same (ADR 4)."""

from __future__ import annotations

import random
from itertools import permutations

import pytest

from schemas.records import RegisteredAsset, Remediation, RemediationStatus
from streams.kit.layer import Event
from streams.kit.world import World
from streams.routing.fleet import Fleet

T0 = 1_700_000_000_000


def asset(at: int, *, removed: bool = False) -> Event:
    return Event("assets", "a", None if removed else RegisteredAsset(id="a", capacity_units=1.0), T0 + at, f"a{at}")


def step(at: int, status: str, incident: str) -> Event:
    value = Remediation(
        id=f"r{at}", incident_id=incident, asset_id="a", strategy="failover", status=RemediationStatus(status),
        cause_id="c", reason="r", at=T0 + at,
    )  # fmt: skip
    return Event("remediations", "a", value, T0 + at, value.id)


REGISTRY = [asset(0), asset(20, removed=True), asset(30)]
STEPS = [step(10, "executing", "old"), step(40, "executing", "new"), step(50, "executing", "undone")]
STEPS += [step(60, "rolled_back", "undone")]


def merges(chance: random.Random) -> list[Event]:
    """Both topics in their own order, mixed at random."""
    order = [0] * len(REGISTRY) + [1] * len(STEPS)
    chance.shuffle(order)
    topics = [iter(REGISTRY), iter(STEPS)]
    return [next(topics[which]) for which in order]


def seen(events: list[Event]) -> tuple[object, ...]:
    world, fleet = World(), Fleet()
    for event in events:
        world.see(event)
        fleet.see(event)
    slot = fleet.columns.slots["a"]
    return world.remediations, fleet.drains, bool(fleet.columns.flags["drained"][slot]), world.registry_version


@pytest.mark.parametrize("seed", range(20))
def test_the_order_between_topics_does_not_show(seed: int) -> None:
    remediations, drains, drained, _ = told = seen([*REGISTRY, *STEPS])
    assert drains == {"a": {"new": T0 + 40}}
    assert drained
    assert isinstance(remediations, dict)
    assert set(remediations["a"]) == {"new", "undone"}
    assert seen(merges(random.Random(seed))) == told


def test_a_removed_asset_takes_its_drain_with_it() -> None:
    for order in permutations([asset(20, removed=True), step(10, "executing", "old")]):
        fleet = Fleet()
        for event in [asset(0), *order]:
            fleet.see(event)
        assert (fleet.drains, fleet.world.remediations) == ({}, {})
