"""Telemetry under any input: batching, scale, time and restarts change no result."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.columns import SampleColumns, Series
from schemas.records import Anomaly, AnomalyKind, AnomalyState, HealthSignal, HealthSignalBatch, SeriesKey
from streams.kit.layer import Emission, Event
from streams.kit.machine import Machine as AnyMachine
from streams.kit.partition import Partition, machine_of
from streams.telemetry.detector import KINDS, Detector, Score, score_series
from streams.telemetry.engine import Assets, TelemetryLayer
from streams.telemetry.state import NORMAL, SeriesState

T0 = 1_700_000_000_000
SERIES = (Series("a", "latency", "s"), Series("a", "latency_ms", "ms"), Series("b", "m"), Series("a:b", "m"))
"""The first two are one series by meaning."""
Machine = AnyMachine[SeriesState, Assets]
Row = tuple[int, int, float]
"""Series index, at, value."""


def machine() -> Machine:
    layer = TelemetryLayer()
    return machine_of(layer, layer.new_view())


def usual_machine() -> Machine:
    """The kit's partition, which keeps the order of timers and samples by itself, over the layer's single steps."""
    layer = TelemetryLayer()
    return Partition(layer, layer.new_view())


def history(seed: int, size: int) -> list[Row]:
    """Interleaved series with late, repeated, missing, shifted and spiking samples, and one long silence."""
    random = np.random.default_rng(seed)
    rows: list[Row] = []
    at = T0
    for i in range(size):
        at += int(random.integers(0, 6_000)) + (600_000 if i == size // 2 else 0)
        late = int(random.choice([0, 0, 0, 0, 0, 0, 2_000, 15_000, 90_000]))
        index = int(random.integers(0, len(SERIES)))
        value = 5.0 + random.standard_normal() + 20.0 * (random.random() < 0.02) + 8.0 * (i > 0.7 * size)
        rows.append((index, at - late, float(value) / (1000.0 if index == 0 else 1.0)))
        if random.random() < 0.05:
            rows.append(rows[int(random.integers(max(0, len(rows) - 20), len(rows)))])
    return rows


def one_by_one(rows: list[Row], on: Machine) -> list[Emission]:
    emissions: list[Emission] = []
    for i, (index, at, value) in enumerate(rows):
        key = SERIES[index]
        record = HealthSignal(asset_id=key.asset_id, metric=key.metric, unit=key.unit, value=value, at=at)
        emissions += on.on_event(Event("health-signals", key.asset_id, record, at, f"c#{i}"))
    return emissions


def in_columns(rows: list[Row], on: Machine, cuts: list[int]) -> list[Emission]:
    emissions: list[Emission] = []
    edges = [0, *sorted({c % (len(rows) + 1) for c in cuts}), len(rows)]
    for start, stop in pairwise(edges):
        part = rows[start:stop]
        columns = SampleColumns(
            SERIES,
            np.array([r[0] for r in part], np.int32),
            np.array([r[1] for r in part], np.int64),
            np.array([r[2] for r in part], np.float64),
        )
        emissions += on.on_columns(columns, lambda i, start=start: f"c#{start + i}")
    return emissions


def encoded(on: Machine) -> dict[str, bytes]:
    return {key: on.layer.encode_row(row) for key, row in on.rows.items()}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 400), cuts=st.lists(st.integers(0, 10_000), max_size=12))
def test_no_result_depends_on_how_samples_were_batched(seed: int, size: int, cuts: list[int]) -> None:
    rows = history(seed, size)
    alone, together = machine(), machine()
    assert one_by_one(rows, alone) == in_columns(rows, together, cuts)
    assert encoded(alone) == encoded(together)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 10_000), max_size=12))
def test_the_table_of_series_keeps_the_order_of_the_usual_partition(seed: int, cuts: list[int]) -> None:
    rows = history(seed, 150)
    usual, own = usual_machine(), machine()
    end = rows[-1][1] + 9 * 86_400_000
    assert one_by_one(rows, usual) + usual.advance(end) == in_columns(rows, own, cuts) + own.advance(end)
    assert encoded(usual) == encoded(own)
    assert (usual.clock, usual.next_due()) == (own.clock, own.next_due())


class Numbered:
    """Causes as the runtime gives them: the numbers of all, names for those that ask."""

    def __init__(self, first: int, count: int) -> None:
        self.number = np.arange(first, first + count) // 3
        self.row = (np.arange(first, first + count) % 3).astype(np.int32)

    def __call__(self, row: int) -> str:
        return f"health-signals:7:{self.number[row]}#{self.row[row]}"


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(1, 300), max_size=8), restore=st.integers(0, 300))
def test_causes_as_numbers_and_a_restore_at_any_batch_change_neither_records_nor_rows(
    seed: int, cuts: list[int], restore: int
) -> None:
    rows, named, numbered = history(seed, 300), machine(), machine()
    emissions: list[Emission] = []
    kept: dict[bytes, bytes] = {}
    for start, stop in pairwise(sorted({0, *cuts, restore, len(rows)})):
        part = rows[start:stop]
        index, at, value = (np.array([row[k] for row in part]) for k in range(3))
        columns = SampleColumns(list(SERIES), index.astype(np.int32), at, value)
        emissions += numbered.on_columns(columns, Numbered(start, len(part)))
        for key, data in numbered.take_encoded():
            if data is None:
                kept.pop(key, None)
            else:
                kept[key] = data
        if stop == restore:
            clock, layer = numbered.clock, numbered.layer
            numbered = machine_of(layer, layer.new_view(), clock)
            numbered.load(sorted(kept.items()))
    expected: list[Emission] = []
    for i, (index_of, at_ms, x) in enumerate(rows):
        key = SERIES[index_of]
        record = HealthSignal(asset_id=key.asset_id, metric=key.metric, unit=key.unit, value=x, at=at_ms)
        expected += named.on_event(Event("health-signals", key.asset_id, record, at_ms, Numbered(i, 1)(0)))
    assert emissions == expected
    assert {key.decode(): data for key, data in kept.items()} == encoded(named) == encoded(numbered)


def test_the_histories_of_these_properties_have_incidents() -> None:
    found = [e.value for seed in range(5) for e in one_by_one(history(seed, 400), machine())]
    kinds = {a.kind for a in found if isinstance(a, Anomaly)}
    assert {AnomalyKind.ABSENCE, AnomalyKind.SPIKE} <= kinds
    assert len(kinds) >= 3


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_batch_record_is_its_samples(seed: int) -> None:
    rows = [(index, T0 + i * 500, value) for i, (index, _, value) in enumerate(history(seed, 120))]
    batch = HealthSignalBatch(
        series=tuple(SeriesKey(asset_id=k.asset_id, metric=k.metric, unit=k.unit) for k in SERIES),
        series_index=tuple(r[0] for r in rows),
        at=tuple(r[1] for r in rows),
        value=tuple(r[2] for r in rows),
    )
    alone, layer = machine(), TelemetryLayer()
    expected = one_by_one(rows, alone)
    step = layer.step({}, layer.new_view(), Event("health-signals", "a", batch, T0, "c"), T0)
    assert list(step.emissions) == expected
    assert {k: layer.encode_row(r) for k, r in step.rows.items() if r is not None} == encoded(alone)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(20, 400))
def test_an_incident_is_opened_once_and_closed_at_most_once(seed: int, size: int) -> None:
    states: dict[str, list[AnomalyState]] = {}
    ids = []
    for emission in one_by_one(history(seed, size), machine()):
        assert isinstance(emission.value, Anomaly)
        states.setdefault(emission.value.incident_id, []).append(emission.value.state)
        ids.append(emission.value.id)
        assert Anomaly.model_validate(emission.value.model_dump()) == emission.value, "made without being checked"
        assert emission.value.reason
    for told in states.values():
        assert told[0] is AnomalyState.OPENED
        assert told.count(AnomalyState.OPENED) == 1
        assert AnomalyState.CLOSED not in told[:-1]
    assert len(set(ids)) == len(ids)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(0, 300))
def test_a_restart_from_rows_changes_nothing(seed: int, cut: int) -> None:
    rows = history(seed, 300)
    cut = min(cut, len(rows))
    going = machine()
    one_by_one(rows[:cut], going)
    layer = TelemetryLayer()
    restored = machine_of(layer, layer.new_view(), going.clock)
    restored.load(sorted((key.encode(), data) for key, data in encoded(going).items()))
    assert one_by_one(rows[cut:], going) == one_by_one(rows[cut:], restored)
    assert encoded(going) == encoded(restored)


def scores(values: np.ndarray) -> list[Score]:
    detector = Detector()
    return [detector.step(T0 + i * 300_000, float(v)) for i, v in enumerate(values)]


def eventful(seed: int, size: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = random.standard_normal(size) + 4.0 * np.sin(2 * np.pi * np.arange(size) / 288)
    values[size // 2] += 15.0
    values[3 * size // 4 :] += 9.0
    return values


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1_000), power=st.integers(-20, 20))
def test_scores_do_not_know_the_unit(seed: int, power: int) -> None:
    values = eventful(seed, 500)
    assert scores(values * 2.0**power) == scores(values)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1_000), a=st.floats(0.01, 100.0), b=st.floats(-1e3, 1e3))
@example(seed=17, a=0.0362374137071817, b=54.212953114164975)
@example(seed=7, a=1.060571630015998, b=-527.611743208273)
def test_scores_are_invariant_under_scale_and_offset(seed: int, a: float, b: float) -> None:
    """The examples: the second sample, when nothing but a share of the value is a scale, once taught the activity."""
    values, at = eventful(seed, 900), T0 + np.arange(900) * 300_000
    before, after = score_series(at, values), score_series(at, a * values + b)
    assert after.score == pytest.approx(before.score, rel=1e-6, abs=1e-6)
    for field in ("alarm", "kind", "severity"):
        assert (getattr(after, field) == getattr(before, field)).all()


def test_a_series_in_one_call_is_scored_as_sample_by_sample() -> None:
    values = np.append(eventful(3, 900), [math.nan, 1e31, 2.0])
    together = score_series(T0 + np.arange(len(values)) * 300_000, values)
    kinds = [None if kind == NORMAL else KINDS[kind] for kind in together.kind]
    found = zip(together.score.tolist(), kinds, together.alarm.tolist(), strict=True)
    assert [(s.score, s.kind, s.alarm) for s in scores(values)] == list(found)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1_000), at=st.integers(1, 499))
def test_no_score_knows_the_future(seed: int, at: int) -> None:
    values = eventful(seed, 500)
    altered = values.copy()
    altered[at:] = 1e6
    assert scores(values)[:at] == scores(altered)[:at]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4_000), st.floats(allow_nan=True, allow_infinity=True)), max_size=120))
def test_nothing_raises_and_scores_are_finite(samples: list[tuple[int, float]]) -> None:
    detector, on = Detector(), machine()
    for i, (gap, value) in enumerate(samples):
        score = detector.step(T0 + gap * 1000, value)
        assert score.score >= 0.0
        assert math.isfinite(score.score)
        record = HealthSignal.model_construct(asset_id="a", metric="m", value=value, unit="", at=T0 + gap * 1000)
        on.on_event(Event("health-signals", "a", record, record.at, f"c{i}"))
    for row in on.rows.values():
        assert on.layer.decode_row(on.layer.encode_row(row)) == row
