"""Engine and runner with a real HAProxy, and with real processes: lost on purpose, healed, and all is given back."""

from __future__ import annotations

import asyncio
import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from haproxy_process import haproxy
from http_serving import Named

from schemas.records import (
    ActionOutcome,
    Anomaly,
    Asset,
    AutonomyMode,
    Capability,
    Endpoint,
    ModeRule,
    Performance,
    PolicyRecord,
    RegisteredAsset,
    Remediation,
    RemediationStatus,
)
from streams.command.ledger import Entry, Ledger
from streams.healing.draft import inoculation_key
from streams.healing.engine import HealingLayer
from streams.healing.executors.clearance import Clearance
from streams.healing.executors.runner import ActionRunner
from streams.healing.executors.settings import ExecutorSettings, LoadBalancerSpec, ProcessSpec
from streams.healing.executors.shipped import shipped_executors
from streams.healing.inoculation.settings import InoculationSettings
from streams.healing.settings import HealingSettings
from streams.kit.ids import row_key
from streams.kit.layer import Emission, Event
from streams.kit.partition import Partition
from streams.policy.gate import PolicyGate
from streams.policy.settings import PolicySettings

T0, S = 1_700_000_000_000, 1_000
NAMES = tuple(f"web-{i:02}" for i in range(12))
POOL = row_key("label", "acme", "web")


class Loop:
    """Healing with its executors, in event time; the test is the telemetry: it says who is ill."""

    def __init__(self, executors: ExecutorSettings, endpoints: dict[str, Endpoint], front_port: int = 0) -> None:
        inoculation = InoculationSettings(pools=("web",), every_s=3600, from_hour=0, to_hour=24)
        gate = PolicyGate((), None, PolicySettings())
        layer = HealingLayer(HealingSettings(inoculation=inoculation, failback_after_s=60), gate)
        self.healing, self.front_port, self.now = Partition(layer, layer.new_view()), front_port, T0
        self.runner = ActionRunner(shipped_executors(executors), Clearance(gate), lambda: self.now)
        self.told: list[Remediation] = []
        self.ledger = Ledger()
        for name, endpoint in endpoints.items():
            self.view("assets", name, RegisteredAsset(
                id=name, tenant="acme", labels={"pool": "web"}, endpoints=(endpoint,),
                capabilities=(Capability(name="web"),),
            ))  # fmt: skip
        rule = ModeRule(strategy="inoculation", mode=AutonomyMode.AUTO)
        self.view("policies", "mode", PolicyRecord.model_validate(
            {"id": "mode", "kind": "mode", "version": "1", "at": T0, "mode": rule}
        ))  # fmt: skip
        self.figures()
        self.advance(self.slot() - 10 * S)
        self.figures()

    def view(self, topic: str, key: str, value: Asset | Performance | PolicyRecord) -> None:
        event = Event(topic, key, value, self.now, f"{topic}-{key}-{self.now}")
        self.healing.layer.see(self.healing.view, event)
        self.take(self.healing.on_view(event))

    def take(self, emissions: list[Emission]) -> None:
        for record in (e.value for e in emissions):
            assert isinstance(record, Remediation)
            self.keep("remediations", record)
            self.told.append(record)
            if record.status is RemediationStatus.EXECUTING:
                self.carry_out(record)

    def keep(self, topic: str, record: Remediation | Anomaly | ActionOutcome) -> None:
        place = f"{topic}:0:{len(self.ledger)}"
        self.ledger.add(Entry(record.id, topic, record.asset_id, record.at, record, place))

    def carry_out(self, order: Remediation) -> None:
        outcome = asyncio.run(self.runner.run(order, self.healing.view))
        assert outcome.succeeded, outcome.detail
        self.keep("action-outcomes", outcome)
        self.take(self.healing.on_event(Event("action-outcomes", order.asset_id, outcome, self.now, outcome.id)))

    def advance(self, to: int) -> None:
        self.now = to
        self.take(self.healing.advance(to))

    def figures(self) -> None:
        for name in NAMES:
            self.view("performance", name, Performance(asset_id=name, at=self.now, window_s=300, samples=30))

    def telemetry(self, asset_id: str, state: str) -> None:
        record = Anomaly.model_validate(
            {
                "id": f"a-{state}", "incident_id": "inc", "state": state, "asset_id": asset_id,
                "metric": "availability", "kind": "absence", "severity": "high", "score": 9.0, "direction": "down",
                "value": 0.0, "expected": 1.0, "slope_per_s": 0.0, "confidence": 1.0, "at": self.now,
                "started_at": self.now, "cause_id": "look", "reason": "no answer of it any more",
            }
        )  # fmt: skip
        self.keep("anomalies", record)
        self.take(self.healing.on_event(Event("anomalies", asset_id, record, self.now, record.id)))

    def slot(self) -> int:
        return int(self.healing.rows[inoculation_key(POOL)].due_at)  # type: ignore[union-attr, arg-type]

    def answers(self) -> set[str]:
        found = set()
        for _ in range(3 * len(NAMES)):
            connection = http.client.HTTPConnection("127.0.0.1", self.front_port, timeout=3)
            connection.request("GET", "/")
            answer = connection.getresponse()
            assert answer.status == 200
            found.add(answer.read().decode())
            connection.close()
        return found


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    servers = {name: Named(name) for name in NAMES}
    lines = "".join(f"  server {name} 127.0.0.1:{s.port}\n" for name, s in servers.items())
    with ExitStack() as stack:
        proxy = stack.enter_context(haproxy(tmp_path, f"backend web\n{lines}"))
        for server in servers.values():
            stack.callback(server.kill)
        spec = LoadBalancerSpec(address=str(proxy.socket))
        endpoints = {name: Endpoint(type="haproxy", url=f"haproxy:edge/web/{name}") for name in NAMES}
        yield Loop(ExecutorSettings(load_balancers={"edge": spec}), endpoints, proxy.front_port)


