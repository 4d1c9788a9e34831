"""Each layer's registered Faust agent, on Faust's own test context: a Batch goes in, what the engine gives is staged.

No broker: the app is not started, so changelog, commits and rebalances are not in here (those run on a real Kafka).
What is staged is caught where the app would take it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from schemas.codec import decode, encode
from schemas.records import (
    Action,
    ActionOutcome,
    Anomaly,
    AnomalyKind,
    AnomalyState,
    Asset,
    AutonomyMode,
    Capability,
    Direction,
    DiscoveryEvent,
    Endpoint,
    HealthSignal,
    JobRequest,
    ModeRule,
    Op,
    Performance,
    PolicyRecord,
    Record,
    RegisteredAsset,
    Remediation,
    RemediationStatus,
    Severity,
)
from streams.atleastonce import Batch, Output, RawMessage, partition_for
from streams.atleastonce.app import App
from streams.atleastonce.producer import ConfirmedProducer
from streams.runtime.ingest import key_of
from streams.runtime.owned import RUNTIME_ROW
from topology import app as wiring
from topology.app import Worker
from topology.settings import Settings
from topology.tables import LAYERS
from topology.topics import BY_NAME

NOW = 1_700_000_000_000
NAMES = tuple(card.name for card in LAYERS)
PARTITIONS = 4
S = 1_000


@pytest.fixture(autouse=True)
def producers_end_with_their_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Else they go on to look for a broker that is not there, and say so among the results."""
    made: list[ConfirmedProducer] = []
    make = App.new_confirmed_producer

    def kept(app: App) -> ConfirmedProducer:
        made.append(make(app))
        return made[-1]

    monkeypatch.setattr(App, "new_confirmed_producer", kept)
    yield
    for producer in made:
        producer.stop()


@dataclass
class Caught:
    """What the agent staged."""

    rows: dict[bytes, bytes | None] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    applied: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    failures: list[BaseException] = field(default_factory=list)

    def stage(
        self,
        partition: int,
        *,
        rows: Mapping[bytes, bytes | None],
        outputs: Sequence[Output],
        applied: Mapping[str, int],
    ) -> None:
        self.calls += 1
        self.rows.update(rows)
        self.outputs += outputs
        self.applied.update(applied)

    def records(self, topic: str) -> list[Record]:
        found = [decode(BY_NAME[topic].records, o.value, o.headers) for o in self.outputs if o.topic == topic]
        return [record for record in found if record is not None]


@asynccontextmanager
async def agent_of(
    name: str, folder: Path, settings: Settings | None = None
) -> AsyncIterator[tuple[Any, Worker, Caught]]:
    """The layer's agent as `topology.app` registers it, fed by Faust's test context."""
    [worker] = wiring.build(settings or Settings(), "127.0.0.1:9", [name], folder=folder)
    app, caught = worker.app, Caught()
    app.loop = asyncio.get_running_loop()
    app.finalize()
    app.conf.store = "memory://"
    app.flow_control.resume()
    app.stage = caught.stage  # type: ignore[method-assign,assignment]
    app.on_fatal = lambda error, _status: caught.failures.append(error)
    app.table.rows = lambda _partition: []  # type: ignore[method-assign]
    worker.runner._reader.ready.set()
    [agent] = [a for a in app.agents.values() if a.name == name or a.name.endswith(f".{name}")]
    async with agent.test_context() as fed:
        yield fed, worker, caught


def flush(worker: Worker, caught: Caught) -> None:
    """What the app asks for when a flush begins: rows that were not encoded yet, and the journal."""
    for partition in worker.runner.owned:
        caught.rows.update(worker.app.ownership.late_rows(partition))
        caught.outputs += worker.app.ownership.closing(partition)


def message(record: Record, offset: int = 0) -> RawMessage:
    return RawMessage(offset, NOW, (key_of(record) or "scope").encode(), encode(record))


def home(topic: str, key: str) -> int:
    return partition_for(key.encode(), PARTITIONS) if BY_NAME[topic].split == "scaled" else 0


def batch(topic: str, *records: Record) -> Batch:
    key = key_of(records[0]) or "scope"
    return Batch(topic, home(topic, key), [message(r, n) for n, r in enumerate(records)])


def signals(metric: str = "latency_ms") -> list[HealthSignal]:
    values = [100.0 + n % 5 for n in range(120)] + [900.0, 910.0]
    return [
        HealthSignal(asset_id="a", metric=metric, value=v, unit="ms", at=NOW - (200 - n) * S)
        for n, v in enumerate(values)
    ]


def test_only_the_layer_of_windows_lets_its_inputs_wait_for_company(tmp_path: Path) -> None:
    waits = {w.card.name: w.app.settings.gather_s for w in wiring.build(Settings(), "127.0.0.1:9", folder=tmp_path)}
    assert {name for name, gather_s in waits.items() if gather_s > 0} == {"optimisation"}


