"""kill -9 of the executors in the middle of a failover that is paused since: told as unknown, its drain is undone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from killable_site import Site, killable_site

from schemas.records import AnomalyState, Pause, PolicyRecord, Remediation, RemediationStatus
from streams.healing.ports import INTERRUPTED
from topology.bench.healing.kills import tell
from topology.bench.healing.sides import asset_of, register
from topology.client.publisher import now_ms

PATIENCE_S, LOOK_S = 120.0, 5.0
ILL = "web-00"


@dataclass
class Failing(Site):
    incident: str = ""

    def open_until_acted_on(self) -> None:
        """One incident after the other, until healing knows the assets and a failover is in the middle of it."""
        for number in range(int(PATIENCE_S / LOOK_S)):
            self.incident = f"slow-{number}"
            tell(self.publisher, ILL, self.incident, AnomalyState.OPENED)
            if self.runtime.reached.wait(LOOK_S):
                return
        raise AssertionError([r.reason for r in self.story.remediations.values()])

    def close_all(self) -> None:
        for number in range(int(self.incident.partition("-")[2]) + 1):
            tell(self.publisher, ILL, f"slow-{number}", AnomalyState.CLOSED)

    def pause(self, version: str, *, lifted: bool) -> None:
        pause = Pause(holder="ada", lifted=lifted)
        self.publisher.publish("policies", PolicyRecord.model_validate(
            {"id": "pause:ada", "kind": "pause", "version": version, "at": now_ms(), "pause": pause}
        ))  # fmt: skip
        self.publisher.flush()

    def steps(self, status: RemediationStatus) -> list[Remediation]:
        found = [r for r in self.story.steps(self.incident) if r.strategy == "failover"]
        return [r for r in found if r.status is status]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Failing]:
    with killable_site(tmp_path, "state drain", failback_after_s=1, page_min_severity="critical") as site:
        register(site.broker, [asset_of(n) for n in site.pool.names])
        yield Failing(**vars(site))


@pytest.mark.kafka
@pytest.mark.timeout(400)
def test_executors_killed_in_the_middle_of_a_failover_that_is_paused_since_leave_no_server_drained(
    site: Failing,
) -> None:
    site.open_until_acted_on()
    site.pause("1", lifted=False)
    site.executors.kill()
    assert site.pool.out_of_service() == {ILL}, "the drain stands, and nobody knows"

    site.runtime.go_on.set()
    site.executors.start()
    assert site.story.wait(lambda: bool(site.steps(RemediationStatus.FAILED)), PATIENCE_S)
    (failed,) = site.steps(RemediationStatus.FAILED)
    assert failed.reason.startswith(f"failover failed: {INTERRUPTED}: effects are paused by ada (pause:ada@1)")
    assert failed.reason.endswith(f"; it may stand, and is undone once {ILL} is well")

    site.pause("2", lifted=True)
    site.close_all()
    undone = RemediationStatus.ROLLED_BACK
    assert site.story.wait(lambda: bool(site.steps(undone)), PATIENCE_S), site.story.remediations.values()
    assert site.pool.out_of_service() == set()
    assert site.states_ordered() == ["drain", "ready"], "the failover is not repeated"
