"""The row's bytes, names and units, and the statistics' arithmetic at its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streams.kit.metric_names import meaning
from streams.telemetry import incident, shapes, tails
from streams.telemetry.detector import Detector
from streams.telemetry.settings import TelemetrySettings
from streams.telemetry.state import DRIFT, OSCILLATION, RING, SHIFT, VARIANCE, SeriesState, decode, encode

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
    assert len(data) <= 1024
    assert decode(data) == state
    assert encode(decode(data)) == data


def test_a_fresh_row_survives_its_bytes() -> None:
    assert decode(encode(SeriesState())) == SeriesState()


@pytest.mark.parametrize("data", [b"", b"\x02" + bytes(900)])
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
        q, e = tails.learned(float(z), q, e, n + 20)
    assert np.mean(draws > q) == pytest.approx(0.02, abs=0.008)
    assert e == pytest.approx(float(np.mean(draws[draws > q] - q)), rel=0.4)


def test_shapes_tell_a_step_from_a_ramp_and_a_swing_from_noise() -> None:
    random = np.random.default_rng(2)
    noise = random.standard_normal(RING)
    t = np.arange(RING)
    assert shapes.level_kind(noise + 6.0 * (t >= 40))[0] == SHIFT
    assert shapes.level_kind(noise + 0.2 * np.maximum(0, t - 20))[0] == DRIFT
    assert shapes.swing_kind(noise + 6.0 * np.where(t // 5 % 2, 1, -1)) == OSCILLATION
    assert shapes.swing_kind(noise + 6.0 * np.sin(np.pi * t / 2)) == OSCILLATION
    assert shapes.swing_kind(3.0 * noise) == VARIANCE


def test_a_slope_has_the_unit_per_second() -> None:
    s = trained().state
    for i in range(500, 540):
        d = Detector(state=s)
        d.step(T0 + i * 60_000, 100.0 + 3.0 * (i - 500))
    per_s, t = shapes.slope(s, 30)
    assert per_s == pytest.approx(3.0 / 60.0, rel=0.02)
    assert t > 50


@pytest.mark.parametrize("value", [0.0, 5e-324, -1e30, 1e30, 1e-300])
def test_extreme_constants_and_jumps_keep_every_number_finite(value: float) -> None:
    detector = Detector()
    for i, x in enumerate([value] * 50 + [0.0, 1e30, -1e30, 5e-324] * 20 + [value] * 400):
        score = detector.step(T0 + i * 60_000, x)
        assert math.isfinite(score.score)
    s = detector.state
    assert all(math.isfinite(getattr(s, n)) for n in s.__slots__ if isinstance(getattr(s, n), float))
    assert all(map(math.isfinite, s.season))


def test_flaps_count_state_changes_of_the_last_twenty_samples() -> None:
    s = SeriesState(state_bits=0b1010)
    assert incident.flaps(s) == 4
    assert incident.held_by_flapping(s, TelemetrySettings(flap_on_share=0.15, flap_off_share=0.1))
    assert not incident.held_by_flapping(SeriesState(state_bits=0b1010), TelemetrySettings())
