"""The forecast of the optimisation layer: its season is found, its bounds hold as often as they say, or it says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from streams.optimisation import outlook
from streams.optimisation.engine import OptimisationLayer
from streams.optimisation.forecast import Forecaster
from streams.optimisation.history import SLOT_MS, SLOTS, find_period, remember, season_ahead
from streams.optimisation.metrics import Metric
from streams.optimisation.settings import OptimisationSettings
from streams.optimisation.state import AssetRow, Outlook, Ring, Series
from topology.bench.optimisation.traces import TICK_S, Trace, made_bursts, made_daily, of_series, shared_data

T = 1_700_000_100_000
HELD_OUT = (
    "ec2_cpu_utilization_825cc2",
    "ec2_cpu_utilization_53ea38",
    "ec2_network_in_5abac7",
    "rds_cpu_utilization_cc0c53",
)
"""Real series that are in no other test or bench of this layer: nothing was tuned on them."""
Work = NDArray[np.float64]


def ring_of(values: Work) -> Ring:
    ring = Ring()
    for slot, value in enumerate(values.tolist()):
        ring = remember(ring, T + slot * SLOT_MS, value)
    return ring


@pytest.mark.parametrize("period", [6, 12, 50, 288])
def test_a_period_is_found_within_3_percent_of_a_smooth_noisy_wave_and_exactly_of_bursts(period: int) -> None:
    slots = np.arange(SLOTS)
    noise = np.random.default_rng(period).normal(0, 1, SLOTS)
    assert abs(find_period(10 + 5 * np.sin(slots * 2 * np.pi / period) + noise) - period) <= 1 + period // 33
    bursts = np.where(slots % period < max(1, period // 24), 14.0, 1.0)
    assert find_period(bursts + 0.1 * noise) == period


def test_a_burst_of_less_than_a_fiftieth_of_the_time_is_an_outlier() -> None:
    slots = np.arange(SLOTS)
    assert find_period(np.where(slots % 144 == 7, 14.0, 1.0)) == 0
    assert find_period(np.where(slots % 144 < 4, 14.0, 1.0)) == 144


def test_noise_a_ramp_a_step_and_a_constant_have_no_period() -> None:
    slots = np.arange(SLOTS, dtype=np.float64)
    noise = np.random.default_rng(1).normal(10, 2, SLOTS)
    for values in (noise, slots, np.where(slots > 300, 5.0, 1.0), np.full(SLOTS, 3.0), np.full(SLOTS, np.nan)):
        assert find_period(values) == 0


def test_the_season_is_what_was_at_the_same_time_of_earlier_cycles() -> None:
    slots = np.arange(100)
    ring = ring_of(np.where(slots % 12 == 5, 14.0, 1.0))
    assert ring.period == 12
    assert [season_ahead(ring, T + slot * SLOT_MS) for slot in (101, 102)] == [14.0, 1.0]
    assert season_ahead(replace(ring, period=0), T + 101 * SLOT_MS) is None
    assert len(ring_of(np.arange(SLOTS + 50.0)).values) == 2 * SLOTS


def learned(work: Work, start_ms: int = T) -> Iterator[tuple[int, AssetRow, Forecaster, int]]:
    """After each look: its number, the row, the forecaster and the event time."""
    forecaster, row = Forecaster(OptimisationSettings()), AssetRow()
    for n, value in enumerate(work.tolist()):
        at = start_ms + n * TICK_S * 1000
        row.series[Metric.UTILIZATION] = Series(start_ms, at, at, 0.0, n + 1)
        forecaster.learn(row, value, at)
        yield n, row, forecaster, at


def coverage(work: Work, start_ms: int) -> dict[str, tuple[float, float]]:
    """Shares of the second half's outcomes within the 80 % and the 95 % bounds."""
    inside: dict[str, list[tuple[bool, bool]]] = {"lead": [], "hold": []}
    for n, row, forecaster, at in learned(work, start_ms):
        for name, known, ahead_ms in (("lead", row.lead, forecaster.lead_ms), ("hold", row.hold, forecaster.hold_ms)):
            found = forecaster.work_ahead(row, known, at, ahead_ms)
            due = n + ahead_ms // 1000 // TICK_S
            if found is not None and n > len(work) // 2 and due < len(work):
                low95, low, _, high, high95 = found
                inside[name].append((low <= work[due] <= high, low95 <= work[due] <= high95))
    return {
        name: (float(np.mean([a for a, _ in got])), float(np.mean([b for _, b in got]))) for name, got in inside.items()
    }