def test_a_server_is_lost_on_purpose_healed_and_given_back(loop: Loop) -> None:
    assert loop.answers() == set(NAMES)

    loop.advance(loop.slot())
    (victim,) = set(NAMES) - loop.answers()
    experiment = loop.told[-1].incident_id
    loop.advance(loop.now + 3 * S)
    loop.telemetry(victim, "opened")
    assert loop.answers() == set(NAMES) - {victim}
    loop.advance(loop.now + 31 * S)
    result = loop.told[-1]
    assert (result.status, result.strategy) == (RemediationStatus.ROLLED_BACK, "inoculation")
    assert (result.evidence["passed"], result.evidence["detected_s"]) == (True, 3.0)
    assert result.evidence["resilience_score"] == 0.6667
    assert loop.answers() == set(NAMES) - {victim}, "the failover that healed it stands until it has been well"

    loop.telemetry(victim, "closed")
    loop.advance(loop.now + 61 * S)
    assert loop.answers() == set(NAMES)

    for name in (experiment, "inc"):
        story = [e.record for e in loop.ledger.story(name)]
        steps = [(r.strategy, r.status.value) for r in story if isinstance(r, Remediation)]
        assert ("inoculation", "executing") in steps
        assert ("failover", "verified") in steps
        assert ("inoculation", "rolled_back") in steps
        assert any(isinstance(r, Anomaly) for r in story)


def test_an_incident_of_another_server_gives_the_victim_back_at_once(loop: Loop) -> None:
    loop.advance(loop.slot())
    (victim,) = set(NAMES) - loop.answers()
    other = next(name for name in NAMES if name != victim)
    loop.telemetry(other, "opened")
    assert victim in loop.answers()
    result = next(r for r in loop.told if r.strategy == "inoculation" and r.status is RemediationStatus.ROLLED_BACK)
    assert result.evidence["passed"] is False
    assert f"aborted: {other}, another asset of the pool, has an incident" in result.reason


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[dict[str, ProcessSpec]]:
    """Twelve processes that run, each by a name of its own; whatever runs at the end is ended by its pid file."""
    specs = {}
    for name in NAMES:
        argv = (sys.executable, "-S", "-c", "import time; time.sleep(300)", name)
        specs[name] = ProcessSpec(argv=argv, pid_file=tmp_path / f"{name}.pid")
        specs[name].pid_file.write_text(str(subprocess.Popen(argv).pid))
    yield specs
    for spec in specs.values():
        if psutil.pid_exists(pid := int(spec.pid_file.read_text())):
            process = psutil.Process(pid)
            process.kill()
            process.wait(5)


def running(specs: dict[str, ProcessSpec]) -> set[str]:
    """By their pid files; a zombie has ended."""
    pids = {name: int(spec.pid_file.read_text()) for name, spec in specs.items()}
    alive = {n: psutil.Process(pid) for n, pid in pids.items() if psutil.pid_exists(pid)}
    return {name for name, process in alive.items() if process.status() != psutil.STATUS_ZOMBIE}


def killed(specs: dict[str, ProcessSpec]) -> str:
    """The one that does not run any more: a moment passes between the signal and the end."""
    end = time.monotonic() + 10.0
    while not (gone := set(NAMES) - running(specs)):
        assert time.monotonic() < end, "all of them run"
        time.sleep(0.005)
    (victim,) = gone
    return victim


def test_a_process_is_killed_on_purpose_and_a_restart_heals_it(processes: dict[str, ProcessSpec]) -> None:
    endpoints = {name: Endpoint(type="process", url=f"process:{name}") for name in NAMES}
    loop = Loop(ExecutorSettings(processes=processes), endpoints)
    assert running(processes) == set(NAMES)
    loop.advance(loop.slot())
    victim = killed(processes)
    loop.advance(loop.now + 3 * S)
    loop.telemetry(victim, "opened")
    assert running(processes) == set(NAMES)
    loop.advance(loop.now + 2 * S)
    loop.telemetry(victim, "closed")
    fresh = processes[victim].pid_file.read_text()
    loop.advance(loop.now + 31 * S)
    result = loop.told[-1]
    assert (result.status, result.evidence["passed"]) == (RemediationStatus.ROLLED_BACK, True)
    assert result.reason.endswith(f"lifted: process {victim} runs as pid {fresh.strip()}")
    assert [r.strategy for r in loop.told if r.status is RemediationStatus.VERIFIED] == ["restart"]
    assert processes[victim].pid_file.read_text() == fresh


def test_a_process_that_nobody_missed_is_started_again_at_the_end(processes: dict[str, ProcessSpec]) -> None:
    endpoints = {name: Endpoint(type="process", url=f"process:{name}") for name in NAMES}
    loop = Loop(ExecutorSettings(processes=processes), endpoints)
    loop.advance(loop.slot())
    killed(processes)
    loop.advance(loop.now + 180 * S)
    assert running(processes) == set(NAMES)
    assert "not passed: nobody noticed the fault within 180 s" in loop.told[-1].reason
