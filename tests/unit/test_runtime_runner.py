"""One layer on a host that is only told what to stage: inputs, views, silence, takeover."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
import pytest

from schemas.codec import decode, encode
from schemas.records import HealthSignal, HealthSignalBatch, JobOutcome, JobRequest, JobResult, RegisteredAsset
from schemas.wire import Wire
from streams.atleastonce.batch import Batch, Output, RawMessage, partition_for
from streams.kit.layer import Emission, Event, Step
from streams.runtime import owned as owned_module
from streams.runtime.ingest import Rules, read_event
from streams.runtime.owned import RUNTIME_ROW
from streams.runtime.runner import JOURNAL_ENTRIES, LayerRunner, RunnerConfig
from streams.runtime.views import ViewRecord

BROKER_MS = 1_700_000_000_000
AT = BROKER_MS - 600_000


@dataclass(frozen=True)
class Row:
    count: int
    due: int | None = None


class Toy:
    """Counts the jobs of a key, says which assets it knows, and reacts to each new asset for each row."""

    name = "toy"
    inputs = ("job-requests",)
    views = ("assets", "policies")

    def __init__(self, delay_ms: int | None = None) -> None:
        self.delay_ms = delay_ms

    def new_view(self) -> list[str]:
        return []

    def see(self, view: list[str], event: Event) -> None:
        view.append(event.key)

    def step(self, rows: Mapping[str, Row], view: list[str], event: Event, now: int) -> Step[Row]:
        row = Row(rows.get(event.key, Row(0)).count + 1, None if self.delay_ms is None else now + self.delay_ms)
        return Step({event.key: row}, (self._said(event.key, row.count, len(view), now, event.cause_id),))

    def on_view(self, rows: Mapping[str, Row], view: list[str], event: Event, now: int) -> Step[Row]:
        if event.topic != "assets":
            return Step()
        told = tuple(self._said(key, row.count, len(view), event.at, event.cause_id) for key, row in rows.items())
        return Step({key: Row(row.count + 100, row.due) for key, row in rows.items()}, told)

    def due_at(self, row: Row) -> int | None:
        return row.due

    def on_timer(self, rows: Mapping[str, Row], view: list[str], key: str, now: int) -> Step[Row]:
        return Step({key: Row(rows[key].count)}, (self._said(key, -1, len(view), now, "timer"),))

    def encode_row(self, row: Row) -> bytes:
        return json.dumps([row.count, row.due]).encode()

    def decode_row(self, data: bytes) -> Row:
        return Row(*json.loads(data))

    def _said(self, key: str, count: int, known: int, at: int, cause: str) -> Emission:
        outcome = JobOutcome(
            job_id=key, target_id="t", outcome=JobResult.SUCCEEDED, latency_ms=known, cost_usd=max(0, count), at=at
        )
        return Emission("routing-decisions", key, outcome, at, cause)


class Columns(Toy):
    """As a column layer: one emission a batch of columns, naming the causes."""

    inputs = ("health-signals",)

    def step_columns(self, rows, view, columns, causes, clock):
        key = columns.series[0].asset_id
        row = Row(rows.get(key, Row(0)).count + len(columns))
        return Step({key: row}, (self._said(key, row.count, 0, int(columns.at[-1]), causes(len(columns) - 1)),))


@dataclass
class Host:
    """Notes what is staged; `table` is what a restart would find."""

    table: dict[int, dict[bytes, bytes]] = field(default_factory=dict)
    staged: list[tuple[int, dict[bytes, bytes | None], list[Output], dict[str, int]]] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def stage(
        self,
        partition: int,
        *,
        rows: Mapping[bytes, bytes | None],
        outputs: Sequence[Output],
        applied: Mapping[str, int],
    ) -> None:
        self.staged.append((partition, dict(rows), list(outputs), dict(applied)))
        table = self.table.setdefault(partition, {})
        for key, row in rows.items():
            if row is None:
                table.pop(key, None)
            else:
                table[key] = row

    def rows(self, partition: int) -> Iterable[tuple[bytes, bytes]]:
        return list(self.table.get(partition, {}).items())

    def fail(self, error: BaseException) -> None:
        self.failures.append(error)

    @property
    def outputs(self) -> list[Output]:
        return [o for _, _, outputs, _ in self.staged for o in outputs]

    def said(self) -> list[tuple[str, int, int]]:
        """(key, count, assets known) of each decision."""
        decisions = [o for o in self.outputs if o.topic == "routing-decisions"]
        found = [decode((JobOutcome,), o.value, o.headers) for o in decisions]
        return [(r.job_id, int(r.cost_usd or 0), int(r.latency_ms or 0)) for r in found if isinstance(r, JobOutcome)]

    def letters(self) -> list[tuple[str, str, str]]:
        """(topic, offset, code) of each dead letter."""
        headers = [dict(o.headers) for o in self.outputs if o.topic == "dead-letters"]
        return [(h["topic"].decode(), h["offset"].decode(), h["error"].decode()) for h in headers]


ALL = frozenset({"job-requests", "health-signals", "assets", "policies"})


def runner(host: Host, layer: Toy | None = None, reports: frozenset[str] = ALL, partitions: int = 1) -> LayerRunner:
    layer = layer or Toy()
    records = {"job-requests": (JobRequest,), "health-signals": (HealthSignal, HealthSignalBatch)}
    return LayerRunner(
        layer,
        RunnerConfig(
            inputs={t: Rules(t, records[t], partitions, 60_000, 10_000) for t in layer.inputs},
            views={},
            broker="none:9092",
            tick_s=0.01,
            journal_topic="journal",
            reports=reports,
        ),
        host,
    )


def job(key: str, at: int = AT, offset: int = 0) -> RawMessage:
    return RawMessage(offset, BROKER_MS, key.encode(), encode(JobRequest(id=key, at=at)))


def batch(*messages: RawMessage, partition: int = 0, topic: str = "job-requests") -> Batch:
    return Batch(topic, partition, messages)


def asset(name: str, offset: int, topic: str = "assets") -> ViewRecord:
    message = RawMessage(offset, BROKER_MS, name.encode(), encode(RegisteredAsset(id=name)))
    return ViewRecord(
        topic, 0, offset, read_event(Rules(topic, (RegisteredAsset,), 1, 60_000, 10_000), 0, message), message
    )


def refused(offset: int, topic: str = "policies") -> ViewRecord:
    message = RawMessage(offset, BROKER_MS, b"k", b"rubbish")
    return ViewRecord(topic, 0, offset, None, message, "undecodable", "no wire")


def journal(made: LayerRunner, partition: int = 0) -> list[list[object]]:
    entries = [e for o in made.journal_of(partition) for e in orjson.loads(o.value or b"")]
    return [e for e in entries if e[0] != "flush"]


# --- input ---


def test_a_batch_is_staged_in_one_call_with_its_offset() -> None:
    host = Host()
    made = runner(host)
    made.process(batch(job("a", offset=4), job("b", offset=5), job("a", offset=7)))
    [(partition, rows, outputs, applied)] = host.staged
    assert (partition, applied) == (0, {"job-requests": 8})
    assert rows.keys() == {b"a", b"b", RUNTIME_ROW}
    assert host.said() == [("a", 1, 0), ("b", 1, 0), ("a", 2, 0)]
    assert [o.key for o in outputs] == [b"a", b"b", b"a"]
    assert dict(outputs[0].headers)["ce_source"] == b"/maestro/toy"
    assert dict(outputs[0].headers)["content-type"] == Wire.SINGLE_OBJECT.value.encode()


def test_a_refused_record_is_staged_with_the_offset_that_passes_it() -> None:
    host = Host()
    made = runner(host)
    made.process(batch(RawMessage(3, BROKER_MS, b"a", b"rubbish")))
    [(_, _, outputs, applied)] = host.staged
    assert applied == {"job-requests": 4}
    assert host.letters() == [("job-requests", "3", "undecodable")]
    assert outputs[0].value == b"rubbish"
    assert (made.counters.taken, made.counters.refused) == (1, 1)


def test_good_records_around_a_bad_one_are_decided() -> None:
    host = Host()
    runner(host).process(batch(job("a"), RawMessage(1, BROKER_MS, b"", b"{}"), job("b", offset=2)))
    assert [key for key, _, _ in host.said()] == ["a", "b"]
    assert host.letters() == [("job-requests", "1", "empty")]


def test_a_misplaced_record_goes_to_its_key_unchanged_with_its_headers() -> None:
    host = Host()
    made = runner(host, partitions=4)
    elsewhere = (partition_for(b"a", 4) + 1) % 4
    sent = job("a")
    original = RawMessage(0, BROKER_MS, b"some key", sent.value, [("trace", b"1")])
    made.process(batch(original, partition=elsewhere))
    [output] = host.outputs
    assert (output.topic, output.key, output.value) == ("job-requests", b"a", sent.value)
    assert dict(output.headers) == {"trace": b"1", "maestro-sent-on": b"1"}
    assert host.said() == []
    assert made.counters.sent_on == 1


@pytest.mark.parametrize("layer", [Toy(), Columns()])
def test_a_layer_that_does_not_report_a_topic_passes_its_bad_records_in_silence(layer: Toy) -> None:
    host = Host()
    made = runner(host, layer, frozenset(), partitions=4)
    topic = layer.inputs[0]
    elsewhere = (partition_for(b"a", 4) + 1) % 4
    good = (
        encode(HealthSignal(asset_id="a", metric="m", value=1.0, at=AT))
        if topic == "health-signals"
        else job("a").value
    )
    made.process(
        batch(
            RawMessage(0, BROKER_MS, b"a", b"x"), RawMessage(1, BROKER_MS, b"a", good), partition=elsewhere, topic=topic
        )
    )
    assert host.outputs == []
    assert host.staged[0][3] == {topic: 2}
    assert (made.counters.taken, made.counters.refused, made.counters.sent_on) == (2, 0, 0)


def test_samples_take_the_column_path_with_their_causes() -> None:
    host = Host()
    made = runner(host, Columns())
    values = encode(
        HealthSignalBatch(
            source="t",
            series=({"asset_id": "a", "metric": "m"},),
            series_index=(0, 0),
            at=(AT, AT + 1),
            value=(1.0, 2.0),
        )  # type: ignore[arg-type]
    )
    made.process(batch(RawMessage(5, BROKER_MS, b"a", values), topic="health-signals"))
    assert host.said() == [("a", 2, 0)]
    assert made.owned[0].machine.clock == AT + 1
    assert dict(host.outputs[0].headers)["traceparent"]


def test_a_batch_of_nothing_but_bad_samples_still_passes_its_offset() -> None:
    host = Host()
    runner(host, Columns()).process(batch(RawMessage(5, BROKER_MS, b"a", b"rubbish"), topic="health-signals"))
    assert host.staged[0][3] == {"health-signals": 6}
    assert host.letters() == [("health-signals", "5", "undecodable")]


async def test_the_agents_body_waits_until_the_views_are_whole() -> None:
    host = Host()
    made = runner(host)

    async def batches() -> AsyncIterator[Batch]:
        yield batch(job("a"))
        yield batch(job("a", offset=1))

    body = asyncio.create_task(made.run(batches()))
    await asyncio.sleep(0.02)
    assert host.staged == []
    made.take_views([asset("x", 0)])
    await made.start()
    await asyncio.wait_for(body, 2)
    await made.stop()
    assert host.said() == [("a", 1, 1), ("a", 2, 1)]


# --- views ---


def test_a_view_record_reaches_the_rows_of_every_owned_partition_once() -> None:
    host = Host()
    made = runner(host, partitions=4)
    for key in ("a", "b", "c", "d", "e"):
        made.process(batch(job(key), partition=partition_for(key.encode(), 4)))
    count = len(host.said())
    record = asset("x", 0)
    made.take_views([record])
    assert sorted(k for k, _, known in host.said()[count:] if known == 1) == ["a", "b", "c", "d", "e"]
    made.take_views([record])
    assert len(host.said()) == count + 5, "a repeat after a reconnect is not shown again"


def test_a_fresh_partition_begins_with_the_views_as_they_are() -> None:
    host = Host()
    made = runner(host)
    made.take_views([asset("x", 0), asset("y", 1)])
    made.process(batch(job("a")))
    assert host.said() == [("a", 1, 2)], "both are known, neither is an event for the row"
    assert journal(made)[0] == ["start", {"assets:0": 2}, 0]


def test_after_a_takeover_rows_are_shown_what_they_missed_and_nothing_twice() -> None:
    host = Host()
    first = runner(host)
    first.process(batch(job("a")))
    first.take_views([asset("x", 0)])
    again = Host(table=host.table)
    second = runner(again)
    second.take_views([asset("x", 0), asset("y", 1), asset("z", 2)])
    second._load(0)
    assert again.said() == [("a", 101, 3), ("a", 201, 3)]
    assert second.owned[0].machine.rows["a"].count == 301
    third = runner(Host(table=again.table))
    third.take_views([asset("x", 0), asset("y", 1), asset("z", 2)])
    third._load(0)
    assert third.owned[0].machine.rows["a"].count == 301


def test_a_view_that_is_behind_the_rows_is_not_shown_to_them() -> None:
    """A worker that takes over may still have to read what its predecessor had shown to the rows."""
    host = Host()
    first = runner(host)
    first.process(batch(job("a")))
    first.take_views([asset("x", 0)])
    second = runner(again := Host(table=host.table))
    second._load(0)
    second.take_views([asset("x", 0)])
    assert again.said() == []
    assert second.view == ["x"]


def test_a_refused_view_record_is_reported_by_one_layer_and_one_partition_and_once() -> None:
    host = Host()
    made = runner(host, partitions=4)
    for partition in range(4):
        made._load(partition)
    made.take_views([refused(0), refused(1)])
    made.take_views([refused(1)])
    assert host.letters() == [("policies", "0", "undecodable"), ("policies", "1", "undecodable")]
    silent = Host()
    other = runner(silent, reports=frozenset({"job-requests"}))
    other._load(0)
    other.take_views([refused(0)])
    assert silent.letters() == []
    assert (made.counters.refused, other.counters.refused) == (2, 0)


def test_a_refusal_read_before_the_partition_came_is_reported_then_and_never_again() -> None:
    host = Host()
    first = runner(host)
    first.take_views([refused(0), asset("x", 0)])
    first._load(0)
    assert host.letters() == [("policies", "0", "undecodable")]
    second = runner(again := Host(table=host.table))
    second.take_views([refused(0), refused(1)])
    second._load(0)
    assert again.letters() == [("policies", "1", "undecodable")]


# --- time ---


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds on the monotonic clock, to be set."""
    now = [1_000.0]
    monkeypatch.setattr(owned_module.time, "monotonic", lambda: now[0])
    return now