def test_nobody_waits_for_a_decision_because_of_what_was_written_before(tmp_path: Path) -> None:
    apps = {w.card.name: w.app for w in wiring.build(Settings(), "127.0.0.1:9", folder=tmp_path)}
    pace = apps["routing"].ownership._pace
    pace.correct(0.0, 60.0)  # as after a backlog: minutes of its share of a core are spent
    assert pace.turn_s(0.01, 1_000.0) <= 1_000.02
    assert {name for name, app in apps.items() if app.settings.flush_wait_most_s < 1} == {"routing"}


def incident() -> Anomaly:
    return Anomaly(
        id="n1", incident_id="i1", state=AnomalyState.OPENED, asset_id="a", metric="latency_ms", kind=AnomalyKind.SPIKE,
        severity=Severity.CRITICAL, score=9.0, direction=Direction.UP, value=900.0, expected=100.0, slope_per_s=0.0,
        confidence=0.99, at=NOW, started_at=NOW, cause_id="c", reason="it jumped",
    )  # fmt: skip


def order() -> Remediation:
    return Remediation(
        id="r1", incident_id="i1", asset_id="a", strategy="restart", status=RemediationStatus.EXECUTING,
        actions=(Action(type="restart", target_id="a"),), action_id="x1", fencing_epoch=1, cause_id="n1",
        reason="test", at=NOW,
    )  # fmt: skip


INPUT: dict[str, tuple[str, tuple[Record, ...], str]] = {
    "discovery": (
        "discovery-events",
        (
            DiscoveryEvent(
                source="s",
                scope="scope",
                op=Op.UPSERT,
                asset=Asset(id="a", capabilities=(Capability(name="c"),)),
                at=NOW,
            ),
        ),
        "assets",
    ),
    "telemetry": ("health-signals", tuple(signals()), "anomalies"),
    "healing": ("anomalies", (incident(),), "remediations"),
    "executors": ("remediations", (order(),), "action-outcomes"),
    "optimisation": ("health-signals", tuple(signals("saturation")), "performance"),
    "routing": ("job-requests", (JobRequest(id="j1", required_capabilities=("c",), at=NOW),), "routing-decisions"),
}


def test_every_layer_has_a_test_here() -> None:
    assert INPUT.keys() == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
async def test_the_agent_stages_what_the_engine_gives_for_a_batch(name: str, tmp_path: Path) -> None:
    topic, records, told_on = INPUT[name]
    async with agent_of(name, tmp_path) as (fed, worker, caught):
        await fed.put(batch(topic, *records))
        flush(worker, caught)
        assert caught.applied == {topic: len(records)}
        assert caught.rows.keys() > {RUNTIME_ROW}, "rows of the layer, and the runtime's own"
        if name == "executors":
            assert list(worker.runner.layer.pending(worker.runner.owned[0].machine.rows)) == [order()]  # type: ignore[attr-defined]
        else:
            assert caught.records(told_on), "a decision came out"
        assert {o.topic for o in caught.outputs} <= {*worker.card.outputs, "journal"}
        assert worker.runner.counters.taken == len(records)
    assert caught.failures == []


@pytest.mark.parametrize("name", NAMES)
async def test_the_agent_sends_bad_input_to_the_dead_letters_and_takes_the_good(name: str, tmp_path: Path) -> None:
    topic, records, _ = INPUT[name]
    good = message(records[0], 1)
    assert good.key is not None
    bad = [
        RawMessage(0, NOW, good.key, b"\x07rubbish"),
        good,
        RawMessage(2, NOW, b"", good.value),
        RawMessage(3, NOW, good.key, json.dumps({"at": "soon"}).encode()),
        RawMessage(4, NOW - 86_400_000, good.key, good.value),
    ]
    async with agent_of(name, tmp_path) as (fed, worker, caught):
        await fed.put(Batch(topic, home(topic, good.key.decode()), bad))
        flush(worker, caught)
        assert caught.applied == {topic: 5}, "the stream goes on"
        letters = [dict(o.headers) for o in caught.outputs if o.topic == "dead-letters"]
        if wiring.reporter(topic) == name:
            assert [(h["offset"], h["error"]) for h in letters] == [
                (b"0", b"undecodable"),
                (b"2", b"empty"),
                (b"3", b"invalid"),
                (b"4", b"time_out_of_range"),
            ]
            assert [o.value for o in caught.outputs if o.topic == "dead-letters"] == [
                m.value for m in bad if m is not good
            ]
        else:
            assert letters == [], f"{wiring.reporter(topic)} reports them, once"
        assert worker.runner.counters.refused == len(letters)
        assert caught.rows.keys() > {RUNTIME_ROW}, "the good one is in the state"


@pytest.mark.parametrize("name", ["telemetry", "routing"])
async def test_the_agent_sends_a_misplaced_record_home(name: str, tmp_path: Path) -> None:
    topic, records, _ = INPUT[name]
    key = key_of(records[0]) or ""
    async with agent_of(name, tmp_path) as (fed, _, caught):
        await fed.put(Batch(topic, (home(topic, key) + 1) % PARTITIONS, [message(records[0])]))
        assert [(o.topic, o.key) for o in caught.outputs] == [(topic, key.encode())]
        assert caught.rows.keys() <= {RUNTIME_ROW}


