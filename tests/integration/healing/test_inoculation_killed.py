"""kill -9 of the executors in the middle of a fault on purpose: it does not stay, and says nothing about the pool."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from inoculated_pool import EVERY_MINUTE, say, soonest
from killable_site import SERVERS, Site, killable_site

from schemas.records import AutonomyMode, Performance, Remediation, RemediationStatus
from streams.healing.ports import INTERRUPTED
from topology.bench.healing.pool import get
from topology.bench.healing.sides import asset_of, register
from topology.client.publisher import now_ms

LEAD_MS, PATIENCE_S = 5_000, 200.0


class Inoculated(Site):
    def figures(self) -> None:
        """Without figures of now nobody is harmed."""
        for name in self.pool.names:
            self.publisher.publish("performance", Performance(asset_id=name, at=now_ms(), window_s=300, samples=30))
        self.publisher.flush()

    def experiment(self, status: RemediationStatus) -> list[Remediation]:
        steps = list(self.story.remediations.values())
        return [r for r in steps if r.strategy == "inoculation" and r.status is status]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Inoculated]:
    with killable_site(tmp_path, "state maint", inoculation=EVERY_MINUTE.model_dump(mode="json")) as site:
        label = soonest("bench", LEAD_MS)
        register(site.broker, [asset_of(n).model_copy(update={"labels": {"pool": label}}) for n in site.pool.names])
        say(site.broker, "1", AutonomyMode.AUTO)
        yield Inoculated(**vars(site))


@pytest.mark.kafka
@pytest.mark.timeout(600)
def test_executors_killed_in_the_middle_of_an_injection_take_the_fault_away_and_count_nothing(site: Inoculated) -> None:
    end = time.monotonic() + PATIENCE_S
    while not site.runtime.reached.wait(1.0):
        assert time.monotonic() < end, [r.reason for r in site.story.remediations.values()]
        site.figures()
    say(
        site.broker, "2", AutonomyMode.OBSERVE
    )  # Forbidden from now on: what may stand must be taken away all the same.
    (victim,) = site.pool.out_of_service()
    site.executors.kill()
    assert site.pool.out_of_service() == {victim}, "the fault stands, and nobody knows"
    assert [get(site.pool.front, "/work", 30.0) for _ in range(2 * SERVERS)] == [200] * (2 * SERVERS)

    site.runtime.go_on.set()
    site.executors.start()
    lifted = RemediationStatus.ROLLED_BACK
    assert site.story.wait(lambda: bool(site.experiment(lifted)), PATIENCE_S), site.story.remediations.values()
    assert site.pool.out_of_service() == set()
    (result,) = site.experiment(lifted)
    (injected,) = site.experiment(RemediationStatus.FAILED)
    why = f"({INTERRUPTED}: mode of inoculation is now observe (mode:inoculation@2))"
    assert result.reason.startswith(f"not counted: whether it stands is not known {why}"), result.reason
    assert (result.asset_id, injected.asset_id) == (victim, victim)
    told = {k: result.evidence[k] for k in ("passed", "resilience_score", "experiments_passed", "experiments_failed")}
    assert told == {"passed": None, "resilience_score": 0.5, "experiments_passed": 0.0, "experiments_failed": 0.0}
    assert site.states_ordered() == ["maint", "ready"], "the injection is not repeated"
    assert get(site.pool.front, "/work", 30.0) == 200