def test_silence_lets_event_time_run_at_the_walls_rate(wall: list[float]) -> None:
    host = Host()
    made = runner(host, Toy(delay_ms=5_000))
    made.process(batch(job("a", AT)))
    owned = made.owned[0]
    wall[0] += 4.9
    assert owned.on_silence() == []
    assert owned.machine.clock == AT
    wall[0] += 0.2
    [fired] = owned.on_silence()
    assert fired.at == AT + 5_000
    assert owned.machine.clock == AT + 5_100
    assert owned.on_silence() == [], "once"


def test_late_input_does_not_hold_the_clock_back_and_new_input_carries_it_on(wall: list[float]) -> None:
    made = runner(Host(), Toy(delay_ms=10_000))
    made.process(batch(job("a", AT)))
    wall[0] += 6
    made.process(batch(job("b", AT - 50_000, 1)))
    wall[0] += 4.5
    assert [e.key for e in made.owned[0].on_silence()] == ["a", "b"]
    made.process(batch(job("c", AT + 20_000, 2)))
    wall[0] += 9.9
    assert made.owned[0].on_silence() == []
    wall[0] += 0.2
    assert [e.key for e in made.owned[0].on_silence()] == ["c"]


def test_a_partition_without_any_input_has_no_time(wall: list[float]) -> None:
    made = runner(Host(), Toy(delay_ms=1))
    made._load(0)
    wall[0] += 1_000
    assert made.owned[0].on_silence() == []
    assert made.owned[0].machine.clock == 0


