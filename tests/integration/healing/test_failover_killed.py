"""kill -9 of the executors in the middle of a failover that is paused since: told as unknown, its drain is undone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from haproxy_process import haproxy_program
from held_runtime import HeldRuntime, held_runtime

from schemas.records import AnomalyState, Pause, PolicyRecord, Remediation, RemediationStatus
from streams.healing.ports import INTERRUPTED
from topology.admin import TopicAdmin, wanted_topics
from topology.bench.healing.killed import Killable, Story
from topology.bench.healing.kills import tell
from topology.bench.healing.pool import Pool, running_pool
from topology.bench.healing.sides import asset_of, register, settings_of
from topology.client.publisher import Publisher, now_ms
from topology.embedded import embedded_kafka
from topology.settings import Settings

SERVERS, PATIENCE_S, LOOK_S = 12, 120.0, 5.0
LAYERS = ("discovery", "healing", "executors")
ILL = "web-00"
SETTINGS = {"strategy_timeout_s": 150, "lease_s": 300, "failback_after_s": 1, "page_min_severity": "critical"}
"""A slow machine has its executors again before healing stops waiting for the outcome."""


@dataclass
class Site:
    pool: Pool
    runtime: HeldRuntime
    executors: Killable
    story: Story
    publisher: Publisher
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
def site(tmp_path: Path) -> Iterator[Site]:
    haproxy_program()
    with ExitStack() as stack:
        pool = stack.enter_context(running_pool(tmp_path, SERVERS))
        runtime = stack.enter_context(held_runtime(tmp_path / "held.sock", pool.runtime, hold="state drain"))
        broker = stack.enter_context(embedded_kafka()).bootstrap
        settings = settings_of(pool, **SETTINGS)
        settings["executors"] = {"load_balancers": {"edge": {"address": str(runtime.path), "timeout_s": 60}}}
        TopicAdmin(broker).create(wanted_topics(Settings(**settings)))
        layers = {name: Killable(name, broker, tmp_path / name, settings) for name in LAYERS}
        for layer in layers.values():
            layer.start()
            stack.callback(layer.kill)
        for layer in layers.values():
            layer.wait_ready()
        register(broker, [asset_of(n) for n in pool.names])
        time.sleep(3)  # An executor that has not read of an asset yet takes it for one that nobody has to be told of.
        story = stack.enter_context(Story(broker))
        yield Site(pool, runtime, layers["executors"], story, Publisher(broker))


@pytest.mark.kafka
@pytest.mark.timeout(400)
def test_executors_killed_in_the_middle_of_a_failover_that_is_paused_since_leave_no_server_drained(site: Site) -> None:
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
    orders = [c.rpartition(" state ")[2] for c in site.runtime.commands if " state " in c and "set server" in c]
    assert orders == ["drain", "ready"], "the failover is not repeated"
