"""What must not alarm, and how sure one is: severity across series, constants, cold start, lasting changes, gaps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.records import Anomaly, AnomalyKind, AnomalyState, HealthSignal
from schemas.records import Severity as Grade
from streams.kit.layer import Event
from streams.kit.machine import Machine
from streams.kit.partition import machine_of
from streams.telemetry.detector import Detector, score_series
from streams.telemetry.engine import Assets, TelemetryLayer
from streams.telemetry.settings import TelemetrySettings
from streams.telemetry.state import SeriesState

T0, MINUTE_MS = 1_700_000_000_000, 60_000
Values = NDArray[np.float64]
HIGH, CRITICAL = 2, 3


def noise(seed: int, size: int) -> Values:
    return np.random.default_rng(seed).standard_normal(size)


def machine() -> Machine[SeriesState, Assets]:
    layer = TelemetryLayer()
    return machine_of(layer, layer.new_view())


def told(
    values: Values, at: NDArray[np.int64] | None = None, on: Machine | None = None, metric: str = "m"
) -> list[Anomaly]:
    """The records of a series at these times (UTC ms), by default one a minute."""
    on = on or machine()
    at = T0 + np.arange(len(values)) * MINUTE_MS if at is None else at
    found: list[Anomaly] = []
    for time, value in zip(at.tolist(), values.tolist(), strict=True):
        record = HealthSignal.model_construct(asset_id="svc", metric=metric, value=value, unit="", at=time)
        for emission in on.on_event(Event("health-signals", "svc", record, time, f"c{time}")):
            assert isinstance(emission.value, Anomaly)
            found.append(emission.value)
    return found


def opened(found: list[Anomaly]) -> list[Anomaly]:
    return [a for a in found if a.state is AnomalyState.OPENED]


# --- severity ---


def ordinary(shape: str, seed: int, size: int = 4_000) -> Values:
    """Noise in which nothing is wrong, of tails from none to those of an infinite fourth moment."""
    random = np.random.default_rng(seed)
    gauss = random.standard_normal(size)
    match shape:
        case "persistent":
            values = gauss.copy()
            for i in range(1, size):
                values[i] = 0.8 * values[i - 1] + 0.6 * gauss[i]
            return values
        case "seasonal":
            return 3.0 * np.sin(2.0 * np.pi * np.arange(size) / 288) + gauss
        case "counts":
            return random.poisson(5.0, size).astype(float)
        case "skewed":
            return np.exp(0.7 * gauss)
        case "waiting":
            return random.exponential(size=size)
        case "heavy":
            return random.standard_t(3.0, size)
        case "flat":
            return random.random(size)
        case _:
            return gauss


SHAPES = ("gauss", "persistent", "seasonal", "counts", "skewed", "waiting", "heavy", "flat")


def worst_of_incidents(values: Values, interval_ms: int) -> list[int]:
    """The highest severity that each incident reached."""
    found = score_series(T0 + np.arange(len(values), dtype=np.int64) * interval_ms, values)
    starts = [*np.flatnonzero(found.alarm).tolist(), len(values)]
    return [int(found.severity[a:b].max()) for a, b in pairwise(starts)]


@pytest.mark.parametrize("interval_s", [60, 300, 3_600])
def test_high_and_critical_are_as_rare_on_a_series_of_any_noise(interval_s: int) -> None:
    """Of 40,000 ordinary samples of each shape, at most so many incidents reach high (1 in 2,000) and critical."""
    for shape in SHAPES:
        worst = [
            severity
            for seed in range(10)
            for severity in worst_of_incidents(100.0 + 7.0 * ordinary(shape, seed), interval_s * 1_000)
        ]
        assert sum(severity >= HIGH for severity in worst) <= 20, shape
        assert sum(severity >= CRITICAL for severity in worst) <= 4, shape


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_far_beyond_all_that_a_series_had_is_high_or_critical_whatever_its_noise(shape: str) -> None:
    """High at least, mostly critical: where incidents recur, one is graded by how rare it is among them."""
    graded = []
    for seed in range(12):
        values = ordinary(shape, seed, 1_001)
        values[1_000] = 12.0 * np.abs(values[:1_000]).max()
        graded.append(worst_of_incidents(values, 300_000)[-1])
    assert min(graded) >= HIGH
    assert np.mean(np.array(graded) == CRITICAL) >= 0.5


# --- constants ---


@pytest.mark.parametrize("value", [0.0, 0.3, 5.0, -3.0, 1e9, 1e-12])
def test_a_series_that_is_constant_for_ever_opens_nothing_and_scores_nothing(value: float) -> None:
    assert told(np.full(3_000, value)) == []
    assert score_series(T0 + np.arange(20_000) * MINUTE_MS, np.full(20_000, value)).score.max() == 0.0


@pytest.mark.parametrize(("value", "rounded"), [(0.3, 0.1 + 0.2), (1e9, float(np.nextafter(1e9, 2e9)))])
def test_rounding_is_no_change_of_a_constant_series(value: float, rounded: float) -> None:
    values = np.full(1_000, value)
    values[300::7] = rounded
    assert told(values) == []
    assert score_series(T0 + np.arange(1_000) * MINUTE_MS, values).score.max() == 0.0


@pytest.mark.parametrize(("before", "after"), [(5.0, 9.0), (5.0, 0.0), (0.0, 1.0), (-3.0, -30.0)])
@pytest.mark.parametrize("lasts", [1, 200])
def test_the_first_change_of_a_constant_series_is_one_incident(before: float, after: float, lasts: int) -> None:
    values = np.full(600, before)
    values[300 : 300 + lasts] = after
    found = told(values)
    assert [(a.at, a.severity) for a in opened(found)] == [(T0 + 300 * MINUTE_MS, Grade.CRITICAL)]
    assert found[0].kind is (AnomalyKind.SPIKE if after > before else AnomalyKind.DROP)
    assert found[0].expected == pytest.approx(before)
    assert (found[-1].kind is AnomalyKind.SHIFT) is (lasts > 1)
    assert found[-1].reason.startswith("back to normal")


# --- cold start ---


def test_confidence_is_small_at_first_and_grows_with_the_history_that_the_record_states() -> None:
    firsts = []
    for history in (6, 12, 24, 100, 400):
        (first, *_) = told(np.append(np.full(history, 0.1), 1.0))
        assert first.evidence["history_samples"] == history
        assert f"after {history} samples of history" in first.reason
        firsts.append(first.confidence)
    assert firsts == sorted(set(firsts))
    assert firsts[0] < 0.35
    assert firsts[-1] > 0.95


@pytest.mark.parametrize(("interval_s", "metric"), [(1, "m"), (10, "m"), (1, "net.bytes_total")])
def test_the_first_move_of_what_rested_since_it_is_known_says_so_and_keeps_its_severity(
    interval_s: int, metric: str
) -> None:
    """An idle host's traffic: case T5 asks for the severity; healing pages nobody for it (`page_after_rest_s`)."""
    rest = 60 // interval_s
    values = np.append(np.full(rest, 0.0), 5e6 + 5e6 * np.arange(1, 8))
    (first, *_) = told(values, T0 + np.arange(rest + 7) * interval_s * 1_000, metric=metric)
    assert first.severity is Grade.CRITICAL
    assert first.evidence["never_changed"] is True
    assert first.evidence["history_s"] == pytest.approx(60.0, abs=interval_s)
    assert f"in which it had not changed for {first.evidence['history_s']:.6g} s" in first.reason