def test_after_a_restart_the_clock_goes_on_from_where_it_was_and_not_from_the_epoch(wall: list[float]) -> None:
    host = Host()
    runner(host, Toy(delay_ms=5_000)).process(batch(job("a", AT)))
    wall[0] = 5.0  # another machine
    made = runner(again := Host(table=host.table), Toy(delay_ms=5_000))
    made._load(0)
    assert made.owned[0].machine.clock == AT
    wall[0] += 4.0
    assert made.owned[0].on_silence() == []
    wall[0] += 2.0
    assert len(made.owned[0].on_silence()) == 1
    assert again.failures == []


async def test_ticks_fire_timers_while_no_input_comes() -> None:
    host = Host()
    made = runner(host, Toy(delay_ms=50))
    await made.start()
    made.process(batch(job("a", AT)))
    for _ in range(200):
        await asyncio.sleep(0.01)
        if len(host.staged) > 1:
            break
    await made.stop()
    assert [key for key, _, _ in host.said()] == ["a", "a"]
    assert host.staged[1][3] == {}, "a timer is no input"
    assert [e[0] for e in journal(made)][-1:] == ["tick"]


async def test_a_tick_that_raises_ends_the_process() -> None:
    host = Host()
    layer = Toy(delay_ms=1)
    layer.on_timer = lambda *_: 1 / 0  # type: ignore[assignment,method-assign,return-value]
    made = runner(host, layer)
    await made.start()
    made.process(batch(job("a", AT)))
    await asyncio.sleep(0.1)
    await made.stop()
    assert [type(e) for e in host.failures] == [ZeroDivisionError]


