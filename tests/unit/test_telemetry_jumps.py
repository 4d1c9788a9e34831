"""What speaks beside the size of one jump: the side that it goes to, and that two in a row go to one side."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from streams.telemetry.detector import Detector, score_series
from streams.telemetry.incident import ACCEPTED
from streams.telemetry.state import NORMAL

T0, STEP_MS, HISTORY = 1_700_000_000_000, 300_000, 3_000
Values = NDArray[np.float64]


def alarms(values: Values) -> list[int]:
    found = score_series(T0 + np.arange(len(values), dtype=np.int64) * STEP_MS, values)
    return np.flatnonzero(found.alarm).tolist()


def waiting(seed: int, last: float) -> Values:
    """Times between arrivals: many are far above the mean of 1, none is below 0; then `last`."""
    return np.append(np.random.default_rng(seed).exponential(size=HISTORY), last)


def test_a_fall_stands_out_where_all_that_was_large_were_rises() -> None:
    """As far below the mean as rises of which each series has had some: those open nothing."""
    falls = sum(HISTORY in alarms(waiting(seed, -5.0)) for seed in range(20))
    rises = sum(HISTORY in alarms(waiting(seed, 7.0)) for seed in range(20))
    assert falls >= 14
    assert rises == 0


def test_up_and_down_are_told_by_the_series_and_not_by_us() -> None:
    for seed in range(5):
        values = waiting(seed, -6.0)
        assert alarms(10.0 - values) == alarms(values)


def test_the_second_sample_to_one_side_opens_what_the_first_could_not() -> None:
    """Noise with heavy tails has single jumps as large; two in a row to one side it seldom has."""
    second = single = 0
    for seed in range(20):
        for lasts in (1, 20):
            values = np.random.default_rng(seed).standard_t(3.0, HISTORY + 20)
            values[HISTORY : HISTORY + lasts] += 11.0
            at = next((i - HISTORY for i in alarms(values) if i >= HISTORY), None)
            second += lasts > 1 and at == 1
            single += lasts == 1 and at == 1
    assert second >= 3
    assert single == 0


@pytest.mark.parametrize("swings", [False, True])
def test_the_recent_samples_are_measured_from_the_level_that_was_accepted(swings: bool) -> None:
    """Else the sample after it would see one that is far off beside itself, or a step that is over."""
    detector = Detector()
    random = np.random.default_rng(3)
    change = i = 0
    while change != ACCEPTED:
        value = 10.0 + float(random.standard_normal())
        if i >= 200:
            value += 25.0 * (-1) ** (i // 2) if swings else 25.0
        _, change = detector.observe(T0 + i * STEP_MS, value)
        i += 1
        assert i < 2_000
    assert detector.state.kind == NORMAL
    recent = np.asarray(detector.state.record["ring"], float) / 100.0 * detector.state.level_scale
    assert abs(np.mean(recent)) < 3.0
    assert np.mean(np.abs(recent)) == pytest.approx(25.0 if swings else 0.8, abs=1.5)
