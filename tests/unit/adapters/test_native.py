"""Prometheus' native histograms in remote write: the same samples as from buckets of `le`, resets, what is wrong."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from prom_requests import ME, first, packed
from recorded import MOST, SETTINGS, converter, samples, values

from schemas.errors import Reason
from streams.adapters.formats import read
from streams.adapters.native import CUSTOM, STALE
from streams.adapters.prom_messages import request_class
from streams.adapters.rounds import Figure

T0 = 1_700_000_000_000
LATER = T0 + 10_000


def shown(found: list[Figure]) -> dict[str, float]:
    return {figure.metric.removeprefix("d_"): figure.value for figure in found}


@pytest.mark.parametrize("floats", [False, True])
def test_integers_and_floats_give_rate_mean_and_quantiles_of_the_interval(floats: bool) -> None:
    """Bucket 3 of schema 0 is (4, 8], bucket 7 (64, 128]."""
    bodies = [
        first("d", T0, {3: 10, 7: 5}, total=500.0, floats=floats),
        first("d", LATER, {3: 25, 4: 2, 7: 8}, total=700.0, floats=floats),
    ]
    found = samples("remote-write", bodies)
    assert shown(found) == {
        "per_s": 2.0,
        "mean": 10.0,
        "p50": pytest.approx(4 + 4 * 10 / 15),
        "p95": pytest.approx(64 + 64 * 2 / 3),
        "p99": pytest.approx(64 + 64 * 2.8 / 3),
    }
    assert {(f.asset_id, f.at) for f in found} == {("shop/a:9", LATER)}


def test_negative_and_zero_buckets_are_in_their_order() -> None:
    bodies = [
        first("d", T0, {1: 1}, {1: 1}, zero=(1, 0.5)),
        first("d", LATER, {1: 11, 2: 1}, {1: 6, 2: 41}, zero=(41, 0.5)),
    ]
    found = shown(samples("remote-write", bodies))
    assert found["per_s"] == 9.7
    assert found["p50"] == pytest.approx(-0.5 + (48.5 - 46) / 40)
    assert found["p99"] == pytest.approx(2 + 2 * (97 * 0.99 - 96))


def test_requests_make_the_contract_s_figures() -> None:
    name = "http_request_duration_seconds"

    def scrape(times: int) -> list[bytes]:
        at = T0 + times * 10_000
        return [
            first(name, at, {-3: 90 * times}, total=9.0 * times, labels=ME | {"code": "200"}),
            first(name, at, {-3: 10 * times}, total=1.0 * times, labels=ME | {"code": "500"}),
        ]

    found = samples("remote-write", [body for times in range(4) for body in scrape(times)])
    assert values(found, "throughput_per_s") == [10.0] * 2
    assert values(found, "latency_ms") == pytest.approx([100.0] * 2)
    assert values(found, "error_rate") == [0.1] * 2
    assert values(found, "latency_ms_p50") == pytest.approx([93.75] * 2)


def test_custom_buckets_say_what_buckets_of_le_say() -> None:
    """Bounds 0.1 and 1: 10 in (0.1, 1] and 10 beyond are added."""
    bodies = [
        first("d_seconds", T0, {0: 1, 1: 1}, total=1.0, schema=CUSTOM, custom=(0.1, 1.0)),
        first("d_seconds", LATER, {0: 1, 1: 11, 2: 10}, total=31.0, schema=CUSTOM, custom=(0.1, 1.0)),
    ]
    found = samples("remote-write", bodies)
    assert values(found, "d_seconds_per_s") == [2.0]
    assert values(found, "d_seconds_mean") == [1.5]
    assert (values(found, "d_seconds_p50"), values(found, "d_seconds_p99")) == ([1.0], [1.0])


def test_a_coarser_schema_goes_on_from_the_finer_one() -> None:
    bodies = [first("d", T0, {5: 10, 6: 10}, schema=1), first("d", LATER, {3: 40}, schema=0)]
    found = shown(samples("remote-write", bodies))
    assert (found["per_s"], found["p50"]) == (2.0, 6.0)


def test_a_hint_of_a_reset_is_followed_though_the_count_rose() -> None:
    bodies = [first("d", T0, {3: 10}), first("d", LATER, {3: 20}, hint=1)]
    assert shown(samples("remote-write", bodies))["per_s"] == 2.0
    assert shown(samples("remote-write", [bodies[0], first("d", LATER, {3: 20}, hint=2)]))["per_s"] == 1.0
    assert shown(samples("remote-write", [bodies[0], first("d", LATER, {3: 5})]))["per_s"] == 0.5


def test_a_gauge_histogram_is_what_there_is_now_and_has_no_rate() -> None:
    bodies = [first("d", T0, {3: 10}, total=60.0, hint=3), first("d", LATER, {3: 4}, total=20.0, hint=3)]
    found = samples("remote-write", bodies)
    assert values(found, "d_mean") == [6.0, 5.0]
    assert values(found, "d_p50") == [6.0, 6.0]
    assert values(found, "d_per_s") == []


def test_a_stale_histogram_ends_and_begins_anew() -> None:
    stale = struct.unpack("<d", struct.pack("<Q", STALE))[0]
    by = converter()
    bodies = [first("d", T0, {3: 1}), first("d", T0 + 1, {}, total=stale), first("d", LATER, {3: 9})]
    assert samples("remote-write", bodies, by=by) == []
    assert by.counts["ended"] == 1


def test_observations_that_are_no_number_leave_the_mean_out() -> None:
    def body(at: int, count: int) -> bytes:
        request = request_class().FromString(_plain(first("d", at, {3: count}, total=math.nan)))
        request.timeseries[0].histograms[0].count_int += 1
        return packed(request)

    found = shown(samples("remote-write", [body(T0, 10), body(LATER, 20)]))
    assert found["per_s"] == 1.0
    assert "mean" not in found


def _plain(body: bytes) -> bytes:
    import cramjam

    return bytes(cramjam.snappy.decompress_raw(body))


def broken(**changes: Any) -> bytes:
    request = request_class().FromString(_plain(first("d", T0, {3: 5, 4: 5})))
    histogram = request.timeseries[0].histograms[0]
    for name, value in changes.items():
        if isinstance(value, list):
            del getattr(histogram, name)[:]
            for item in value:
                if isinstance(item, tuple):
                    getattr(histogram, name).add(offset=item[0], length=item[1])
                else:
                    getattr(histogram, name).append(item)
        else:
            setattr(histogram, name, value)
    request.timeseries.add().CopyFrom(request_class().FromString(_plain(first("ok", T0, {1: 1}))).timeseries[0])
    return packed(request)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"positive_deltas": [5]}, Reason.INVALID, "spans of 2 buckets do not go with 1 counts"),
        ({"positive_spans": [(0, 2**32 - 1)]}, Reason.INVALID, "spans of 4294967295 buckets"),
        ({"positive_spans": [(0, 1), (-1, 1)]}, Reason.INVALID, "overlap"),
        ({"positive_deltas": [5, -6]}, Reason.INVALID, "less than no observations"),
        ({"count_int": 9}, Reason.INVALID, "count 9 is not that of its buckets, 10"),
        ({"count_float": math.inf}, Reason.INVALID, "no number of observations"),
        ({"zero_threshold": math.nan}, Reason.INVALID, "no width"),
        ({"schema": 99}, Reason.INVALID, "scale 99"),
        ({"positive_spans": [(2**31 - 5, 2)]}, Reason.INVALID, "beyond any number"),
        ({"schema": CUSTOM, "custom_values": [1.0]}, Reason.INVALID, "custom buckets"),
        ({"schema": CUSTOM, "custom_values": [5.0, 4.0, 3.0, 2.0]}, Reason.INVALID, "do not ascend"),
        ({"sum": math.inf}, Reason.NOT_FINITE, "not a finite"),
        ({"timestamp": -5}, Reason.TIME_OUT_OF_RANGE, "between 1970"),
    ],
)
def test_one_bad_histogram_loses_one(changes: dict[str, Any], code: Reason, words: str) -> None:
    reading = read("remote-write", broken(**changes), SETTINGS, MOST)
    [fault] = reading.faults
    assert (fault.code, fault.place) == (code, "series 0, d")
    assert words in fault.message
    assert [point.origin.metric for point in reading.points] == ["ok"]