def made(name: str) -> Trace:
    rng = np.random.default_rng(3)
    slots = np.arange(2 * 5_760)
    if name == "noise":
        return Trace(name, rng.gamma(8, 1, len(slots)), T)
    if name == "hourly":
        return Trace(name, np.where(slots // 20 % 12 == 5, 14.0, 1.0) + rng.gamma(4, 0.1, len(slots)), T)
    return made_daily(2) if name == "daily" else made_bursts(2)


def assert_covers(name: str, found: dict[str, tuple[float, float]]) -> None:
    for ahead, (within80, within95) in found.items():
        assert 0.72 <= within80 <= 0.90, f"{name} {ahead}: {within80:.3f} within the 80 % bounds"
        assert 0.91 <= within95 <= 0.995, f"{name} {ahead}: {within95:.3f} within the 95 % bounds"


@pytest.mark.parametrize("name", ["noise", "daily"])
def test_bounds_hold_as_often_as_they_say_on_made_traces(name: str) -> None:
    trace = made(name)
    assert_covers(name, coverage(trace.demand, trace.start_ms))


@pytest.mark.parametrize("name", HELD_OUT)
def test_bounds_hold_as_often_as_they_say_on_real_traces_that_were_held_out(name: str) -> None:
    shared = shared_data(None)
    path = (shared or Path()) / "nab" / "data" / "realAWSCloudwatch" / f"{name}.csv"
    if not path.is_file():
        pytest.skip("the shared traces are not beside this checkout")
    trace = of_series(path, 2)
    assert_covers(name, coverage(trace.demand, trace.start_ms))


def test_an_hourly_burst_is_foreseen_once_its_period_is_known() -> None:
    trace = made("hourly")
    for n, row, forecaster, at in learned(trace.demand):
        if n == 8_000 - 8_000 % 240 + 5 * 20 - 10:
            found = forecaster.work_ahead(row, row.hold, at, forecaster.hold_ms)
            assert row.past.period == 12
            assert found is not None
            assert found[2] > 10.0 > trace.demand[n - 5]
            return
    pytest.fail("never looked")


def test_a_cold_start_says_so_and_gives_no_bounds() -> None:
    for n, row, forecaster, at in learned(np.full(60, 5.0)):
        known = row.hold.count
        told = outlook.distrusted(row.hold)
        assert (told is None) == (known >= outlook.MIN_OUTCOMES)
        if told is not None:
            assert told == f"cold start: {known} of 8 outcomes known"
            assert forecaster.work_ahead(row, row.hold, at, forecaster.hold_ms) is None
        assert known > 0 or n <= 20


def test_it_is_not_trusted_while_it_misses_by_more_than_taking_things_to_stay_as_they_are() -> None:
    good = Outlook(count=50, missed=1.0, naive_missed=1.5)
    assert outlook.distrusted(good) is None
    assert outlook.distrusted(replace(good, missed=2.0)) == "recently missed by 2.00 units of work, 'as now' by 1.50"


def test_what_was_learned_survives_the_table() -> None:
    *_, (_, row, _, _) = learned(made("hourly").demand[:3_000])
    layer = OptimisationLayer()
    again = layer.decode_row(layer.encode_row(row))
    assert (again.trend, again.past, again.lead, again.hold) == (row.trend, row.past, row.lead, row.hold)
    assert again.past.period == 12
    assert again.lead.probes
