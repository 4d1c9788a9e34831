"""A fault on purpose through all layers: a process is killed, telemetry shows it, the loop heals it, it is lifted."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from haproxy_process import haproxy_program
from inoculated_pool import EVERY_MINUTE, say, soonest

from schemas.records import (
    Anomaly,
    AnomalyState,
    AutonomyMode,
    Endpoint,
    HealthSignal,
    Remediation,
    RemediationStatus,
)
from streams.healing.executors.processes import find
from streams.healing.executors.settings import ProcessSpec
from topology.bench.healing.pool import SERVER, Pool, get, running_pool
from topology.bench.healing.sides import all_layers, asset_of, register, settings_of
from topology.client.publisher import Publisher, now_ms
from topology.client.reading import TopicReader

SERVERS = 12
LOOK_EVERY_S, REQUEST_EVERY_S, ANSWER_S = 0.25, 0.05, 30.0
LEAD_MS = 15_000
"""Until the first slot: series get a past. Where that takes longer the fault comes a minute later."""
PAST_ROUNDS = 30
"""Samples of each series before a fault is allowed, so that there is something to notice it by."""
PATIENCE_S = 200.0


@dataclass
class Site:
    pool: Pool
    broker: str
    supervised: dict[str, ProcessSpec]
    requests: Requests


@dataclass
class Requests:
    """Requests through HAProxy, one after the other: (steady clock when it began, status or 0) of each."""

    port: int
    told: list[tuple[float, int]] = field(default_factory=list)

    def __call__(self) -> None:
        began = time.monotonic()
        try:
            self.told.append((began, get(self.port, "/work", ANSWER_S)))
        except OSError:
            self.told.append((began, 0))

    def since(self, moment: float) -> list[int]:
        return [status for began, status in list(self.told) if began >= moment]


class Looks:
    """Telemetry of each server, as an agent beside it sends it: 1 = it gives no answer, whatever HAProxy thinks."""

    def __init__(self, broker: str, ports: dict[str, int]) -> None:
        self.publisher, self.ports, self.rounds = Publisher(broker), ports, 0

    def __call__(self) -> None:
        for name, port in self.ports.items():
            seen = HealthSignal(
                asset_id=name, metric="error_rate", value=failed(port), unit="share", at=now_ms(), source="looks"
            )
            self.publisher.publish_signals([seen])
        self.publisher.flush()
        self.rounds += 1


def failed(port: int) -> float:
    try:
        return float(get(port, "/work", ANSWER_S) != 200)
    except OSError:
        return 1.0


@contextmanager
def again_and_again(act: Callable[[], None], gap_s: float) -> Iterator[None]:
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(gap_s):
            act()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def supervised(pool: Pool, folder: Path) -> dict[str, ProcessSpec]:
    specs = {}
    for name, port in pool.ports.items():
        argv = (sys.executable, "-S", str(SERVER), str(port))
        specs[name] = ProcessSpec(argv=argv, pid_file=folder / f"{name}.pid")
        specs[name].pid_file.write_text(str(pool.running[name].pid))
    return specs


def end_all(specs: dict[str, ProcessSpec]) -> None:
    """What an executor has started is nobody's child any more."""
    for process in filter(None, map(find, specs.values())):
        process.kill()
        psutil.wait_procs([process], 10)


def register_all(broker: str, label: str, pool: Pool) -> None:
    """Servers that declare a process beside their place behind HAProxy."""
    assets = []
    for asset in (asset_of(name) for name in pool.names):
        own = (*asset.endpoints, Endpoint(type="process", url=f"process:{asset.id}"))
        assets.append(asset.model_copy(update={"labels": {"pool": label}, "endpoints": own}))
    register(broker, assets)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    haproxy_program()
    with ExitStack() as stack:
        pool = stack.enter_context(running_pool(tmp_path, SERVERS))
        specs = supervised(pool, tmp_path)
        stack.callback(end_all, specs)
        settings = settings_of(pool, inoculation=EVERY_MINUTE.model_dump(mode="json"))
        settings["executors"]["processes"] = {name: spec.model_dump(mode="json") for name, spec in specs.items()}
        settings["optimisation"] = {"look_every_s": 5, "performance_every_s": 5}
        broker = all_layers(stack, settings, tmp_path)
        register_all(broker, soonest("bench", LEAD_MS), pool)
        looks, requests = Looks(broker, pool.ports), Requests(pool.front)
        stack.enter_context(again_and_again(looks, LOOK_EVERY_S))
        stack.enter_context(again_and_again(requests, REQUEST_EVERY_S))
        while looks.rounds < PAST_ROUNDS:
            time.sleep(LOOK_EVERY_S)
        say(broker, "1", AutonomyMode.AUTO)
        yield Site(pool, broker, specs, requests)


