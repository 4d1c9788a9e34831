"""The world's memory is bounded, and its version depends on what is known, not on the order in which it came."""

from __future__ import annotations

import itertools

from schemas.records import RegisteredAsset, Remediation, RemediationStatus
from streams.kit.layer import Event
from streams.kit.world import KEPT_REMEDIATIONS, World

AT = 1_790_000_000_000


def step(incident: int, status: RemediationStatus, strategy: str = "restart") -> Event:
    record = Remediation(
        id=f"r-{incident}-{status}", incident_id=f"i-{incident}", asset_id="a", strategy=strategy, status=status,
        cause_id="c", reason="r", at=AT + incident,
    )  # fmt: skip
    return Event("remediations", "a", record, record.at, "c")


def test_a_year_of_incidents_of_one_asset_takes_bounded_room() -> None:
    world = World()
    for incident in range(10_000):
        world.see(step(incident, RemediationStatus.EXECUTING))
        world.see(step(incident, RemediationStatus.VERIFIED))
    assert len(world.remediations["a"]) == KEPT_REMEDIATIONS
    assert "i-9999" in world.remediations["a"]


def test_what_is_in_effect_is_never_forgotten() -> None:
    world = World()
    world.see(step(0, RemediationStatus.VERIFIED, "failover"))
    world.see(step(1, RemediationStatus.EXECUTING))
    for incident in range(2, 1_000):
        world.see(step(incident, RemediationStatus.SUPPRESSED))
    assert {"i-0", "i-1", "i-999"} <= world.remediations["a"].keys()
    assert len(world.remediations["a"]) == KEPT_REMEDIATIONS


def test_the_registry_version_is_of_the_set_of_assets() -> None:
    events = [Event("assets", f"a{n}", RegisteredAsset(id=f"a{n}", version_hash=f"v{n}"), AT, "c") for n in range(3)]
    versions = set()
    for order in itertools.permutations(events):
        world = World()
        for event in order:
            world.see(event)
        versions.add(world.registry_version)
    assert len(versions) == 1
    world.see(Event("assets", "a0", None, AT, "c"))
    assert world.registry_version not in versions
