"""The row's bytes, names and units, and the statistics' arithmetic at its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streams.kit.metric_names import meaning
from streams.telemetry import flapping, shapes, stamps, tails
from streams.telemetry.detector import Detector
from streams.telemetry.record import RING, SERIES
from streams.telemetry.scratch import numbers
from streams.telemetry.settings import TelemetrySettings
from streams.telemetry.state import DRIFT, NORMAL, OSCILLATION, SHIFT, VARIANCE, VERSION, SeriesState, decode, encode

T0 = 1_700_000_000_000


def trained(samples: int = 500, seed: int = 0) -> Detector:
    detector = Detector()
    for i, value in enumerate(100.0 + np.random.default_rng(seed).standard_normal(samples)):
        detector.step(T0 + i * 60_000, float(value))
    return detector


def test_a_row_is_at_most_one_kilobyte_and_survives_its_bytes() -> None:
    state = trained().state
    state.unit, state.last_cause = "ms", "health-signals:11:12345678901#499"
    data = encode(state)
    assert len(data) < 920
    assert decode(data) == state
    assert encode(decode(data)) == data


def test_a_fresh_row_survives_its_bytes() -> None:
    assert decode(encode(SeriesState())) == SeriesState()


@pytest.mark.parametrize("data", [b"", bytes([VERSION + 1]) + bytes(900)])
def test_another_version_is_refused_with_what_to_do(data: bytes) -> None:
    with pytest.raises(ValueError, match="rebuild the telemetry table"):
        decode(data)


def test_restart_from_a_snapshot_gives_the_same_scores() -> None:
    going, random = trained(), np.random.default_rng(9)
    resumed = Detector(state=decode(encode(going.state)))
    for i in range(500, 900):
        value = float(100.0 + random.standard_normal() + (8.0 if i > 700 else 0.0))
        assert going.step(T0 + i * 60_000, value) == resumed.step(T0 + i * 60_000, value)


def test_a_copy_does_not_share_anything() -> None:
    one = trained()
    before = encode(one.state)
    two = Detector(state=one.state.copy())
    for i in range(500, 560):
        two.step(T0 + i * 60_000, 250.0)
    assert encode(one.state) == before


@pytest.mark.parametrize(
    ("metric", "unit", "expected"),
    [
        ("latency_ms", "s", ("latency_ms", "ms", 1000.0)),
        ("latency.p95", "s", ("latency.p95", "ms", 1000.0)),
        ("latency.p95", "ms", ("latency.p95", "ms", 1.0)),
        ("latency.p95", "", ("latency.p95", "", 1.0)),
        ("error_rate", "percent", ("error_rate", "1", 0.01)),
        (" utilisation ", "%", ("utilization", "1", 0.01)),
        ("memory", "KiB", ("memory", "bytes", 1024.0)),
        ("memory", "MB", ("memory", "bytes", 1e6)),
        ("queue_depth", "", ("queue_depth", "1", 1.0)),
        ("humidity", "%", ("humidity", "%", 1.0)),
        ("speed", "furlong/fortnight", ("speed", "furlong/fortnight", 1.0)),
    ],
)
def test_names_and_units_mean_one_thing(metric: str, unit: str, expected: tuple[str, str, float]) -> None:
    assert meaning(metric, unit) == expected


def test_tail_scores_rise_with_the_statistic_and_stay_finite() -> None:
    scores = [tails.score(z, 2.9, 0.6) for z in (0.0, 1.0, 2.9, 2.9001, 5.0, 1e9, 1e300)]
    assert scores == sorted(scores)
    assert scores[0] == 0.0
    assert scores[-1] == tails.LARGEST


def test_a_tail_learns_the_98_percent_quantile() -> None:
    q, e = tails.PRIOR_Q, tails.PRIOR_E
    draws = np.abs(np.random.default_rng(1).standard_normal(20_000))
    for n, z in enumerate(draws):
        q, e = tails.learned(float(z), q, e, n + 20, 1.0)
    assert np.mean(draws > q) == pytest.approx(0.02, abs=0.008)
    assert e == pytest.approx(float(np.mean(draws[draws > q] - q)), rel=0.4)


def test_shapes_tell_a_step_from_a_ramp_and_a_swing_from_noise() -> None:
    random = np.random.default_rng(2)
    noise = random.standard_normal(RING)
    t = np.arange(RING)
    assert shapes.level_kind(noise + 6.0 * (t >= 40), 0, 8, 0.0)[0] == SHIFT
    assert shapes.level_kind(noise + 0.2 * np.maximum(0, t - 20), 0, 8, 0.0)[0] == DRIFT
    assert shapes.swing_kind(noise + 6.0 * np.where(t // 5 % 2, 1, -1), 0, NORMAL) == OSCILLATION
    assert shapes.swing_kind(noise + 6.0 * np.sin(np.pi * t / 2), 0, NORMAL) == OSCILLATION
    assert shapes.swing_kind(3.0 * noise, 0, NORMAL) == VARIANCE


@pytest.mark.parametrize("size", [4, 20, RING])
def test_the_running_sums_of_shapes_are_the_products_with_their_templates(size: int) -> None:
    y = np.random.default_rng(size).standard_normal(RING)
    t = np.arange(RING)
    steps = [(t >= b).astype(float) for b in range(RING - size, RING)]
    ramps = [np.maximum(0.0, t - b + 1.0) for b in range(RING - size, RING - 4 + 1)]
    step, ramp = (max((y @ form) ** 2 / (form @ form) for form in forms) for forms in (steps, ramps))
    energy = float(y[RING - size :] @ y[RING - size :])
    expected = (DRIFT, ramp / energy) if ramp > step else (SHIFT, step / energy)
    assert shapes.level_kind(y, RING - size, 4, 0.0) == pytest.approx(expected)


def test_a_slope_has_the_unit_per_second() -> None:
    s = trained().state
    for i in range(500, 540):
        d = Detector(state=s)
        d.step(T0 + i * 60_000, 100.0 + 3.0 * (i - 500))
    per_s, t = shapes.slope(s.record, np.zeros(RING), 30)
    assert per_s == pytest.approx(3.0 / 60.0, rel=0.02)
    assert t > 50


@pytest.mark.parametrize("value", [0.0, 5e-324, -1e30, 1e30, 1e-300])
def test_extreme_constants_and_jumps_keep_every_number_finite(value: float) -> None:
    detector = Detector()
    for i, x in enumerate([value] * 50 + [0.0, 1e30, -1e30, 5e-324] * 20 + [value] * 400):
        score = detector.step(T0 + i * 60_000, x)
        assert math.isfinite(score.score)
    s = detector.state
    assert all(np.isfinite(s.record[name]).all() for name in SERIES.names)


def test_flaps_count_state_changes_of_the_last_twenty_samples() -> None:
    s = SeriesState()
    s.state_bits = 0b1010
    assert flapping.flaps(s.record) == 4
    assert not flapping.holds(s.copy().record, numbers(TelemetrySettings()))
    assert flapping.holds(s.record, numbers(TelemetrySettings(flap_on_share=0.15, flap_off_share=0.1)))


def test_a_record_has_no_padding_that_could_differ_between_equal_series() -> None:
    at = 0
    for name in SERIES.names:
        dtype, offset = SERIES.fields[name]
        assert offset == at, name
        at += dtype.itemsize
    assert at == SERIES.itemsize


def test_the_last_twelve_times_are_remembered_late_ones_in_their_place() -> None:
    s = SeriesState()
    for i in range(20):
        stamps.remember(s.record, T0 + i * 10)
        s.last_at = T0 + i * 10
    assert stamps.oldest(s.record) == T0 + 80
    assert not stamps.is_remembered(s.record, T0 + 155)
    stamps.remember_late(s.record, T0 + 155)
    remembered = [at - T0 for at in range(T0, T0 + 200, 5) if stamps.is_remembered(s.record, at)]
    assert remembered == sorted([*range(90, 200, 10), 155])
    assert stamps.oldest(s.record) == T0 + 90


def test_times_before_a_silence_of_a_month_are_forgotten() -> None:
    s = SeriesState()
    for at in (T0, T0 + 60_000, T0 + 30 * 86_400_000):
        stamps.remember(s.record, at)
        s.last_at = at
    assert stamps.oldest(s.record) == s.last_at


def test_the_count_of_samples_never_leaves_its_four_bytes() -> None:
    detector, most = trained(), 1 << 30
    state = detector.state
    state.samples = state.opened_sample = most - 40
    for i in range(500, 600):
        detector.step(T0 + i * 60_000, 100.0)
    assert state.samples == most // 2 + 60
    assert state.opened_sample == most // 2 - 40
