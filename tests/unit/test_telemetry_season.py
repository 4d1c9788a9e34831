"""The period of a series is found in its own past, whatever it is; where there is none, none is seen."""

from __future__ import annotations

import math

import numpy as np
import pytest

from schemas.records import AnomalyKind
from streams.telemetry import anomalies
from streams.telemetry.detector import Detector
from streams.telemetry.facts import FACTS, read_facts, write_facts
from streams.telemetry.incident import OPENED
from streams.telemetry.rounding import POWERS
from streams.telemetry.settings import TelemetrySettings
from streams.telemetry.state import NORMAL

T0 = 1_700_000_000_000
MINUTE, HOUR, DAY = 60, 3_600, 86_400


def fed(
    step_s: int, period_s: int, span_s: int, swing: float, noise: np.ndarray, settings: TelemetrySettings
) -> Detector:
    """A series with missing samples and unsteady intervals, an hour-long gap and an offset."""
    random = np.random.default_rng(span_s)
    detector = Detector(settings)
    for i in range(span_s // step_s):
        if random.random() < 0.02 or span_s // 3 < i * step_s < span_s // 3 + 5 * step_s:
            continue
        at_s = i * step_s + random.uniform(-0.1, 0.1) * step_s
        phase = 2.0 * math.pi * at_s / period_s if period_s else 0.0
        value = swing * (math.sin(phase) + 0.4 * math.sin(2.0 * phase + 1.0)) + float(noise[i])
        detector.step(T0 + round(at_s * 1000), 5_000.0 + 7.0 * value)
    return detector


def white(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(size)


@pytest.mark.parametrize("swing", [2.0, 6.0])
@pytest.mark.parametrize(
    ("step_s", "period_s", "span_s"),
    [
        (15, 10 * MINUTE, 3 * HOUR),
        (MINUTE, 37 * MINUTE, 12 * HOUR),
        (MINUTE, HOUR, 12 * HOUR),
        (2 * MINUTE, 6 * HOUR, 3 * DAY),
        (5 * MINUTE, DAY, 4 * DAY),
        (HOUR, DAY, 12 * DAY),
        (HOUR, 7 * DAY, 35 * DAY),
    ],
)
def test_the_period_is_found(step_s: int, period_s: int, span_s: int, swing: float) -> None:
    state = fed(step_s, period_s, span_s, swing, white(span_s // step_s, period_s), TelemetrySettings()).state
    assert state.seasonal
    assert state.season_ms == pytest.approx(1000.0 * period_s, rel=0.04)
    assert state.season_error < 0.7 * state.flat_error


@pytest.mark.parametrize("step_s", [MINUTE, 5 * MINUTE, HOUR])
def test_noise_has_no_season(step_s: int) -> None:
    for seed in range(4):
        assert not fed(step_s, 0, 3_000 * step_s, 0.0, white(3_000, seed), TelemetrySettings()).state.seasonal


def test_noise_that_persists_and_a_level_that_wanders_hardly_ever_have_one() -> None:
    seasonal = 0
    for seed in range(8):
        steps = white(3_000, seed)
        persistent = np.zeros(len(steps))
        for i in range(1, len(steps)):
            persistent[i] = 0.9 * persistent[i - 1] + steps[i]
        for noise in (persistent, np.cumsum(steps)):
            seasonal += bool(fed(5 * MINUTE, 0, 3_000 * 300, 0.0, noise, TelemetrySettings()).state.seasonal)
    assert seasonal <= 2


def test_the_season_tried_first_is_known_after_one_period() -> None:
    settings = TelemetrySettings(season_s=5 * HOUR)
    state = fed(MINUTE, 5 * HOUR, 6 * HOUR, 5.0, white(360, 1), settings).state
    assert state.seasonal
    assert state.season_ms == 5 * HOUR * 1000


def test_what_is_usual_at_another_time_of_the_season_is_an_incident_and_the_record_says_the_period() -> None:
    """The top of the swing where its bottom should be: no level would see it."""
    detector = fed(MINUTE, HOUR, 12 * HOUR, 6.0, white(720, 3), TelemetrySettings())
    at = max(range(12 * HOUR, 13 * HOUR, MINUTE), key=lambda s: -math.sin(2 * math.pi * s / HOUR))
    for i in range(720, at // MINUTE):
        phase = 2.0 * math.pi * i / 60
        value = 6.0 * (math.sin(phase) + 0.4 * math.sin(2.0 * phase + 1.0)) + float(white(1, i)[0])
        detector.step(T0 + i * 60_000, 5_000.0 + 7.0 * value)
    assert detector.state.kind == NORMAL
    x = 5_000.0 + 7.0 * 6.0
    _, change = detector.observe(T0 + at * 1000, x)
    assert change == OPENED
    facts = np.zeros(1, FACTS)
    write_facts(facts[0], POWERS, 0, 0, change, NORMAL, detector.state.record, detector.numbers, detector.reading)
    said = anomalies.of_value(anomalies.Named("a", "m", "1"), read_facts(facts)[0], "c")
    assert said.kind is AnomalyKind.SPIKE
    assert said.evidence["seasonal"] is True
    assert said.evidence["season_s"] == 3_600.0
    assert said.expected == pytest.approx(5_000.0 - 7.0 * 6.0, abs=30.0)


def test_a_weak_series_of_tiny_steps_does_not_stop_the_search() -> None:
    detector = Detector()
    for i in range(200):
        detector.step(T0 + i * 60_000, 1e-44 * (i % 3) if i < 100 else 1e30 * (i % 2))
    assert detector.state.quantum > 0.0