def test_what_moved_from_the_start_says_how_long_it_was_seen() -> None:
    values = 100.0 + noise(3, 121)
    values[120] += 40.0
    (first, *_) = told(values, T0 + np.arange(121) * 1_000)
    assert first.evidence["never_changed"] is False
    assert first.evidence["history_s"] == 120.0
    assert "not changed" not in first.reason


def test_a_series_that_turns_out_to_count_says_no_time_before_its_beginning_and_no_rest() -> None:
    """Its incident is closed as it begins anew; what it knew of the level is gone."""
    values = np.append(np.full(60, 40.0), 1e6 + 1e5 * np.arange(20))
    (*_, last) = told(values, metric="m.count")
    assert "counter" in last.reason
    assert last.evidence["history_s"] == 0.0
    assert last.evidence["never_changed"] is False


def test_nothing_opens_before_the_least_history() -> None:
    least = TelemetrySettings().min_history_samples
    for history in range(1, least):
        assert told(np.append(np.full(history, 0.1), 1e6)) == []


# --- a change that lasts ---


@pytest.mark.parametrize("shaken", [0.0, 0.02])
def test_a_lasting_change_is_accepted_said_so_and_then_normal(shaken: float) -> None:
    """0.1, then 0.5 for ever: one incident; afterwards 0.5 is expected and 0.1 is what stands out."""
    accept = TelemetrySettings().accept_after_samples
    values = np.append(np.full(200, 0.1), np.full(accept + 1_500, 0.5)) + shaken * noise(5, accept + 1_700)
    on = machine()
    found = told(values, on=on)
    assert len({a.incident_id for a in found}) == 1
    assert (found[-1].state, found[-1].kind) == (AnomalyState.CLOSED, AnomalyKind.SHIFT)
    assert found[-1].reason.endswith(f"accepted as the new normal after {accept} samples")
    assert found[-1].at == T0 + (200 + accept - 1) * MINUTE_MS
    again = told(np.array([0.1]), np.array([T0 + len(values) * MINUTE_MS]), on)
    assert [a.kind for a in opened(again)] == [AnomalyKind.DROP]
    assert again[0].expected == pytest.approx(0.5, abs=0.05)


