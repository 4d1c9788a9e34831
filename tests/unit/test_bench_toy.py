"""The toy detector of `maestro bench telemetry` is the peers' z-score on the product's own path."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.samples import decode_samples
from streams.runtime.causes import Causes
from streams.telemetry.places import key_of
from topology.bench import load, toy, work
from topology.bench.peers import OURS, TOY, Tools
from topology.bench.telemetry import Comparison, Round, figures
from topology.bench.watched import Measured
from topology.settings import Settings


def layer() -> toy.ToyLayer:
    return toy.ToyLayer(Settings().telemetry)


def w2(samples: int):
    return [decode_samples(data) for partition, _, data in load.messages("w2", samples, 400) if partition == 0]


def causes(number: int, count: int) -> Causes:
    return Causes("health-signals", 0, np.full(count, number), np.arange(count, dtype=np.int32))


def test_rows_and_alarms_are_those_of_the_peers():
    machine, rows, alarms = layer().partition(layer().new_view()), {}, set()
    told = []
    for number, columns in enumerate(w2(200_000)):
        told += machine.on_columns(columns, causes(number, len(columns)))
        for i, series in enumerate(columns.series):
            values = columns.value[columns.series_index == i]
            rows[series], far_off = work.scored(rows.get(series, work.EMPTY_ROW), values)
            alarms |= {(number, series.asset_id)} if far_off else set()
    assert {(int(e.cause_id.split("#")[0].rsplit(":", 1)[1]), e.key) for e in told} == alarms
    assert len(alarms) > 50
    found = machine.table.records.view(toy.ROW)
    for series, row in rows.items():
        slot = machine.table.keys.slot_of(key_of(series.asset_id, series.metric))
        expected = np.frombuffer(row)
        assert found[slot]["samples"] == expected[0]
        factor = found[slot]["ring"][0] / expected[1]
        assert found[slot]["ring"] == pytest.approx(expected[1:65] * factor)
        assert found[slot]["slope"] == pytest.approx(expected[65] * factor)
        assert found[slot]["z"] == pytest.approx(expected[66])


def test_rows_are_the_tables_own_and_go_on_after_a_restore():
    first, second = w2(40_000), w2(80_000)[20:]
    whole, before = (layer().partition(layer().new_view()) for _ in range(2))
    for number, columns in enumerate(first):
        whole.on_columns(columns, causes(number, len(columns)))
        before.on_columns(columns, causes(number, len(columns)))
    after = layer().partition(layer().new_view())
    after.load([(key, row) for key, row in before.take_encoded() if row is not None])
    whole.take_encoded()
    for number, columns in enumerate(second):
        whole.on_columns(columns, causes(20 + number, len(columns)))
        after.on_columns(columns, causes(20 + number, len(columns)))
    rows = dict(after.take_encoded())
    assert len(rows) == 100
    assert rows == dict(whole.take_encoded())


def test_ratios_are_told_to_both_detectors_if_both_were_measured():
    def rows(*sides: tuple[str, float]):
        rounds = [Round(1, side, Measured(1_000_000, 1, us), 0.5) for side, us in sides]
        return [(r["side"], r["ratio"], r["ratio_to_toy"]) for r in figures(Comparison("w2", 4_000, 1, rounds))]

    assert rows((OURS, 4.0), (TOY, 2.0), ("faust", 8.0)) == [(OURS, 1, 2), (TOY, 0.5, 1), ("faust", 2, 4)]
    assert rows((OURS, 4.0), ("faust", 8.0)) == [(OURS, 1, None), ("faust", 2, None)]


def test_the_toy_is_a_side_of_its_own():
    tools = Tools()
    assert tools.command(TOY, "b", "w2", "a", tools.jar)[-1] == "toy"
    assert "toy" not in tools.command(OURS, "b", "w2", "a", tools.jar)