@pytest.mark.parametrize("name", NAMES)
async def test_the_apps_callbacks_reach_the_runner(name: str, tmp_path: Path) -> None:
    async with agent_of(name, tmp_path) as (fed, worker, _):
        topic, records, _ = INPUT[name]
        await worker.app.on_partition_ready(home(topic, key_of(records[0]) or "scope"))
        partition = next(iter(worker.runner.owned))
        await fed.put(batch(topic, *records))
        [journal] = worker.app.ownership.closing(partition)
        assert journal.key == f"{name}:{partition}".encode()
        assert [entry[0] for entry in json.loads(journal.value or b"")] == ["flush", "start", "in"]
        await worker.app.on_partition_lost(partition)
        assert worker.runner.owned == {}


async def test_the_registered_asset_reaches_routing_by_its_view(tmp_path: Path) -> None:
    from streams.runtime.ingest import read_event
    from streams.runtime.views import ViewRecord

    async with agent_of("routing", tmp_path) as (fed, worker, caught):
        known = RegisteredAsset(id="a", capabilities=(Capability(name="c"),), capacity_units=1.0)
        raw = message(known)
        event = read_event(worker.runner.config.views["assets"], 0, raw)
        worker.runner.take_views([ViewRecord("assets", 0, 0, event, raw)])
        await fed.put(batch("job-requests", JobRequest(id="j1", required_capabilities=("c",), at=NOW)))
        [decision] = caught.records("routing-decisions")
        assert decision.target_id == "a"  # type: ignore[attr-defined]


async def test_a_fault_on_purpose_is_ordered_by_what_the_views_tell(tmp_path: Path) -> None:
    """No incident comes in: figures of the pool set its slot, and their event time reaches it."""
    from streams.runtime.ingest import read_event
    from streams.runtime.views import ViewRecord

    named = {"pools": ("web",), "every_s": 60, "from_hour": 0, "to_hour": 24}
    settings = Settings.model_validate({"healing": {"inoculation": named}})
    names, offsets = [f"w{n:02}" for n in range(12)], itertools.count()
    async with agent_of("healing", tmp_path, settings) as (_, worker, caught):
        await worker.app.on_partition_ready(0)

        def see(topic: str, record: Record) -> None:
            offset, place = next(offsets), home(topic, key_of(record) or "")
            raw = message(record, offset)
            event = read_event(worker.runner.config.views[topic], place, raw)
            worker.runner.take_views([ViewRecord(topic, place, offset, event, raw)])

        for name in names:
            server = Endpoint(type="haproxy", url=f"haproxy:edge/web/{name}")
            see("assets", RegisteredAsset(id=name, labels={"pool": "web"}, endpoints=(server,)))
        rule = ModeRule(strategy="inoculation", mode=AutonomyMode.AUTO)
        see(
            "policies",
            PolicyRecord.model_validate({"id": "m", "kind": "mode", "version": "1", "mode": rule, "at": NOW}),
        )
        for at in (NOW, NOW + 60 * S):
            for name in names:
                see("performance", Performance(asset_id=name, at=at, window_s=300, samples=30))
        steps = [r for r in caught.records("remediations") if isinstance(r, Remediation)]
        assert [s.status for s in steps] == [RemediationStatus.PLANNED, RemediationStatus.EXECUTING]
        assert [a.type for a in steps[-1].actions] == ["inoculate"]
    assert caught.failures == []


async def test_an_outcome_of_an_effect_is_staged_with_its_row(tmp_path: Path) -> None:
    """The executors' layer: the order's row is pending, the driver's outcome makes it done and is published with it."""
    async with agent_of("executors", tmp_path) as (fed, worker, caught):
        assert worker.effects is not None
        await fed.put(batch("remediations", order()))
        assert caught.records("action-outcomes") == []
        before = caught.calls
        await worker.effects._carry_out(0, order())
        [outcome] = caught.records("action-outcomes")
        assert isinstance(outcome, ActionOutcome)
        assert (outcome.action_id, outcome.succeeded) == ("x1", False), "nothing is registered that could be restarted"
        assert caught.calls == before + 1
        assert list(worker.effects._layer.pending(worker.runner.owned[0].machine.rows)) == []


def test_two_layers_of_one_process_have_groups_and_tables_of_their_own(tmp_path: Path) -> None:
    workers = wiring.build(Settings(), "127.0.0.1:9", ["telemetry", "routing"], folder=tmp_path)
    assert [w.app.conf.id for w in workers] == ["maestro-telemetry", "maestro-routing"]
    assert len({w.app.plan.changelog.name for w in workers}) == 2


def test_an_unknown_layer_is_refused_with_the_names_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="no such layer: telemetri; layers: discovery, telemetry"):
        wiring.build(Settings(), "127.0.0.1:9", ["telemetri"], folder=tmp_path)


def test_each_topic_that_is_read_has_one_layer_that_reports_its_bad_records(tmp_path: Path) -> None:
    workers = wiring.build(Settings(), "127.0.0.1:9", folder=tmp_path)
    reported = [topic for w in workers for topic in w.runner.config.reports]
    assert sorted(reported) == sorted({t for card in LAYERS for t in (*card.inputs, *card.views)})