# --- irregular and missing samples ---


def irregular(seed: int, size: int, interval_ms: int) -> NDArray[np.int64]:
    """Times up to 40 % of an interval off."""
    off = np.random.default_rng(seed).uniform(-0.4, 0.4, size)
    return T0 + np.rint((np.arange(size) + off) * interval_ms).astype(np.int64)


@pytest.mark.parametrize("interval_ms", [10_000, MINUTE_MS, 3_600_000])
def test_jitter_and_missing_samples_open_nothing(interval_ms: int) -> None:
    """A fifth of the samples is missing, never so many in a row that the series is absent."""
    for seed in range(3):
        kept = np.random.default_rng(seed + 50).random(1_500) >= 0.2
        kept[::3] = True
        at = irregular(seed, 1_500, interval_ms)
        regular = T0 + np.arange(1_500) * interval_ms
        values = 100.0 + noise(seed, 1_500)
        assert opened(told(values, regular)) == []
        assert opened(told(values[kept], at[kept])) == []


def test_a_long_gap_is_an_absence_and_nothing_else() -> None:
    at = T0 + np.arange(900) * MINUTE_MS
    at[300:] += 3 * 3_600_000
    at[600:] += 26 * 3_600_000
    found = told(100.0 + noise(8, 900), at)
    assert {a.kind for a in found} == {AnomalyKind.ABSENCE}
    assert len(opened(found)) == 2


def test_irregular_times_change_scores_of_what_stands_out_by_little() -> None:
    """The same values with a spike, a fifth of the others missing: same severity, score within a factor of 3."""
    for seed in range(5):
        values = 100.0 + noise(seed, 1_000)
        values[800] += 14.0
        kept = np.random.default_rng(seed).random(1_000) >= 0.2
        kept[800] = True
        at = irregular(seed, 1_000, MINUTE_MS)
        whole, part = Detector(), Detector()
        regular = [whole.step(T0 + i * MINUTE_MS, float(v)) for i, v in enumerate(values)][800]
        steps = zip(at[kept].tolist(), values[kept].tolist(), strict=True)
        sparse = {time: part.step(time, value) for time, value in steps}[int(at[800])]
        assert regular.alarm
        assert sparse.alarm
        assert sparse.severity is regular.severity
        assert regular.score / 3.0 <= sparse.score <= regular.score * 3.0
