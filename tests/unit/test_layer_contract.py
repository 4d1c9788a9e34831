"""Every real layer keeps the contract of `streams.kit.layer`, on each call of a loop over a fleet with seeded faults.

`Checked` stands between the loop and a layer: it repeats calls, on the same rows and on rows that went through their
bytes, and compares. So the contract is checked on the rows that really occur, with incidents open, jobs waiting and
actions under way, and not on rows that a test made up.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import columns as columnar
from schemas.columns import SampleColumns
from schemas.golden import examples
from schemas.records import (
    AutonomyMode,
    Budget,
    DiscoveryEvent,
    HealthSignal,
    HealthSignalBatch,
    JobOutcome,
    JobRequest,
    JobResult,
    ModeRule,
    Op,
    PolicyRecord,
    Record,
    RegisteredAsset,
    SeriesKey,
)
from streams.kit.layer import Emission, Event, Layer, Step
from streams.kit.loop import Loop
from streams.kit.partition import Partition, machine_of
from topology.demo.fleet import SCOPE, SOURCE, Fault, Fleet
from topology.engines import build_executors, build_layers
from topology.replay import assume_success
from topology.settings import Settings
from topology.tables import LAYER_BY_NAME, LAYERS
from topology.topics import BY_NAME, TOPICS

T0 = 1_700_000_000_000
STEP_MS = 5_000
EVERY = 23
"""Rows of a whole table are compared at each so-many-th call; a prime, so that no rhythm of the events hides one."""
FIRST = 100
"""The first so many calls of each layer are all compared."""
NAMES = tuple(card.name for card in LAYERS)


def all_layers() -> dict[str, Layer[Any, Any]]:
    settings = Settings()
    ledger, _ = build_executors(settings)
    return {**build_layers(settings), ledger.name: ledger}


def encoded(layer: Layer[Any, Any], rows: Mapping[str, Any]) -> dict[str, bytes | None]:
    return {key: None if row is None else layer.encode_row(row) for key, row in rows.items()}


def told(layer: Layer[Any, Any], step: Step[Any]) -> tuple[dict[str, bytes | None], tuple[Emission, ...]]:
    return encoded(layer, step.rows), tuple(step.emissions)


class Checked:
    """A layer that holds itself to the contract. `calls` counts what was compared."""

    def __init__(self, layer: Layer[Any, Any]) -> None:
        self.layer = layer
        self.calls = 0
        self.emissions = 0

    def __getattr__(self, name: str) -> Any:
        if name == "partition":
            raise AttributeError("the layer's own steps are what is checked here")
        found = getattr(self.layer, name)
        if name not in ("step", "on_view", "on_timer", "step_columns"):
            return found
        return lambda *args: self._twice(found, *args)

    def _twice(self, call: Callable[..., Step[Any]], rows: Mapping[str, Any], view: Any, *args: Any) -> Step[Any]:
        self.calls += 1
        if self.calls > FIRST and self.calls % EVERY:
            return self._repeated(call, rows, view, *args)
        before, known = encoded(self.layer, rows), copy.deepcopy(view)
        first, again = call(rows, view, *args), call(rows, view, *args)
        assert told(self.layer, first) == told(self.layer, again), "equal input gave unequal steps"
        assert encoded(self.layer, rows) == before, "a row that was given was modified"
        restored = {key: self.layer.decode_row(data) for key, data in before.items() if data is not None}
        assert encoded(self.layer, restored) == before, "a row changes on its way through bytes"
        apart = call(MappingProxyType(restored), known, *args)
        assert told(self.layer, apart) == told(self.layer, first), "rows from bytes, or a copied view, behave otherwise"
        self._sane(first)
        return first

    def _repeated(self, call: Callable[..., Step[Any]], rows: Any, view: Any, *args: Any) -> Step[Any]:
        """The cheap part of the comparison, where a step emits: the whole one is for a share of the calls."""
        step = call(rows, view, *args)
        if step.emissions:
            assert told(self.layer, call(rows, view, *args)) == told(self.layer, step), "unequal steps"
            self._sane(step)
        return step

    def _sane(self, step: Step[Any]) -> None:
        self.emissions += len(step.emissions)
        outputs = LAYER_BY_NAME[self.layer.name].outputs
        for emission in step.emissions:
            assert emission.topic in outputs
            assert emission.key
            assert emission.cause_id
            assert emission.value is None or type(emission.value) in BY_NAME[emission.topic].records
        for row in step.rows.values():
            due = None if row is None else self.layer.due_at(row)
            assert due is None or isinstance(due, int)


def story() -> Iterator[Event]:
    """Registration, a quiet time, a slow asset, a hung one, jobs that succeed and fail, governance, a removal."""
    fleet = Fleet(control_url="http://127.0.0.1:9/{id}")
    ids = [m for m in fleet.members if m.startswith("render") or m == "checkout-gcp"]
    count = 0

    def event(topic: str, key: str, value: Record | None, at: int) -> Event:
        nonlocal count
        count += 1
        return Event(topic, key, value, at, f"{topic}:0:{count}")

    def found(op: Op, at: int, **more: Any) -> Event:
        record = DiscoveryEvent(source=SOURCE, scope=SCOPE, op=op, snapshot_id="s1", at=at, **more)
        return event("discovery-events", record.asset_id or SCOPE, record, at)

    mode = PolicyRecord(id="mode", kind="mode", version="1", mode=ModeRule(mode=AutonomyMode.AUTO), at=T0)
    yield event("policies", "mode", mode, T0)
    body = Budget(scope="*", limit_usd_per_hour=1e6, period="PT1H")
    yield event("policies", "all", PolicyRecord(id="all", kind="budget", version="1", budget=body, at=T0), T0)
    yield found(Op.SNAPSHOT_BEGIN, T0)
    for asset in fleet.assets():
        if asset.id in ids:
            if asset.id.startswith("render"):  # Nowhere to call: the ledger itself answers a drain.
                standby = {} if asset.id == "render-aws" else {"standby": "true"}
                asset = asset.model_copy(update={"endpoints": (), "labels": asset.labels | standby})
            yield found(Op.UPSERT, T0, asset_id=asset.id, asset=asset)
    yield found(Op.SNAPSHOT_COMPLETE, T0)
    for tick in range(160):
        at = T0 + tick * STEP_MS
        if tick == 90:
            fleet.break_down("render-aws", Fault.SLOW)
        if tick == 100:
            fleet.break_down("checkout-gcp", Fault.HUNG)
        if tick == 130:
            fleet.act("render-aws", "restart")
        for signal in fleet.signals(at):
            if signal.asset_id in ids:
                yield event("health-signals", signal.asset_id, signal, at)
        if tick % 7 == 3:
            job = JobRequest(id=f"job-{tick}", required_capabilities=("render",), metadata={"n": tick}, at=at)
            yield event("job-requests", job.id, job, at)
        if tick % 14 == 4:
            result = JobResult.FAILED if tick % 28 == 4 else JobResult.SUCCEEDED
            ended = JobOutcome(job_id=f"job-{tick - 1}", target_id="render-aws", outcome=result, at=at)
            yield event("job-outcomes", ended.job_id, ended, at)
        if tick == 120:
            yield event("policies", "mode", None, at)
        if tick == 140:
            yield found(Op.DELETE, at, asset_id="render-azure")


@pytest.fixture(scope="module")
def played() -> Loop:
    """The story, told to every layer, each held to the contract."""
    loop = Loop({name: Checked(layer) for name, layer in all_layers().items()}, assume_success)  # type: ignore[misc]
    for event in story():
        for _ in loop.feed(event):
            pass
    return loop


@pytest.mark.parametrize("name", NAMES)
def test_equal_input_gives_an_equal_step_changes_no_row_and_rows_survive_their_bytes(played: Loop, name: str) -> None:
    checked = played.partitions[name].layer
    assert isinstance(checked, Checked)
    assert checked.calls > 5, "the story must reach this layer"
    assert len(played.partitions[name].rows) > 0
    assert checked.emissions > 0, "and steps that emit must be among those compared"


@pytest.mark.parametrize("name", NAMES)
def test_the_class_says_what_its_card_says(name: str) -> None:
    layer, card = all_layers()[name], LAYER_BY_NAME[name]
    assert (layer.name, set(layer.inputs), set(layer.views)) == (card.name, set(card.inputs), set(card.views))


def test_the_layers_emit_to_each_topic_that_their_card_names_and_to_no_other() -> None:
    heard: dict[str, set[str]] = {name: set() for name in NAMES}

    class Heard(Checked):
        def _twice(self, call: Callable[..., Step[Any]], rows: Any, view: Any, *args: Any) -> Step[Any]:
            step = call(rows, view, *args)
            heard[self.layer.name] |= {emission.topic for emission in step.emissions}
            return step

    loop = Loop({name: Heard(layer) for name, layer in all_layers().items()}, assume_success)  # type: ignore[misc]
    for event in story():
        for _ in loop.feed(event):
            pass
    assert heard == {card.name: set(card.outputs) for card in LAYERS}


def every_record() -> list[tuple[str, Record | None]]:
    golden = [(example.key, example.record) for example in examples()]
    return [*golden, ("render-aws", None), ("never heard of", None)]


@pytest.mark.parametrize("name", NAMES)
def test_no_event_whatever_its_topic_and_record_makes_a_layer_raise(played: Loop, name: str) -> None:
    """Records of other topics, topics that it does not read, tombstones of what it knows and of what it does not."""
    layer, source = all_layers()[name], played.partitions[name]
    rows = MappingProxyType({key: layer.decode_row(layer.encode_row(row)) for key, row in source.rows.items()})
    before = encoded(layer, rows)
    count = 0
    for topic in [*(t.name for t in TOPICS), "no-such-topic"]:
        view = copy.deepcopy(source.view)
        for key, record in every_record():
            event = Event(topic, key, record, source.clock, "cause")
            layer.step(rows, view, event, source.clock)
            layer.see(view, event)
            layer.on_view(rows, view, event, source.clock)
            count += 1
    assert count > len(TOPICS) * len(BY_NAME)
    assert encoded(layer, rows) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_tombstone_on_an_input_emits_no_decision(played: Loop, name: str) -> None:
    layer, source = all_layers()[name], played.partitions[name]
    for topic in layer.inputs:
        for key in ("render-aws", "job-3", "never heard of"):
            step = layer.step(source.rows, source.view, Event(topic, key, None, source.clock, "c"), source.clock)
            assert step.emissions == ()


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_with_nothing_known_takes_each_of_its_inputs(name: str) -> None:
    layer = all_layers()[name]
    for topic in layer.inputs:
        for key, record in every_record():
            layer.step({}, layer.new_view(), Event(topic, key, record, T0, "c"), T0)


@pytest.mark.parametrize("name", NAMES)
def test_timers_of_every_row_move_on(played: Loop, name: str) -> None:
    """A whole month of silence: no timer is stuck, and what is left is finite."""
    source, layer = played.partitions[name], all_layers()[name]
    rows = {key: layer.decode_row(layer.encode_row(row)) for key, row in source.rows.items()}
    partition = Partition(layer, copy.deepcopy(source.view), rows, source.clock)
    for day in range(1, 31):
        partition.advance(source.clock + day * 86_400_000)
    due = partition.next_due()
    assert due is None or due > partition.clock


# --- columns ---

SAMPLE = st.tuples(
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["latency_ms", "saturation", "cost_usd_per_hour"]),
    st.sampled_from([1, 1_000, 1_000, 1_000, 20_000, 61_000, 400_000, -500, -90_000, 0]),
    st.one_of(st.sampled_from([0.0, 0.5, 1.0, 100.0, 5_000.0]), st.floats(0, 1_000)),
)


def batch_of(samples: list[tuple[str, str, int, float]]) -> SampleColumns:
    """`samples` with the distance from the time before, which may go back."""
    series = sorted({(asset, metric) for asset, metric, _, _ in samples})
    times, at = [], T0
    for _, _, delta, _ in samples:
        at += delta
        times.append(at)
    record = HealthSignalBatch(
        series=tuple(SeriesKey(asset_id=a, metric=m) for a, m in series),
        series_index=tuple(series.index((a, m)) for a, m, _, _ in samples),
        at=tuple(times),
        value=tuple(v for _, _, _, v in samples),
    )
    return columnar.of_batch(record)


def view_with_assets(layer: Layer[Any, Any]) -> Any:
    view = layer.new_view()
    for name in ("a", "b"):
        asset = RegisteredAsset(id=name, capacity_units=4.0, cost_usd_per_hour=10.0)
        layer.see(view, Event("assets", name, asset, T0, f"asset-{name}"))
    return view


@pytest.mark.parametrize("name", ["telemetry", "optimisation"])
@settings(max_examples=40, deadline=None)
@given(st.lists(SAMPLE, min_size=1, max_size=60), st.integers(1, 20))
def test_columns_however_cut_are_as_samples_one_by_one(
    name: str, samples: list[tuple[str, str, int, float]], size: int
) -> None:
    """Steps of up to 400 s cross absence, look and snapshot timers within a batch. A layer that brings a partition of
    its own is driven by the usual one as well, by its steps: the same order, clock and rows.
    """
    layer, batch = all_layers()[name], batch_of(samples)
    one_by_one = Partition(layer, view_with_assets(layer))
    in_columns = machine_of(layer, view_with_assets(layer))
    single: list[Emission] = []
    for row in range(len(batch)):
        key = batch.series_of(row)
        at, value = int(batch.at[row]), float(batch.value[row])
        signal = HealthSignal(asset_id=key.asset_id, metric=key.metric, value=value, at=at)
        single += one_by_one.on_event(Event("health-signals", key.asset_id, signal, at, f"c{row}"))
    together: list[Emission] = []
    for start in range(0, len(batch), size):
        part = batch.rows(start, min(start + size, len(batch)))
        together += in_columns.on_columns(part, lambda row, start=start: f"c{start + row}")  # type: ignore[misc]
    end = T0 + 86_400_000
    assert single + one_by_one.advance(end) == together + in_columns.advance(end)
    assert encoded(layer, one_by_one.rows) == encoded(layer, in_columns.rows)
    assert one_by_one.clock == in_columns.clock
