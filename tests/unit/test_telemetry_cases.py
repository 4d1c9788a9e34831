"""The seed's acceptance cases for telemetry (T1-T10) and its side of the golden loop, on the engine alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from schemas.records import Anomaly, AnomalyKind, AnomalyState, Direction, HealthSignal, HealthSignalBatch, SeriesKey
from schemas.records import Severity as Grade
from streams.kit.layer import Event
from streams.kit.machine import Machine
from streams.kit.partition import machine_of
from streams.telemetry.detector import Detector
from streams.telemetry.engine import Assets, TelemetryLayer, series_key
from streams.telemetry.state import SeriesState

T0 = 1_700_000_000_000
MINUTE_MS = 60_000
SWINGING = {AnomalyKind.OSCILLATION, AnomalyKind.VARIANCE}
TelemetryMachine = Machine[SeriesState, Assets]


def machine(layer: TelemetryLayer | None = None) -> TelemetryMachine:
    layer = layer or TelemetryLayer()
    return machine_of(layer, layer.new_view())


def signal(i: int, value: float, *, at: int | None = None, asset: str = "svc", metric: str = "m") -> Event:
    at = T0 + i * MINUTE_MS if at is None else at
    record = HealthSignal.model_construct(asset_id=asset, metric=metric, value=value, unit="", at=at)
    return Event("health-signals", asset, record, at, f"c{i}")


def anomalies(values, *, interval_ms: int = MINUTE_MS, on: Machine | None = None) -> list[tuple[int, Anomaly]]:
    on = on or machine()
    found = []
    for i, value in enumerate(values):
        for emission in on.on_event(signal(i, float(value), at=T0 + i * interval_ms)):
            assert isinstance(emission.value, Anomaly)
            found.append((i, emission.value))
    return found


def opened(found: list[tuple[int, Anomaly]]) -> list[tuple[int, Anomaly]]:
    return [(i, a) for i, a in found if a.state is AnomalyState.OPENED]


def noise(seed: int, size: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(size)


def test_t1_oscillation_is_flagged_once_it_sets_in() -> None:
    delays, kinds = [], []
    for period in (2, 4, 8, 16, 32):
        for seed in range(7):
            values = 0.5 + noise(seed, 420) * 0.2 / 6
            values[300:] += 0.2 * np.sin(2 * np.pi * (np.arange(120) + 0.5) / period)
            found = [(i - 300, a) for i, a in anomalies(values) if i >= 300]
            assert found, f"period {period}, seed {seed}"
            delays.append(found[0][0])
            kinds.append(found[-1][1].kind)
    assert np.median(delays) <= 3
    assert kinds.count(AnomalyKind.OSCILLATION) >= 0.9 * len(kinds)


def test_t1_alternation_after_quiet_is_an_oscillation() -> None:
    for quiet, swing in ((0.5, [0.4, 0.6] * 20), (110.0, [100.0, 120.0] * 6)):
        found = anomalies([quiet] * 60 + swing)
        assert len(opened(found)) == 1
        assert found[-1][1].kind is AnomalyKind.OSCILLATION


@pytest.mark.parametrize("period", [2, 4, 8, 16, 32])
def test_t1_what_has_always_swung_is_not_flagged(period: int) -> None:
    swing = 0.5 + 0.2 * np.sin(2 * np.pi * (np.arange(600) + 0.5) / period)
    assert anomalies(swing + noise(period, 600) * 0.2 / 6) == []
    assert anomalies([0.4, 0.6] * 20) == []
    assert anomalies([100.0, 120.0] * 6) == []


@pytest.mark.parametrize("per_sample", [0.5, 1.0, 2.0, -0.5, -1.0, -2.0])
def test_t2_drift_is_flagged_with_its_slope_per_second(per_sample: float) -> None:
    values = 100.0 + noise(1, 260)
    values[200:] += per_sample * np.arange(60)
    found = anomalies(values)
    assert found[0][0] >= 200
    drift = [a for _, a in found if a.kind is AnomalyKind.DRIFT]
    assert drift
    assert drift[-1].slope_per_s == pytest.approx(per_sample / 60.0, rel=0.25)
    assert drift[-1].direction is (Direction.UP if per_sample > 0 else Direction.DOWN)


@pytest.mark.parametrize("sd", [2.0, 5.0, 15.0, 50.0])
def test_t3_white_noise_has_the_same_few_alarms_at_every_scale(sd: float) -> None:
    alarms = [i for seed in range(3) for i, _ in opened(anomalies(100.0 + sd * noise(seed, 2000)))]
    reference = [i for seed in range(3) for i, _ in opened(anomalies(100.0 + noise(seed, 2000)))]
    assert alarms == reference
    assert len(alarms) <= 3


def test_t4_rare_spikes_are_found_and_little_else() -> None:
    true = hit = alarms = 0
    for seed in range(5):
        values = 100.0 + 15.0 * noise(seed, 4000)
        spikes = np.arange(300 + 7 * seed, 3900, 200)
        values[spikes] += 90.0
        at = {i for i, _ in opened(anomalies(values, interval_ms=300_000))}
        true, hit, alarms = true + len(spikes), hit + len(at & set(spikes.tolist())), alarms + len(at)
    assert hit / alarms >= 0.9
    assert hit / true >= 0.75


def test_t5_score_is_against_the_history_before_the_sample() -> None:
    long = anomalies([0.1] * 24 + [1.0])
    assert [(i, a.severity, a.kind) for i, a in long] == [(24, Grade.CRITICAL, AnomalyKind.SPIKE)]
    short = anomalies([0.1] * 6 + [1.0])
    assert [(i, a.kind) for i, a in short] == [(6, AnomalyKind.SPIKE)]
    assert short[0][1].confidence < 0.5 < long[0][1].confidence
    assert short[0][1].evidence["history_samples"] == 6


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e308, -1e308])
def test_t6_a_value_that_is_no_number_leaves_the_series_unharmed(bad: float) -> None:
    clean, hurt = machine(), machine()
    values = [1.0, 2.0] * 20
    for i, value in enumerate(values):
        expected = clean.on_event(signal(i, value))
        got = hurt.on_event(signal(i, value))
        assert got == expected
        assert hurt.on_event(signal(i, bad, at=T0 + i * MINUTE_MS + 1)) == []
    assert rows(hurt) == rows(clean)


def test_t6_bad_rows_of_a_batch_cost_themselves_only() -> None:
    good = HealthSignalBatch(
        series=(SeriesKey(asset_id="svc", metric="m"),),
        series_index=(0,) * 3,
        at=(T0, T0 + 1000, T0 + 2000),
        value=(1.0, 2.0, 3.0),
    )
    bad = good.model_copy(
        update={
            "series_index": (0, 0, 7, 0, 0),
            "at": (T0, T0 + 500, T0 + 700, T0 + 1000, T0 + 2000),
            "value": (1.0, math.nan, 5.0, 2.0, 3.0),
        }
    )
    layer = TelemetryLayer()
    steps = [
        layer.step({}, layer.new_view(), Event("health-signals", "svc", batch, T0, "c"), T0) for batch in (good, bad)
    ]
    assert [row.samples for row in steps[1].rows.values() if row] == [3]
    assert [row.last_cause for row in steps[0].rows.values() if row] == ["c#2"]
    assert [row.last_cause for row in steps[1].rows.values() if row] == ["c#4"]


def rows(of: TelemetryMachine) -> dict[str, bytes]:
    return {key: of.layer.encode_row(row) for key, row in of.rows.items()}


def test_t7_a_duplicate_changes_nothing() -> None:
    once, twice = machine(), machine()
    for i, value in enumerate(100.0 + noise(3, 80)):
        event = signal(i, float(value))
        assert once.on_event(event) == twice.on_event(event)
        assert twice.on_event(event) == []
        if i > 3:
            assert twice.on_event(signal(i - 2, 1e6)) == []
    assert rows(once) == rows(twice)


def test_t7_late_within_the_grace_is_learned_and_alerts_nothing() -> None:
    on = machine()
    anomalies(100.0 + noise(3, 60), on=on)
    before = next(iter(on.rows.values()))
    level = before.level
    assert on.on_event(signal(0, 500.0, at=T0 + 59 * MINUTE_MS - 20_000)) == []
    after = next(iter(on.rows.values()))
    assert after.level > level
    assert after.late_dropped == 0
    assert before.level == level, "a row that was handed out must not move"


def test_t7_later_than_the_grace_is_counted_and_dropped() -> None:
    on = machine()
    anomalies(100.0 + noise(3, 60), on=on)
    level = next(iter(on.rows.values())).level
    assert on.on_event(signal(0, 500.0, at=T0 + 50 * MINUTE_MS + 1)) == []
    after = next(iter(on.rows.values()))
    assert (after.level, after.late_dropped) == (level, 1)


def test_t7_irregular_intervals_raise_nothing() -> None:
    random = np.random.default_rng(5)
    on, at = machine(), T0
    for i in range(500):
        at += int(random.uniform(1_000, 20_000))
        assert on.on_event(signal(i, float(100 + random.standard_normal()), at=at)) == []


def test_t8_a_level_shift_is_one_incident_closed_with_a_reason() -> None:
    for shaken in (0.0, 0.005):
        values = np.concatenate([np.full(60, 0.1), np.full(400, 0.5)]) + shaken * noise(2, 460)
        found = anomalies(values)
        assert len({a.incident_id for _, a in found}) == 1
        assert [a.state for _, a in found].count(AnomalyState.OPENED) == 1
        assert found[-1][1].state is AnomalyState.CLOSED
        assert found[-1][1].kind is AnomalyKind.SHIFT
        assert "new normal" in found[-1][1].reason


def test_t8_a_shift_that_goes_back_closes_as_back_to_normal() -> None:
    values = np.concatenate([np.full(60, 0.1), np.full(50, 0.5), np.full(60, 0.1)]) + 0.005 * noise(2, 170)
    found = anomalies(values)
    assert len(opened(found)) == 1
    assert found[-1][1].reason.startswith("back to normal")


def test_t10_ids_with_separators_stay_apart() -> None:
    assert series_key("a:b", "c") != series_key("a", "b:c")
    assert series_key('a","b', "c") != series_key("a", 'b","c')
    on = machine()
    for i, value in enumerate([0.1] * 24 + [1.0]):
        for asset, metric in (("a:b", "c"), ("a", "b:c")):
            last = on.on_event(signal(i, value, asset=asset, metric=metric))
            if value == 1.0:
                assert last
    assert len(on.rows) == 2


def test_t10_two_incidents_in_one_millisecond_have_two_ids() -> None:
    on = machine()
    found = []
    for i, value in enumerate([0.1] * 24 + [1.0]):
        for metric in ("m1", "m2"):
            found += [e.value for e in on.on_event(signal(i, value, metric=metric))]
    assert len(found) == 2
    assert len({a.incident_id for a in found}) == len({a.id for a in found}) == 2


def test_t10_ids_come_from_content_and_not_from_coordinates() -> None:
    def ids_with(prefix: str) -> list[str]:
        on = machine()
        events = [signal(i, v) for i, v in enumerate([0.1] * 24 + [1.0])]
        renamed = [Event(e.topic, e.key, e.value, e.at, prefix + e.cause_id) for e in events]
        return [x.value.id for e in renamed for x in on.on_event(e)]

    assert ids_with("health-signals:0:") == ids_with("line ") != []


@pytest.mark.parametrize("interval_s", [1, 5, 60])
@pytest.mark.parametrize("constant", [True, False])
def test_golden_loop_opens_nothing_at_115_and_one_critical_spike_at_420(interval_s: int, constant: bool) -> None:
    hour = 3600 // interval_s
    history = np.full(hour, 110.0) if constant else 110.0 + 2.0 * noise(4, hour)
    values = [*history, 110, 108, 112, 115, 420, 110, 111, 109, 110]
    found = anomalies(values, interval_ms=interval_s * 1000)
    spike = hour + 4
    assert [(i, a.state) for i, a in found] == [(spike, AnomalyState.OPENED), (spike + 2, AnomalyState.CLOSED)]
    first = found[0][1]
    assert (first.kind, first.severity, first.direction) == (AnomalyKind.SPIKE, Grade.CRITICAL, Direction.UP)
    assert first.expected == pytest.approx(110, abs=4)
    assert first.evidence["band_low"] < 115 < first.evidence["band_high"]
    assert "420" in first.reason


def test_detector_scores_between_alarms_and_raises_one_alarm_an_incident() -> None:
    detector = Detector()
    values = 10.0 + noise(6, 400)
    values[300:320] += 12.0
    scores = [detector.step(T0 + i * MINUTE_MS, float(v)) for i, v in enumerate(values)]
    assert [i for i, s in enumerate(scores) if s.alarm] == [300]
    assert max(range(400), key=lambda i: scores[i].score) == 300
    assert all(s.score >= 0.0 and math.isfinite(s.score) for s in scores)
    assert detector.step(T0 + 400 * MINUTE_MS, math.nan).score == 0.0
    assert not SWINGING & {s.kind for s in scores}
