"""A season that the series has left is given up and a new one is found; one that still holds outlasts an incident."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest

from schemas.records import AnomalyState
from streams.telemetry import anomalies, lapse
from streams.telemetry.detector import Detector
from streams.telemetry.facts import FACTS, read_facts, write_facts
from streams.telemetry.incident import LAPSED
from streams.telemetry.rounding import POWERS
from streams.telemetry.settings import TelemetrySettings
from streams.telemetry.state import NORMAL, decode, encode

T0 = 1_700_000_000_000
HOUR, DAY = 3_600_000, 86_400_000
SEEDS = range(16)
Shape = Callable[[np.ndarray], np.ndarray]


def white(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(size)


def times(size: int, step_ms: int) -> np.ndarray:
    return T0 + step_ms * np.arange(size)


def changed(seed: int, before: int, after: int, swing: float = 5.0) -> np.ndarray:
    """A sample a minute: a day of one period and five of the other, in minutes; 0 = none."""
    i = np.arange(6 * 1440)
    first = swing * np.sin(2.0 * math.pi * i / before)
    then = swing * np.sin(2.0 * math.pi * i / after) if after else np.zeros(len(i))
    return np.where(i < 1440, first, then) + white(len(i), seed)


@pytest.mark.parametrize(("before", "after", "swing"), [(60, 100, 5.0), (100, 60, 5.0), (60, 37, 5.0), (60, 180, 3.0)])
def test_a_period_that_changes_is_found_anew(before: int, after: int, swing: float) -> None:
    """With whatever noise: it was 2 of 16 as long as only samples without an incident were asked."""
    found = 0
    for seed in SEEDS:
        detector = Detector()
        x = changed(seed, before, after, swing)
        detector.score(times(len(x), 60_000), x)
        s = detector.state
        new = s.season_ms == pytest.approx(60_000 * after, rel=0.04)
        found += bool(s.seasonal) and new and s.kind == NORMAL and s.season_error < 0.5 * s.flat_error
    assert found >= 14


def test_a_season_that_ceases_is_given_up() -> None:
    for seed in SEEDS:
        detector = Detector()
        x = changed(seed, 60, 0)
        at = times(len(x), 60_000)
        detector.score(at[:1440], x[:1440])
        assert detector.state.seasonal
        detector.score(at[1440:], x[1440:])
        assert not detector.state.seasonal
        assert detector.state.kind == NORMAL


def peaky(phase: np.ndarray) -> np.ndarray:
    """Low for most of the period, and one steep rise: most of it is near a level that moved down."""
    return np.asarray(8.0 * np.exp(-0.5 * ((phase % 1.0 - 0.5) / 0.06) ** 2))


def wave(phase: np.ndarray) -> np.ndarray:
    return np.asarray(5.0 * np.sin(2.0 * math.pi * phase))


AWAY: dict[str, Shape] = {
    "up": lambda i: np.full(len(i), 12.0),
    "down": lambda i: np.full(len(i), -4.0),
    "ramp": lambda i: 0.05 * i,
    "swings": lambda i: 6.0 * np.sin(2.0 * math.pi * i / 7.0),
}


@pytest.mark.parametrize("shape", [wave, peaky])
@pytest.mark.parametrize(("step_ms", "period_ms"), [(60_000, HOUR), (300_000, DAY)])
@pytest.mark.parametrize("away", AWAY)
def test_a_season_that_still_holds_outlasts_an_incident(away: str, step_ms: int, period_ms: int, shape: Shape) -> None:
    for seed in SEEDS:
        i = np.arange(3_000)
        x = shape(i * step_ms / period_ms) + white(len(i), seed)
        detector = Detector()
        at = times(len(i), step_ms)
        detector.score(at[:1500], x[:1500])
        assert detector.state.seasonal
        x[1500:] += AWAY[away](np.arange(1500))
        found = detector.score(at[1500:], x[1500:])
        assert (found.kind != NORMAL).any()
        assert detector.state.seasonal
        assert detector.state.season_ms == pytest.approx(period_ms, rel=0.02)


def test_the_incident_that_a_lapsed_season_had_opened_ends_and_its_record_says_so() -> None:
    detector = Detector()
    x = changed(0, 60, 100)
    said = None
    for i, at in enumerate(times(len(x), 60_000).tolist()):
        before = detector.state.kind
        _, change = detector.observe(at, float(x[i]))
        detector.state.last_at = at
        if change == LAPSED:
            facts = np.zeros(1, FACTS)
            write_facts(
                facts[0], POWERS, 0, 0, change, before, detector.state.record, detector.numbers, detector.reading
            )
            said = anomalies.of_value(anomalies.Named("a", "m", "1"), read_facts(facts)[0], "c")
            break
    assert said is not None
    assert said.state is AnomalyState.CLOSED
    assert said.reason == "the season of 3600 s explained nothing any more: it is given up, another is looked for"
    assert said.evidence["season_s"] == 3_600.0
    assert said.evidence["seasonal"] is False
    assert detector.state.kind == NORMAL


@pytest.mark.parametrize(("step_ms", "period_ms"), [(60_000, HOUR), (300_000, DAY), (60_000, 7 * DAY)])
def test_doubts_about_a_season_fill_its_periods_and_fit_the_row(step_ms: int, period_ms: int) -> None:
    """As many samples speak against it as three of its periods have, and the row can count them."""
    detector = Detector(TelemetrySettings(season_s=period_ms / 1000.0))
    s, m = detector.state, detector.reading
    s.samples, s.interval_ms, s.season_ms, s.buckets, s.seasonal, s.kind = 1, step_ms, period_ms, 24, 1, 3
    s.visits, s.season, s.ring = 1, np.sin(np.arange(24) * math.pi / 12.0), 0
    cast(np.void, m)["level_scale"] = 1.0
    ring = cast(np.void, s.record)["ring"]  # a view
    at, samples, failed = T0, 0, False
    while not failed and samples < 5 * period_ms // step_ms + 1000:
        s.samples += 1
        at += step_ms
        samples += 1
        # the series stands still: what is left of it is the season, upside down
        ring[s.samples % 64 - 1] = -100.0 * math.sin((at % period_ms) / period_ms * 2.0 * math.pi)
        if lapse.is_due(s.record):
            failed = lapse.weigh(s.record, m, at)
            assert decode(encode(s)) == s
    assert failed
    assert samples >= 3 * period_ms / step_ms - 64
    assert samples <= max(4 * period_ms / step_ms, 6 * 64)


def test_a_season_without_an_incident_is_not_asked() -> None:
    detector = Detector()
    s = detector.state
    s.samples, s.interval_ms, s.season_ms, s.seasonal = 64, 60_000, HOUR, lapse.IN_USE
    assert not lapse.is_due(s.record)
    s.kind = 3
    assert lapse.is_due(s.record)
    s.kind, s.seasonal = NORMAL, lapse.IN_USE + 1
    assert lapse.is_due(s.record)
    s.samples += 1
    assert not lapse.is_due(s.record)