class Story:
    """What the topics have told so far, each in its order."""

    def __init__(self, reader: TopicReader) -> None:
        self._reader = reader
        self.anomalies: list[Anomaly] = []
        self.remediations: list[Remediation] = []

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end, [f"{r.strategy} {r.status.value}: {r.reason}" for r in self.remediations]
            for record in (read.value for read in self._reader.poll(0.1)):
                if isinstance(record, Anomaly):
                    self.anomalies.append(record)
                elif isinstance(record, Remediation):
                    self.remediations.append(record)

    def experiment(self, status: RemediationStatus) -> Remediation | None:
        return next((r for r in self.remediations if r.strategy == "inoculation" and r.status is status), None)

    def of(self, asset: str, strategy: str) -> list[Remediation]:
        return [r for r in self.remediations if r.asset_id == asset and r.strategy == strategy]


@pytest.mark.kafka
@pytest.mark.timeout(600)
def test_a_fault_begins_by_itself_is_noticed_healed_lifted_and_scored_while_requests_go_on(site: Site) -> None:
    first = {name: spec.pid_file.read_text() for name, spec in site.supervised.items()}
    with TopicReader(site.broker, ("anomalies", "remediations"), from_beginning=True) as reader:
        story = Story(reader)
        story.until(lambda: story.experiment(RemediationStatus.SUCCEEDED) is not None)
        begun = story.experiment(RemediationStatus.SUCCEEDED)
        assert begun is not None
        victim = begun.asset_id
        assert begun.reason == f"the fault stands: process {victim} (pid {first[victim].strip()}) was killed on purpose"
        assert site.pool.running[victim].wait(10) == -9

        say(site.broker, "2", AutonomyMode.OBSERVE)  # One is enough; what stands is healed and lifted all the same.
        story.until(lambda: victim in site.pool.out_of_service())
        failed_over = time.monotonic()
        story.until(lambda: story.experiment(RemediationStatus.ROLLED_BACK) is not None)
        result = story.experiment(RemediationStatus.ROLLED_BACK)
        assert result is not None
        story.until(lambda: any(r.status is RemediationStatus.ROLLED_BACK for r in story.of(victim, "failover")))
        story.until(lambda: victim not in site.pool.out_of_service())
        back = time.monotonic()
        story.until(lambda: len(site.requests.since(back)) >= 3 * SERVERS)

    assert (result.incident_id, result.asset_id) == (begun.incident_id, victim)
    assert (result.evidence["passed"], result.evidence["resilience_score"]) == (True, 0.6667), result.reason
    opened = [a for a in story.anomalies if a.state is AnomalyState.OPENED]
    assert [(a.asset_id, a.metric) for a in opened] == [(victim, "error_rate")]
    assert result.evidence["inoculation_incident_id"] == opened[0].incident_id
    healed = [r.status.value for r in story.of(victim, "failover") if not r.evidence.get("failback")]
    assert healed == ["planned", "executing", "succeeded", "verified"]

    running = find(site.supervised[victim])
    assert running is not None
    assert result.reason.endswith(f"lifted: process {victim} was started as pid {running.pid}")
    others = {name: spec.pid_file.read_text() for name, spec in site.supervised.items() if name != victim}
    assert others == {name: pid for name, pid in first.items() if name != victim}
    assert get(site.pool.ports[victim], "/work", ANSWER_S) == 200
    assert set(site.requests.since(failed_over)) == {200}, "from the failover on nobody's request fails"
