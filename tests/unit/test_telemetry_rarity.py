"""The score that a threshold is put on: one event, one high score; calm in any unit; what recurs is not rare."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streams.telemetry import counts, rarity
from streams.telemetry.detector import Detector, score_series
from streams.telemetry.state import decode, encode

T0, MINUTE_MS = 1_600_000_000_000, 60_000


def scored(values: np.ndarray, interval_ms: int = 5 * MINUTE_MS) -> np.ndarray:
    return score_series(T0 + np.arange(len(values)) * interval_ms, values).score


def noise(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(size)


def test_one_event_has_one_high_score() -> None:
    values = noise(2_000)
    values[1_500:1_520] += 12.0
    score = scored(values)
    assert int(score.argmax()) == 1_500
    assert np.count_nonzero(score[1_400:1_700] > 0.1 * score[1_500]) <= 2


def test_the_score_is_about_the_days_between_alarms() -> None:
    """Ten ordinary series of 20 days: thresholds of 1 and 7 days alarm within a factor of 5 of that."""
    scores = np.concatenate([scored(noise(20 * 288, seed))[288:] for seed in range(10)])
    days = 10 * 19
    assert days / 5 <= np.count_nonzero(scores >= 1.0) <= days * 5
    assert np.count_nonzero(scores >= 7.0) <= days / 7 * 5


def test_what_recurs_every_day_stops_being_rare() -> None:
    values = noise(14 * 288)
    values[144::288] += 15.0
    score = scored(values)[144::288]
    assert score[0] > 100.0 * score[7:].max()


def test_a_value_far_beyond_all_others_is_rarer_than_one_just_beyond() -> None:
    near, far = noise(1_000), noise(1_000)
    near[900], far[900] = near.max() + 0.5, near.max() + 50.0
    assert scored(far)[900] > 2.0 * scored(near)[900]


def test_a_series_that_is_sampled_more_often_is_not_louder() -> None:
    """The same noise as 1-minute and as hourly samples: about as many scores above a day in as many days."""
    often, seldom = scored(noise(28_800), MINUTE_MS), scored(noise(28_800), 60 * MINUTE_MS)
    rate = np.count_nonzero(often >= 1.0) / 20.0, np.count_nonzero(seldom >= 1.0) / 1_200.0
    assert rate[0] < 10.0 * rate[1] + 1.0


@pytest.mark.parametrize("size", [1e30, 1.0, 1e-30, 1e-99, 5e-324])
def test_any_size_of_values_ends_and_stays_finite(size: float) -> None:
    score = scored(np.append(np.zeros(200), size * noise(300)))
    assert np.isfinite(score).all()
    assert (score >= 0.0).all()


def test_the_past_fades_but_a_restart_does_not_show() -> None:
    """Longer than the counts are kept whole."""
    values = noise(18_000)
    going, scores = Detector(), []
    for i, value in enumerate(values):
        if i == 16_500:
            going = Detector(state=decode(encode(going.state)))
        scores.append(going.step(T0 + i * MINUTE_MS, float(value)).score)
    assert scores == scored(values, MINUTE_MS).tolist()
    assert going.state.value_samples < 16_384


def test_days_rise_with_the_score_and_begin_at_zero() -> None:
    days = [rarity.days(score) for score in (0.0, 1.0, 3.0, 5.5, 8.0, rarity.RAREST, 1e9)]
    assert days == sorted(days)
    assert days[0] == 0.0
    assert days[2:5] == pytest.approx([1.0, 10.0, 100.0])
    assert math.isfinite(days[-1])


def test_counts_in_a_byte_are_exact_at_first_and_right_on_average() -> None:
    code = 0
    for sample in range(5_000):
        code = counts.raised(code, sample)
        if sample < 127:
            assert counts.value_of(code) == sample + 1
    assert counts.value_of(code) == pytest.approx(5_000, rel=0.05)
    assert all(counts.code_of(counts.value_of(code)) == code for code in range(256))
