"""What holds for any input: batching does not show, rows survive their bytes, nothing is cut on what is missing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.columns import SampleColumns, Series
from schemas.records import Recommendation, RecommendedAction, RegisteredAsset
from streams.kit.layer import Emission, Event
from streams.kit.partition import Partition
from streams.optimisation.engine import OptimisationLayer
from streams.optimisation.folding import Grid, Groups, fold_groups, fold_one, new_series
from streams.optimisation.metrics import COUNT, LIMITS, Metric
from streams.optimisation.settings import OptimisationSettings
from streams.optimisation.state import AssetRow

T = 1_700_000_000_000
SERIES = tuple(
    Series(asset, metric, "")
    for asset in ("a", "b", "c")
    for metric in ("latency_ms", "saturation", "utilization", "error_rate", "energy_w", "other")
)
Sample = tuple[int, int, float]
"""(series, at, value)"""

gaps = st.sampled_from([-70_000, -3_000, 0, 0, 1, 1_000, 1_000, 5_000, 16_000, 400_000])
values = st.one_of(
    st.sampled_from([0.0, 0.02, 0.5, 0.9, 400.0]),
    st.floats(-1, 1e12, allow_nan=False),
    st.floats(0, 1, allow_nan=False),
)


@st.composite
def samples(draw: st.DrawFn) -> list[Sample]:
    at, out = T, []
    for series, gap, value in draw(
        st.lists(st.tuples(st.integers(0, len(SERIES) - 1), gaps, values), min_size=1, max_size=120)
    ):
        at = max(T - 100_000, at + gap)
        out.append((series, at, value))
    return out


@st.composite
def dense(draw: st.DrawFn) -> list[Sample]:
    """Long enough that assets leave their youth and whole groups are folded at once."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    n = 900
    at = T + np.cumsum(rng.integers(0, draw(st.sampled_from([5, 200, 1_500])), n)) - rng.integers(0, 2, n) * 700
    series = rng.integers(0, len(SERIES), n)
    value = rng.choice([0.05, 0.3, 0.72, 0.95, 180.0, 300.0], n) * rng.uniform(0.9, 1.1, n)
    return list(zip(series.tolist(), at.tolist(), value.tolist(), strict=True))


def columns(rows: list[Sample]) -> SampleColumns:
    series, at, value = zip(*rows, strict=True)
    return SampleColumns(SERIES, np.array(series, np.int32), np.array(at, np.int64), np.array(value, np.float64))


def run(rows: list[Sample], cuts: list[int], pack: bool = False) -> tuple[list[Emission], dict[str, AssetRow]]:
    layer = OptimisationLayer()
    partition = Partition(layer, layer.new_view())
    for asset_id, units in (("a", 10.0), ("b", 1.0)):
        asset = RegisteredAsset(id=asset_id, capacity_units=units, cost_usd_per_hour=5.0)
        layer.see(partition.view, Event("assets", asset_id, asset, T, "x"))
    out: list[Emission] = []
    bounds = sorted({0, *(c % len(rows) for c in cuts), len(rows)})
    for start, stop in pairwise(bounds):
        out += partition.on_columns(columns(rows[start:stop]), lambda i, start=start: f"s{start + i}")  # type: ignore[misc]
        if pack:
            kept = {key: layer.decode_row(layer.encode_row(row)) for key, row in partition.rows.items()}
            clock, view = partition.clock, partition.view
            partition = Partition(layer, view, kept, clock)
    return out, dict(partition.rows)


@given(samples(), st.lists(st.integers(0, 119), max_size=6))
@settings(max_examples=60, deadline=None)
def test_the_result_does_not_depend_on_batches(rows: list[Sample], cuts: list[int]) -> None:
    assert run(rows, cuts) == run(rows, list(range(len(rows))))


@given(dense(), st.lists(st.integers(0, 899), max_size=6))
@settings(max_examples=5, deadline=None)
def test_the_result_does_not_depend_on_batches_of_many(rows: list[Sample], cuts: list[int]) -> None:
    assert run(rows, cuts) == run(rows, list(range(len(rows))))


@given(samples(), st.lists(st.integers(0, 119), max_size=6))
@settings(max_examples=30, deadline=None)
def test_a_restart_in_between_does_not_show(rows: list[Sample], cuts: list[int]) -> None:
    assert run(rows, cuts, pack=True) == run(rows, cuts)


@given(samples())
@settings(max_examples=30, deadline=None)
def test_rows_survive_their_bytes_and_are_not_changed_from_outside(rows: list[Sample]) -> None:
    layer = OptimisationLayer()
    _, kept = run(rows, [])
    for row in kept.values():
        data = layer.encode_row(row)
        assert layer.decode_row(data) == row
        before = layer.encode_row(row)
        layer.step_columns({"a": row, "b": row, "c": row}, layer.new_view(), columns(rows), str, T)
        assert layer.encode_row(row) == before


@given(samples())
@settings(max_examples=60, deadline=None)
def test_nothing_is_cut_while_usage_is_missing(rows: list[Sample]) -> None:
    unused = {i for i, s in enumerate(SERIES) if s.metric in ("saturation", "utilization")}
    out, _ = run([r for r in rows if r[0] not in unused] or [(0, T, 1.0)], [])
    cuts = (RecommendedAction.SCALE_IN, RecommendedAction.RIGHT_SIZE)
    assert not [e for e in out if isinstance(e.value, Recommendation) and e.value.action in cuts]


@given(samples())
@settings(max_examples=60, deadline=None)
def test_one_action_stands_at_a_time(rows: list[Sample]) -> None:
    standing: dict[str, tuple[RecommendedAction, str]] = {}
    for emission in run(rows, [])[0]:
        r = emission.value
        if isinstance(r, Recommendation):
            if r.withdrawn:
                standing.pop(r.asset_id, None)
            else:
                assert standing.get(r.asset_id, (r.action, ""))[0] is r.action, "another action is withdrawn first"
                standing[r.asset_id] = (r.action, r.id)
            assert 0 <= r.confidence <= 1
            assert 0 <= r.slo_risk <= 1
            assert r.valid_until >= r.at


@given(
    st.lists(st.tuples(st.integers(0, 400_000), st.floats(0, 1e13, allow_nan=False)), min_size=1, max_size=80),
    st.integers(0, COUNT - 1),
)
@settings(max_examples=200, deadline=None)
def test_a_group_folds_as_its_samples_do(rows: list[tuple[int, float]], metric: int) -> None:
    grid = Grid.of(OptimisationSettings())
    single = new_series(T + rows[0][0])
    counted = sum(fold_one(single, metric, T + at, value, grid) for at, value in rows)
    group = new_series(T + rows[0][0])
    at = np.array([T + at for at, _ in rows], np.int64)
    value = np.array([v for _, v in rows], np.float64)
    counts = fold_groups([group], Groups([metric], [0, len(rows)], at, value, np.full(len(rows), metric)), grid)
    assert counts == [counted]
    assert group == replace(single, generation=group.generation)
    assert max((cell[2] for cell in group.ring.values()), default=0.0) <= LIMITS[metric]


def test_the_metric_numbers_are_stored_and_fixed() -> None:
    assert [m.name for m in Metric] == [
        "LATENCY_MS", "ERROR_RATE", "SATURATION", "UTILIZATION", "THROUGHPUT_PER_S", "COST_USD_PER_HOUR", "QUEUE_DEPTH",
        "ENERGY_W",
    ]  # fmt: skip
