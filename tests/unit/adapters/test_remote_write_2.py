"""Remote write 2.0: symbols, types and units with the series, when totals began, one bad series."""

from __future__ import annotations

import math

import pytest
from prom_requests import ME, Second, fill
from recorded import MOST, SETTINGS, samples, values

from schemas.errors import Reason, Undecodable
from streams.adapters.formats import read
from streams.adapters.rounds import Figure

T0 = 1_700_000_000_000
LATER = T0 + 10_000


def shown(found: list[Figure]) -> list[tuple[str, str, float]]:
    return [(figure.metric, figure.unit, figure.value) for figure in found]


def test_the_type_that_comes_with_a_series_tells_counters_from_gauges() -> None:
    def body(at: int, value: float) -> bytes:
        one = Second().sample("switches", value, at, kind="counter").sample("open_total", value, at, kind="gauge")
        return one.sample("unsaid_total", value, at).body()

    found = shown(samples("remote-write", [body(T0, 100.0), body(LATER, 150.0)]))
    assert found == [
        ("open_total", "", 100.0),
        ("switches_per_s", "1/s", 5.0),
        ("open_total", "", 150.0),
        ("unsaid_per_s", "1/s", 5.0),
    ]


def test_two_assets_may_have_one_name_of_two_types() -> None:
    """Types of 1.0 are those of a name; here each series has its own."""

    def body(at: int, value: float) -> bytes:
        one = Second().sample("x", value, at, kind="counter", labels={"job": "a"})
        return one.sample("x", value, at, kind="gauge", labels={"job": "b"}).body()

    found = samples("remote-write", [body(T0, 100.0), body(LATER, 150.0)])
    assert [(f.asset_id, f.metric, f.value) for f in found] == [
        ("b", "x", 100.0), ("a", "x_per_s", 5.0), ("b", "x", 150.0),
    ]  # fmt: skip


def test_a_unit_that_the_name_does_not_say_comes_from_the_metadata() -> None:
    body = Second().sample("heat", 2.0, T0, kind="gauge", unit="seconds").sample("d_bytes", 1.0, T0, unit="seconds")
    assert shown(samples("remote-write", [body.body()])) == [("heat", "ms", 2000.0), ("d_bytes", "bytes", 1.0)]


def test_histograms_of_le_are_put_together() -> None:
    def body(at: int, counts: tuple[int, int], start: int) -> bytes:
        one = Second()
        for le, n in zip(("1", "+Inf"), counts, strict=True):
            one.sample("d_bucket", n, at, kind="histogram", labels=ME | {"le": le}, created=start)
        one.sample("d_sum", counts[1] * 2.0, at, kind="histogram", created=start)
        return one.sample("d_count", counts[1], at, kind="histogram", created=start).body()

    found = samples("remote-write", [body(T0, (1, 2), T0 - 10_000), body(LATER, (11, 32), T0 - 10_000)])
    assert values(found, "d_per_s") == [0.2, 3.0]
    assert values(found, "d_mean") == [2.0, 2.0]
    assert values(found, "d_p50") == [1.0, 1.0]
    anew = samples("remote-write", [body(T0, (1, 2), T0 - 10_000), body(LATER, (11, 32), T0 + 5_000)])
    assert values(anew, "d_per_s") == [0.2, 6.4]


@pytest.mark.parametrize("field", ["series", "sample"])
def test_a_counter_counts_from_when_it_began(field: str) -> None:
    def body(at: int, value: float, start: int) -> bytes:
        one = Second()
        series = one.series("jobs_total", kind="counter", created=start if field == "series" else 0)
        series.samples.add(value=value, timestamp=at, start=start if field == "sample" else 0)
        return one.body()

    bodies = [body(T0, 50.0, T0 - 5_000), body(LATER, 60.0, T0 - 5_000), body(LATER + 10_000, 80.0, LATER)]
    assert values(samples("remote-write", bodies), "jobs_per_s") == [10.0, 1.0, 8.0]


def test_native_histograms_are_read_as_in_the_first_version() -> None:
    def body(at: int, count: int) -> bytes:
        one = Second()
        fill(one.series("d", kind="histogram", unit="seconds").histograms.add(), at, {3: count}, total=count * 5.0)
        return one.body()

    found = shown(samples("remote-write", [body(T0, 10), body(LATER, 30)]))
    assert found[:3] == [("d_per_s", "1/s", 2.0), ("d_mean", "ms", 5000.0), ("d_p50", "ms", 6000.0)]


def test_summaries_are_read_by_their_type() -> None:
    def body(at: int, count: float) -> bytes:
        one = Second().sample("gc", 0.25, at, kind="summary", labels=ME | {"quantile": "0.5"})
        return one.sample("gc_sum", count * 3, at, kind="summary").sample("gc_count", count, at, kind="summary").body()

    found = shown(samples("remote-write", [body(T0, 10.0), body(LATER, 20.0)]))
    assert found[2:] == [("gc_per_s", "1/s", 1.0), ("gc_mean", "", 3.0)]
    assert found[0] == ("gc{quantile=0.5}", "", 0.25)


def test_a_bad_series_loses_itself_and_what_is_good_is_counted() -> None:
    one = Second().sample("ok", 1.0, T0).sample("odd", 1.0, T0).sample("far", 1.0, T0).sample("twice", 1.0, T0)
    one.sample("unit", 1.0, T0).sample("endless", math.inf, T0).sample("blank", math.nan, T0)
    fill(one.series("h").histograms.add(), T0, {1: 1})
    series = one.request.series
    del series[1].labels_refs[-1]
    series[2].labels_refs[1] = 999
    series[3].labels_refs.extend(series[3].labels_refs[:2])
    series[4].metadata.unit_ref = 4_000_000_000
    reading = read("remote-write", one.body(), SETTINGS, MOST)
    assert [point.origin.metric for point in reading.points] == ["ok", "h"]
    assert [(fault.place, fault.message) for fault in reading.faults] == [
        ("series 1", "5 references to labels: a name without a value"),
        ("series 2", f"symbol 999 is none of {len(one.request.symbols)}"),
        ("series 3", "a label has two values"),
        ("series 4", f"symbol 4000000000 is none of {len(one.request.symbols)}"),
        ("series 5, endless", "value inf is not a finite number"),
    ]
    assert reading.faults[-1].code is Reason.NOT_FINITE
    assert reading.written == {"samples": 2, "histograms": 1}


def test_what_is_no_request_of_one_version_is_undecodable() -> None:
    without, both, empty = Second().sample("a", 1.0, T0), Second().sample("a", 1.0, T0), Second()
    without.request.symbols[0] = "x"
    both.request.timeseries.add().labels.add(name="__name__", value="a")
    for one, words in ((without, "do not begin with an empty one"), (both, "in one"), (empty, "no series")):
        with pytest.raises(Undecodable, match=words):
            read("remote-write", one.body(), SETTINGS, MOST)


def test_what_the_metadata_says_stands_before_labels_of_type_and_unit() -> None:
    labels = ME | {"__type__": "gauge", "__unit__": "volts"}
    said = Second().sample("x", 2.0, T0, kind="counter", unit="seconds", labels=labels)
    assert shown(samples("remote-write", [said.body()])) == []
    unsaid = Second().sample("x", 2.0, T0, labels=labels)
    assert shown(samples("remote-write", [unsaid.body()])) == [("x", "V", 2.0)]
