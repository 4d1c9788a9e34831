"""Counters: a running total is judged by its rate per second in event time, whatever its name says or keeps back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.columns import SampleColumns, Series
from schemas.records import Anomaly, AnomalyKind, AnomalyState, HealthSignal
from streams.kit.layer import Event
from streams.telemetry import counter
from streams.telemetry.counter import COUNTER, FIRST, GAUGE, MAYBE, UNTOLD, WAITING
from streams.telemetry.detector import Detector
from streams.telemetry.engine import TelemetryLayer
from streams.telemetry.partition import TelemetryPartition
from streams.telemetry.record import SERIES
from streams.telemetry.state import NORMAL, decode, encode

T0 = 1_700_000_000_000
MINUTE_MS = 60_000
KEPT = {
    "first_at", "last_at", "started_at", "absent_at", "timer_at", "cause_number", "cause_row", "interval_ms", "total",
    "last_value", "level", "offset", "samples", "late_dropped", "stamps", "remembered", "nature", "worst", "trigger",
    "severity", "direction",
}  # fmt: skip


def totals(seed: int, size: int, per_minute: float = 6_000.0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).poisson(per_minute, size)).astype(float)


def minutes(size: int) -> np.ndarray:
    return T0 + np.arange(size, dtype=np.int64) * MINUTE_MS


def watched(at, x, metric: str = "requests_total", unit: str = "", cuts: tuple[int, ...] = ()) -> list[Anomaly]:
    return tell(fresh(), at, x, metric, unit, cuts)


def fresh() -> TelemetryPartition:
    layer = TelemetryLayer()
    return layer.partition(layer.new_view())


def tell(part, at, x, metric: str = "requests_total", unit: str = "", cuts: tuple[int, ...] = ()) -> list[Anomaly]:
    found = []
    for rows in np.split(np.arange(len(x)), cuts):
        columns = SampleColumns(
            (Series("svc", metric, unit),), np.zeros(len(rows), np.int32), np.asarray(at)[rows], np.asarray(x)[rows]
        )
        found += [e.value for e in part.on_columns(columns, lambda row, rows=rows: f"c:{rows[row]}")]
    return found


def row(part: TelemetryPartition):
    (only,) = part.rows.values()
    return only


@pytest.mark.parametrize(
    ("metric", "unit", "nature"),
    [
        ("requests_total", "", WAITING),
        ("orders_total{tier=gold}", "", WAITING),
        ("bytes", "counter", WAITING),
        ("request_seconds_count", "", MAYBE),
        ("thread_count", "", MAYBE),
        ("heap_bytes", "bytes", UNTOLD),
        ("latency_ms", "ms", GAUGE),
        ("requests_per_s", "1/s", GAUGE),
    ],
)
def test_names_and_units_declare_what_they_can(metric: str, unit: str, nature: int) -> None:
    assert counter.declared(metric, unit) == nature


def test_a_constant_rate_is_no_incident_though_the_reading_climbs() -> None:
    at, x = minutes(2_000), totals(0, 2_000)
    assert watched(at, x) == []
    assert watched(at, np.arange(2_000) * 7.0) == []


def test_a_burst_is_one_spike_in_units_per_second() -> None:
    x = totals(1, 500)
    x[400:] += 30_000
    (opened, *_) = watched(minutes(500), x, unit="bytes")
    assert (opened.kind, opened.state, opened.at) == (AnomalyKind.SPIKE, AnomalyState.OPENED, minutes(500)[400])
    assert opened.value == pytest.approx(600.0, rel=0.05)
    assert opened.expected == pytest.approx(100.0, rel=0.05)
    assert (opened.evidence["series_kind"], opened.evidence["unit"]) == ("counter", "bytes/s")
    assert "bytes/s" in opened.reason


def test_a_total_that_stands_still_is_a_drop_and_one_that_is_silent_an_absence() -> None:
    x = totals(2, 500)
    x[400:] = x[400]
    found = watched(minutes(500), x)
    assert (found[0].kind, found[0].value) == (AnomalyKind.DROP, 0.0)
    part = fresh()
    tell(part, minutes(100), totals(2, 100))
    (absent,) = [e.value for e in part.advance(T0 + 120 * MINUTE_MS)]
    assert absent.kind is AnomalyKind.ABSENCE


@pytest.mark.parametrize("wraps_at", [0, 2**32])
def test_a_restart_and_a_wrap_cost_one_rate_and_open_nothing(wraps_at: int) -> None:
    x = totals(3, 800)
    if wraps_at:
        x = (x + 2**32 - x[400]) % 2**32
    else:
        x[400:] -= x[399]
        x[600:] -= x[599]
    assert x[400] < x[399]
    part = fresh()
    assert tell(part, minutes(800), x) == []
    assert row(part).nature == COUNTER
    assert row(part).level == pytest.approx(100.0, rel=0.05)


def test_irregular_intervals_and_gaps_change_no_rate() -> None:
    random = np.random.default_rng(4)
    at = T0 + np.cumsum(random.integers(20_000, 100_000, 1_500))
    at[700:] += 45 * MINUTE_MS
    x = (at - T0) * 0.1
    assert [a.kind for a in watched(at, x) if a.kind is not AnomalyKind.ABSENCE] == []


def test_duplicates_change_nothing_and_late_totals_neither() -> None:
    at, x = minutes(300), totals(5, 300)
    part, other = fresh(), fresh()
    tell(part, at, x)
    order = [i for i in range(300) for _ in range(2)]
    tell(other, at[order], x[order])
    before, after = row(part), row(other)
    assert (before.level, before.jump_scale, before.total) == (after.level, after.jump_scale, after.total)
    tell(other, at[-1:] - 10_000, x[-1:] - 1_000.0)
    assert (row(other).level, row(other).total) == (before.level, before.total)


def test_no_result_depends_on_batches_or_a_restart() -> None:
    at, x = minutes(900), totals(6, 900)
    x[300:] -= x[299]
    x[500:] += 40_000
    x[700:] = x[700]
    whole = watched(at, x)
    assert whole
    assert watched(at, x, cuts=(1, 2, 301, 500, 733)) == whole
    part = fresh()
    before = tell(part, at[:310], x[:310])
    resumed = fresh()
    resumed.load([(key.encode(), encode(decode(encode(r)))) for key, r in part.rows.items()])
    after = tell(resumed, at[310:], x[310:])
    assert [a.id for a in (*before, *after)] == [a.id for a in whole]


@settings(max_examples=15, deadline=None)
@example(seed=292, metric="a", cuts=(95,))
@given(
    seed=st.integers(0, 1_000),
    metric=st.sampled_from(("a_total", "a_count", "a")),
    cuts=st.lists(st.integers(1, 399), unique=True, max_size=6).map(lambda c: tuple(sorted(c))),
)
def test_whatever_comes_batches_do_not_matter_and_every_rate_is_finite(seed: int, metric: str, cuts) -> None:
    random = np.random.default_rng(seed)
    at = T0 + np.cumsum(random.integers(0, 90_000, 400))
    x = np.cumsum(random.exponential(10.0, 400) * (random.random(400) < 0.9))
    for reset in random.integers(20, 399, int(random.integers(0, 4))):
        x[reset:] -= random.choice([0.3, 1.0]) * x[reset]
    moved = random.permutation(400)[:20]
    at[moved] -= 100_000
    whole = watched(at, x, metric)
    assert watched(at, x, metric, cuts=cuts) == whole  # seed 292: a unit was that of after the batch
    assert all(a.value is None or np.isfinite(a.value) for a in whole)


def test_what_only_rises_is_taken_for_a_counter_when_it_has_shown_it_and_opens_nothing_before() -> None:
    at, x = minutes(700), totals(7, 700)
    x[650:] += 60_000
    part = fresh()
    (opened, *_) = tell(part, at, x, metric="handled")
    assert row(part).nature == COUNTER
    assert opened.evidence["series_kind"] == "counter"
    assert opened.at == at[650]
    by_name = fresh()
    tell(by_name, at[:40], x[:40], metric="handled_count")
    assert row(by_name).nature == COUNTER


def test_a_restart_before_the_nature_is_known_opens_nothing_either() -> None:
    x = totals(13, 400)
    x[60:] -= x[59]
    part = fresh()
    assert tell(part, minutes(400), x, metric="handled") == []
    assert row(part).nature == COUNTER


def test_a_csv_has_no_name_and_is_judged_the_same() -> None:
    detector = Detector()
    x = totals(8, 600)
    x[500:] += 60_000
    alarms = np.flatnonzero(detector.score(minutes(600), x).alarm)
    assert alarms.tolist() == [500]


def test_a_name_does_not_make_a_counter_of_a_gauge() -> None:
    part = fresh()
    x = 64.0 + np.random.default_rng(9).standard_normal(600)
    x[500:] += 12.0
    found = tell(part, minutes(600), x, metric="memory_total")
    assert row(part).nature == GAUGE
    assert found[0].evidence["series_kind"] == "gauge"
    assert found[0].value == pytest.approx(76.0, abs=4.0)


def test_noise_is_a_gauge_at_once() -> None:
    part = fresh()
    tell(part, minutes(50), 100.0 + np.random.default_rng(10).standard_normal(50), metric="handled")
    assert row(part).nature == GAUGE


def test_an_incident_that_is_open_when_the_nature_shows_is_closed_with_the_reason() -> None:
    x = np.concatenate((totals(11, 200) / 1e3, 1e9 * (1.0 - 0.2 * (np.arange(40) % 2))))
    part = fresh()
    found = tell(part, minutes(240), x)
    assert {a.incident_id for a in found if a.state is AnomalyState.OPENED}
    closed = next(a for a in found if a.state is AnomalyState.CLOSED)
    assert closed.reason.startswith("it falls too often for a counter")
    assert closed.incident_id == found[0].incident_id


def test_one_count_more_than_none_is_no_deviation() -> None:
    x = np.zeros(600)
    x[300:] = 1.0
    assert watched(minutes(600), x, metric="errors_total") == []
    x[500:] += 50.0
    assert watched(minutes(600), x, metric="errors_total")[0].kind is AnomalyKind.SPIKE


def test_to_begin_anew_forgets_every_field_but_those_that_are_named() -> None:
    record = np.frombuffer(bytes([1]) * SERIES.itemsize, SERIES).copy()[0]
    counter.begin_anew(record, T0, 5.0, FIRST)
    left = {name for name in SERIES.names or () if np.any(record[name] != 0)}
    assert left <= KEPT
    assert (record["first_at"], record["samples"], record["total"], record["kind"]) == (T0, 1, 5.0, NORMAL)


def test_an_event_alone_is_read_as_one_of_many() -> None:

    part, x = fresh(), totals(12, 120)
    x[100:] += 50_000
    found = []
    for at, value in zip(minutes(120).tolist(), x.tolist(), strict=True):
        signal = HealthSignal(asset_id="svc", metric="requests_total", value=value, at=at)
        found += part.on_event(Event("health-signals", "svc", signal, at, "c"))
    assert [e.value.kind for e in found][:1] == [AnomalyKind.SPIKE]
