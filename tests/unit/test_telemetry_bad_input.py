"""What one producer or tenant does wrong costs itself: units, clocks, a flood of new series."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from schemas.codec import encode
from schemas.columns import SampleColumns, Series
from schemas.errors import Reason
from schemas.records import Anomaly, HealthSignal, HealthSignalBatch, RegisteredAsset, SeriesKey
from streams.atleastonce.batch import Batch, Output, RawMessage
from streams.kit.layer import Emission, Event
from streams.kit.machine import RefusedRow
from streams.kit.metric_names import conversion
from streams.runtime.ingest import Rules
from streams.runtime.runner import LayerRunner, RunnerConfig
from streams.telemetry.engine import TelemetryLayer, series_key
from streams.telemetry.partition import TelemetryPartition
from streams.telemetry.settings import TelemetrySettings

T0 = 1_700_000_040_000
"""The beginning of a minute."""
DAY_MS = 86_400_000
Row = tuple[Series, int, float]


def machine(**settings: float) -> TelemetryPartition:
    layer = TelemetryLayer(TelemetrySettings(**settings))
    return layer.partition(layer.new_view())


def take(
    on: TelemetryPartition, rows: list[Row], cuts: tuple[int, ...] = ()
) -> tuple[list[Emission], list[RefusedRow]]:
    """The rows as columns, cut into several; the refused ones by their place in `rows`."""
    series = tuple(dict.fromkeys(row[0] for row in rows))
    emissions, refused = [], []
    for start, stop in pairwise([0, *cuts, len(rows)]):
        part = rows[start:stop]
        index = np.array([series.index(row[0]) for row in part], np.int32)
        at, value = np.array([row[1] for row in part], np.int64), np.array([row[2] for row in part])
        emissions += on.on_columns(
            SampleColumns(series, index, at, value), lambda row, start=start: f"t:0:{start + row}"
        )
        refused += [r._replace(row=r.row + start) for r in on.take_refused().rows]
    return emissions, refused


def values_of(on: TelemetryPartition, asset: str, metric: str) -> tuple[int, float, str]:
    row = on.rows[series_key(asset, metric)]
    return row.samples, row.last_value, row.unit


# --- units ---


def test_units_of_one_dimension_are_brought_to_the_one_that_came_first() -> None:
    on = machine()
    stated = [("s", 2.0), ("ms", 2_500.0), ("us", 3_000_000.0), ("", 3.5), ("min", 0.05)]
    rows = [(Series("a", "queue_time", unit), T0 + i * 1_000, value) for i, (unit, value) in enumerate(stated)]
    assert take(on, rows) == ([], [])
    samples, last, unit = values_of(on, "a", "queue_time")
    assert (samples, unit) == (5, "s")
    assert last == pytest.approx(3.0)
    assert on.rows[series_key("a", "queue_time")].level == pytest.approx(np.mean([2.0, 2.5, 3.0, 3.5, 3.0]), rel=0.1)


def test_a_unit_that_contradicts_the_series_is_refused_and_the_series_goes_on_unharmed() -> None:
    on, alone = machine(), machine()
    good, bad = Series("a", "speed", "knots"), Series("a", "speed", "furlongs")
    rows = [(good, T0 + i * 1_000, 10.0 + i % 3) for i in range(60)]
    mixed = [
        row
        for i, kept in enumerate(rows)
        for row in ([kept, (bad, T0 + i * 1_000 + 500, 1e6)] if i % 7 == 3 else [kept])
    ]
    emissions, refused = take(on, mixed)
    assert emissions == []
    assert [r.row for r in refused] == [i for i, row in enumerate(mixed) if row[0] is bad]
    assert {r.code for r in refused} == {Reason.UNIT_CONFLICT}
    assert "'furlongs' cannot become 'knots'" in refused[0].message
    take(alone, rows)
    assert values_of(on, "a", "speed") == values_of(alone, "a", "speed")
    assert on.rows[series_key("a", "speed")].level == alone.rows[series_key("a", "speed")].level


def test_a_unit_that_was_never_stated_is_learned_and_one_that_is_not_stated_is_that_of_the_series() -> None:
    on = machine()
    units = ["", "", "knots", "", "furlongs", "knots"]
    _, refused = take(on, [(Series("a", "speed", unit), T0 + i * 1_000, 1.0) for i, unit in enumerate(units)])
    assert [r.row for r in refused] == [4]
    assert values_of(on, "a", "speed") == (5, 1.0, "knots")


def test_a_series_that_was_forgotten_may_come_back_in_another_unit() -> None:
    knots, furlongs = Series("a", "speed", "knots"), Series("a", "speed", "furlongs")
    back = T0 + 10 * DAY_MS
    rows = [(knots, T0, 1.0), (furlongs, T0 + 1, 1.0), (furlongs, back, 2.0), (knots, back + 1, 3.0)]
    for cuts in ((), (1, 2, 3)):
        on = machine()
        _, refused = take(on, rows, cuts)
        assert [r.row for r in refused] == [1, 3]
        assert values_of(on, "a", "speed") == (1, 2.0, "furlongs")


@pytest.mark.parametrize(
    ("given", "wanted", "factor"),
    [
        ("ms", "s", 1e-3),
        ("KiB", "B", 1024.0),
        ("%", "ratio", 0.01),
        ("kW", "W", 1e3),
        ("ms", "MB", None),
        ("x", "y", None),
    ],
)
def test_units_convert_within_their_dimension_only(given: str, wanted: str, factor: float | None) -> None:
    assert conversion(given, wanted) == (None if factor is None else pytest.approx(factor))


# --- clocks ---


def test_times_that_go_back_a_day_harm_neither_their_own_series_nor_others() -> None:
    on, alone = machine(), machine()
    rows = [(Series(asset, "m"), T0 + i * 1_000, float(i % 5)) for i in range(200) for asset in ("a", "b")]
    strange: list[Row] = []
    for i, (series, at, value) in enumerate(rows):
        strange += [(series, at, value), (series, at - DAY_MS, 1e9)][: 1 + (i % 11 == 5)]
    assert take(on, strange) == take(alone, rows) == ([], [])
    assert on.clock == alone.clock
    for asset in ("a", "b"):
        assert values_of(on, asset, "m") == values_of(alone, asset, "m")
        assert on.rows[series_key(asset, "m")].level == alone.rows[series_key(asset, "m")].level
    assert sum(row.late_dropped for row in on.rows.values()) == len(strange) - len(rows)


def test_a_producer_whose_clock_is_an_hour_behind_is_watched_in_its_own_time() -> None:
    """Its series come after those of the others; its silences are its own too."""
    on, hour_ms = machine(), 3_600_000
    rows: list[Row] = []
    for i in range(100):
        at = T0 + i * 10_000
        rows += [(Series("right", "m"), at, 1.0 + i % 3), (Series("slow", "m"), at - hour_ms, 1.0 + i % 3)]
    emissions, refused = take(on, rows)
    assert refused == []
    assert values_of(on, "right", "m")[0] == values_of(on, "slow", "m")[0] == 100
    told = [e.value for e in emissions if isinstance(e.value, Anomaly)]
    assert {a.asset_id for a in told} <= {"slow"}, "whoever is right is not told of because of others"
    assert {a.kind.value for a in told} <= {"absence"}


# --- a flood of new series ---


def flood(count: int, at: int, asset: str = "noisy") -> list[Row]:
    return [(Series(asset, f"m{i}"), at + i % 100, 1.0) for i in range(count)]


def test_new_series_beyond_the_limit_of_a_minute_are_dropped_counted_and_said_once() -> None:
    on = machine(max_new_series_per_minute=50)
    take(on, [(Series("calm", "m"), T0, 1.0)])
    _, refused = take(on, flood(500, T0 + 1_000))
    assert len(on.rows) == 50, "the assets that discovery does not know share a tenant"
    (said,) = refused
    assert said.code is Reason.TOO_MANY_SERIES
    assert "tenant 'unknown'" in said.message
    assert "max_new_series_per_minute" in said.message
    on.on_columns(
        SampleColumns((Series("noisy", "m1"),), np.zeros(1, np.int32), np.array([T0 + 2_000]), np.ones(1)), str
    )
    assert values_of(on, "noisy", "m1")[0] == 2, "series that there are go on"
    _, refused = take(on, flood(500, T0 + 60_000))
    assert len(on.rows) == 100
    assert "451 were in the last such minute" in refused[0].message


def test_what_is_dropped_without_a_word_is_counted() -> None:
    on = machine(max_new_series_per_minute=10)
    rows = flood(100, T0)
    on.on_columns(
        SampleColumns(tuple(r[0] for r in rows), np.arange(100, dtype=np.int32), np.full(100, T0), np.ones(100)), str
    )
    refused = on.take_refused()
    assert (len(refused.rows), refused.not_told) == (1, 89)
    assert on.take_refused() == ([], 0)


def test_a_million_new_series_in_a_minute_cost_their_tenant_and_nobody_else() -> None:
    """As the settings are by default: 30,000 begin, the others are counted, and who was there is watched as before."""
    on, alone = machine(), machine()
    for each in (on, alone):
        each.layer.see(each.view, Event("assets", "calm", RegisteredAsset(id="calm", tenant="quiet"), T0, "r"))
    calm = [(Series("calm", f"m{i}"), T0 + i, float(i % 7)) for i in range(100)]
    assert take(on, calm) == take(alone, calm) == ([], [])
    counted, size = 0, 10_000
    for begin in range(0, 1_000_000, size):
        series = tuple(Series("noisy", f"m{begin + i}") for i in range(size))
        at = np.full(size, T0 + 1_000 + begin // 100)
        assert on.on_columns(SampleColumns(series, np.arange(size, dtype=np.int32), at, np.ones(size)), str) == []
        refused = on.take_refused()
        counted += len(refused.rows) + refused.not_told
    assert len(on.rows) == 30_100
    assert counted == 970_000
    later = [(series, at + 30_000, value) for series, at, value in calm]
    assert take(on, later) == take(alone, later) == ([], [])
    for i in range(100):
        key = series_key("calm", f"m{i}")
        assert on.layer.encode_row(on.rows[key]) == alone.layer.encode_row(alone.rows[key])


def test_tenants_do_not_share_their_limits() -> None:
    on = machine(max_new_series_per_minute=20)
    for asset, tenant in (("noisy", "loud"), ("calm", "quiet")):
        on.layer.see(on.view, Event("assets", asset, RegisteredAsset(id=asset, tenant=tenant), T0, "r"))
    _, refused = take(on, [*flood(30, T0, "noisy"), *flood(20, T0, "calm"), *flood(20, T0, "stranger")])
    assert len(on.rows) == 60
    assert ["tenant 'loud'" in r.message for r in refused] == [True]


def test_a_tenant_at_its_most_begins_again_where_series_were_forgotten_or_moved_to_another_tenant() -> None:
    on = machine(max_series=20)
    _, refused = take(on, flood(30, T0))
    assert len(on.rows) == 20
    assert "max_series" in refused[0].message
    on.layer.see(on.view, Event("assets", "noisy", RegisteredAsset(id="noisy", tenant="loud"), T0, "r"))
    assert take(on, flood(20, T0 + 60_000, "other"))[1] == []
    assert len(on.rows) == 40
    assert take(on, [(Series("other", "x"), T0 + 120_000, 1.0)])[1] != []
    on.advance(T0 + 8 * DAY_MS)
    assert len(on.rows) == 0
    assert take(on, flood(20, T0 + 8 * DAY_MS, "other"))[1] == []


def test_signals_of_assets_that_discovery_does_not_know_are_kept_and_their_assets_counted() -> None:
    on = machine()
    take(on, [(Series(asset, metric), T0, 1.0) for asset in ("new", "known", "other") for metric in ("m", "n")])
    on.layer.see(on.view, Event("assets", "known", RegisteredAsset(id="known"), T0, "r"))
    assert len(on.rows) == 6
    assert on.unknown_assets() == 2
    on.layer.see(on.view, Event("assets", "new", RegisteredAsset(id="new", tenant="acme"), T0, "r"))
    assert on.unknown_assets() == 1


@pytest.mark.parametrize("cuts", [(100,), tuple(range(1, 300, 7)), tuple(range(1, 300))])
def test_what_is_refused_does_not_depend_on_how_samples_were_batched(cuts: tuple[int, ...]) -> None:
    units = ["knots", "", "furlongs", "ms"]
    rows = [(Series(f"a{i % 3}", f"m{i * i % 37}", units[i % 4]), T0 + i * 900, float(i % 5)) for i in range(300)]
    whole, parts = (machine(max_new_series_per_minute=12, max_series=60) for _ in range(2))
    assert take(whole, rows) == take(parts, rows, cuts)
    assert {k: whole.layer.encode_row(r) for k, r in whole.rows.items()} == {
        k: parts.layer.encode_row(r) for k, r in parts.rows.items()
    }


def test_a_table_that_was_full_of_forgotten_series_is_packed_and_goes_on() -> None:
    on = machine()
    kept = Series("kept", "m")
    for day in range(40):
        at = T0 + day * 8 * DAY_MS
        take(on, [(Series(f"pod-{day}-{i}", "m"), at, 1.0) for i in range(200)] + [(kept, at + 1, 1.0)])
        list(on.take_encoded())
        assert len(on.rows) == 201
        assert on.rows[series_key("kept", "m")].last_at == at + 1
    assert len(on.table.records) < 1_000, "8,000 series came and went"


# --- as dead letters ---


class Host:
    def __init__(self) -> None:
        self.outputs: list[Output] = []

    def stage(self, partition, *, rows, outputs, applied) -> None:
        self.outputs += outputs

    def rows(self, partition):
        return []

    def fail(self, error: BaseException) -> None:
        raise error


def test_a_refused_sample_is_a_dead_letter_with_the_coordinates_of_its_message() -> None:
    host, layer = Host(), TelemetryLayer()
    rules = Rules("health-signals", (HealthSignal, HealthSignalBatch), 1, 60_000, 10_000)
    runner = LayerRunner(layer, RunnerConfig({"health-signals": rules}, {}, "none:9092"), host)
    single = HealthSignal(asset_id="a", metric="speed", unit="knots", value=1.0, at=T0)
    batch = HealthSignalBatch(
        series=tuple(SeriesKey(asset_id="a", metric="speed", unit=unit) for unit in ("knots", "furlongs")),
        series_index=(0, 1, 0, 1),
        at=(T0 + 1, T0 + 2, T0 + 3, T0 + 4),
        value=(1.0, 2.0, 3.0, 4.0),
    )
    messages = [
        RawMessage(7 + i, T0 + 60_000, b"a", encode(record)) for i, record in enumerate((single, batch, single))
    ]
    runner.process(Batch("health-signals", 0, messages))
    (letter,) = host.outputs
    headers = dict(letter.headers)
    assert (letter.topic, letter.value) == ("dead-letters", messages[1].value)
    assert (headers["offset"], headers["error"]) == (b"8", b"unit_conflict")
    assert headers["reason"].startswith(b"row 1: a speed: unit 'furlongs'")
    assert b"row 3" in headers["reason"]
    assert runner.counters.refused == 2
    assert runner.owned[0].machine.rows[series_key("a", "speed")].samples == 3