# --- ownership and journal ---


def test_rows_and_clock_are_restored_and_a_lost_partition_is_let_go() -> None:
    host = Host()
    first = runner(host)
    first.process(batch(job("a"), job("b", offset=1)))
    first.lost(0)
    assert first.owned == {}
    second = runner(Host(table=host.table))
    second.gained(0)  # the views are not whole: nothing is loaded yet
    assert second.owned == {}
    second.process(batch(job("a", offset=2)))
    assert second.owned[0].machine.rows["a"] == Row(2)
    assert second.owned[0].machine.rows["b"] == Row(1)


async def test_a_partition_that_was_lost_before_the_views_were_whole_is_not_loaded() -> None:
    made = runner(Host())
    made.gained(0)
    made.gained(1)
    made.lost(0)
    await made.start()
    await asyncio.sleep(0.05)
    await made.stop()
    assert list(made.owned) == [1]


def test_a_loaded_partition_is_told_to_whoever_listens_before_anything_is_shown() -> None:
    host = Host()
    runner(host).process(batch(job("a")))
    made = runner(Host(table=host.table))
    made.take_views([asset("x", 0)])
    told: list[tuple[int, int]] = []
    made.on_loaded = lambda partition, owned: told.append((partition, owned.machine.rows["a"].count))
    made._load(0)
    assert told == [(0, 1)]


def test_the_journal_tells_the_order_and_is_taken_once() -> None:
    made = runner(Host(), Toy(delay_ms=5_000))
    made.process(batch(job("a", offset=3), job("b", offset=4)))
    made.process(batch(job("c", offset=5)))
    made.take_views([asset("x", 0)])
    made.process(batch(job("d", offset=6)))
    assert journal(made) == [
        ["start", {}, 0],
        ["in", "job-requests", 0, 3, 5],
        ["view", "assets", 0, 0, 0],
        ["in", "job-requests", 0, 6, 6],
    ]
    assert made.journal_of(0) == ()
    assert made.journal_of(3) == (), "a partition that is not here has no journal"


def test_view_records_that_change_nothing_are_not_a_reason_to_flush_until_there_are_many() -> None:
    host = Host()
    made = runner(host)
    made.process(batch(job("a")))
    calls = len(host.staged)
    for offset in range(2 * JOURNAL_ENTRIES):
        made.take_views([asset("x", 2 * offset, "policies")])
        if len(host.staged) > calls:
            break
    assert 0 < offset < 2 * JOURNAL_ENTRIES - 1
    assert host.staged[-1][1].keys() == {RUNTIME_ROW}
