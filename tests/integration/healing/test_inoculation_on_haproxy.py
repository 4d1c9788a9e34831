"""Engine, ledger, runner and a real HAProxy: a server is lost on purpose, the loop heals it, all is given back."""

from __future__ import annotations

import asyncio
import http.client
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from haproxy_process import HAProxy, haproxy

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
from streams.healing.executors.settings import ExecutorSettings, LoadBalancerSpec
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
    """Healing with its executors, in event time; a person's eye is the telemetry: who answers no request is ill."""

    def __init__(self, proxy: HAProxy) -> None:
        inoculation = InoculationSettings(pools=("web",), every_s=3600, from_hour=0, to_hour=24)
        gate = PolicyGate((), None, PolicySettings())
        layer = HealingLayer(HealingSettings(inoculation=inoculation, failback_after_s=60), gate)
        self.healing, self.proxy, self.now = Partition(layer, layer.new_view()), proxy, T0
        spec = LoadBalancerSpec(address=str(proxy.socket))
        executors = shipped_executors(ExecutorSettings(load_balancers={"edge": spec}))
        self.runner = ActionRunner(executors, Clearance(gate), lambda: self.now)
        self.told: list[Remediation] = []
        self.ledger = Ledger()

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
            connection = http.client.HTTPConnection("127.0.0.1", self.proxy.front_port, timeout=3)
            connection.request("GET", "/")
            answer = connection.getresponse()
            assert answer.status == 200
            found.add(answer.read().decode())
            connection.close()
        return found


def serve(name: str) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(name)))
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    servers = {name: serve(name) for name in NAMES}
    lines = "".join(f"  server {name} 127.0.0.1:{s.server_address[1]}\n" for name, s in servers.items())
    with ExitStack() as stack:
        proxy = stack.enter_context(haproxy(tmp_path, f"backend web\n{lines}"))
        for server in servers.values():
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
        made = Loop(proxy)
        for name in NAMES:
            server_of = Endpoint(type="haproxy", url=f"haproxy:edge/web/{name}")
            made.view("assets", name, RegisteredAsset(
                id=name, tenant="acme", labels={"pool": "web"}, endpoints=(server_of,),
                capabilities=(Capability(name="web"),),
            ))  # fmt: skip
        rule = ModeRule(strategy="inoculation", mode=AutonomyMode.AUTO)
        made.view("policies", "mode", PolicyRecord.model_validate(
            {"id": "mode", "kind": "mode", "version": "1", "at": T0, "mode": rule}
        ))  # fmt: skip
        yield made


def test_a_server_is_lost_on_purpose_healed_and_given_back(loop: Loop) -> None:
    loop.figures()
    loop.advance(loop.slot() - 10 * S)
    loop.figures()
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
    loop.figures()
    loop.advance(loop.slot() - 10 * S)
    loop.figures()
    loop.advance(loop.slot())
    (victim,) = set(NAMES) - loop.answers()
    other = next(name for name in NAMES if name != victim)
    loop.telemetry(other, "opened")
    assert victim in loop.answers()
    result = next(r for r in loop.told if r.strategy == "inoculation" and r.status is RemediationStatus.ROLLED_BACK)
    assert result.evidence["passed"] is False
    assert f"aborted: {other}, another asset of the pool, has an incident" in result.reason
