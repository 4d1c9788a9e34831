"""Exponential histograms whose scale or zero bucket changes between two points, and series of different scales."""

from __future__ import annotations

import json
import math
import sys

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from recorded import MOST, SETTINGS, samples, values

from schemas.errors import Reason
from streams.adapters.buckets import exponential
from streams.adapters.formats import read
from streams.adapters.layouts import since, together

T0 = 1_700_000_000_000
NS = 1_000_000
CUMULATIVE, DELTA = pb.AGGREGATION_TEMPORALITY_CUMULATIVE, pb.AGGREGATION_TEMPORALITY_DELTA
Counts = dict[int, int]


def point(
    seconds: int,
    scale: int,
    counts: Counts,
    zero: tuple[int, float] = (0, 0.0),
    name: str = "size",
    code: str = "",
    temporality: int = CUMULATIVE,
    into: pb.MetricsData | None = None,
) -> pb.MetricsData:
    """Of a histogram that has run for ten minutes; every observation counts as 1 in its sum."""
    data = into or pb.MetricsData()
    resource = data.resource_metrics.add()
    resource.resource.attributes.add(key="host.name").value.string_value = "a"
    metric = resource.scope_metrics.add().metrics.add(name=name)
    metric.exponential_histogram.aggregation_temporality = temporality  # type: ignore[assignment]
    start = T0 + (seconds - 10) * 1000 if temporality == DELTA else T0 - 600_000
    one = metric.exponential_histogram.data_points.add(
        start_time_unix_nano=start * NS, time_unix_nano=(T0 + seconds * 1000) * NS, scale=scale
    )
    one.count = zero[0] + sum(counts.values())
    one.sum = float(one.count)
    one.zero_count, one.zero_threshold = zero
    one.positive.offset = min(counts, default=0)
    one.positive.bucket_counts.extend(
        counts.get(i, 0) for i in range(min(counts, default=0), max(counts, default=-1) + 1)
    )
    if code:
        one.attributes.add(key="http.response.status_code").value.string_value = code
    return data


def as_json(data: pb.MetricsData) -> bytes:
    return json.dumps(MessageToDict(data, use_integers_for_enums=True)).encode()


def test_a_coarser_scale_than_before_still_gives_quantiles() -> None:
    """At scale 1 buckets 4 and 5 are (4, 5.66] and (5.66, 8]; at scale 0 they are both in bucket 2, (4, 8]."""
    points = [point(0, 1, {4: 10, 5: 10}), point(10, 0, {2: 40, 6: 20})]
    for found in (samples("otlp", [p.SerializeToString() for p in points]), samples("otlp", map(as_json, points))):
        assert values(found, "size_per_s") == [4.0]
        assert values(found, "size_mean") == [1.0]
        assert values(found, "size_p50") == [8.0]
        assert values(found, "size_p95") == pytest.approx([64 + 64 * 18 / 20])


def test_a_wider_zero_bucket_takes_in_what_was_beside_it() -> None:
    points = [point(0, 0, {-4: 5, 2: 5}, zero=(10, 0.0)), point(10, 0, {2: 15}, zero=(35, 0.125))]
    found = samples("otlp", [p.SerializeToString() for p in points])
    assert values(found, "size_per_s") == [3.0]
    assert values(found, "size_p50") == pytest.approx([-0.125 + 0.25 * 15 / 20])
    assert values(found, "size_p95") == pytest.approx([4 + 4 * 8.5 / 10])


def test_a_zero_bucket_that_took_in_the_only_negative_observation_is_no_new_beginning() -> None:
    before = point(0, 0, {})
    one = before.resource_metrics[0].scope_metrics[0].metrics[0].exponential_histogram.data_points[0]
    one.count, one.sum = 1, 1.0
    one.negative.offset = -20
    one.negative.bucket_counts.append(1)
    found = samples("otlp", [before.SerializeToString(), point(10, 0, {1: 1}, zero=(1, 0.125)).SerializeToString()])
    assert values(found, "size_per_s") == [0.1]


def test_a_finer_scale_than_before_gives_quantiles_of_the_coarser_one() -> None:
    points = [point(0, 0, {2: 10}), point(10, 1, {4: 10, 5: 20, 12: 20})]
    found = samples("otlp", [p.SerializeToString() for p in points])
    assert values(found, "size_p50") == [8.0]
    assert values(found, "size_p99") == pytest.approx([64 + 64 * (math.sqrt(2) - 1) * 19.6 / 20])


def test_a_bucket_that_fell_says_that_the_histogram_began_anew_though_its_count_rose() -> None:
    points = [point(0, 0, {2: 10}), point(10, 0, {2: 5, 6: 15})]
    found = samples("otlp", [p.SerializeToString() for p in points])
    assert values(found, "size_per_s") == [2.0]
    assert values(found, "size_p50") == pytest.approx([64 + 64 * 5 / 15])


def test_delta_points_need_no_layout_of_before() -> None:
    points = [point(0, 3, {0: 10}, temporality=DELTA), point(10, -2, {0: 20}, temporality=DELTA)]
    found = samples("otlp", [p.SerializeToString() for p in points])
    assert values(found, "size_per_s") == [1.0, 2.0]
    assert values(found, "size_p50") == pytest.approx([1 + (2 ** (1 / 8) - 1) / 2, 1 + 15 / 2])


def test_attribute_sets_of_different_scales_make_one_figure() -> None:
    """90 requests in (4, 5.66] ms by one series, 10 in (4, 8] and 100 in (64, 128] by another: half are up to 8."""

    def requests(times: int) -> bytes:
        name = "http.server.request.duration"
        data = point(times * 10, 1, {4: 90 * times}, name=name, code="200")
        return point(
            times * 10, 0, {2: 10 * times, 6: 100 * times}, name=name, code="500", into=data
        ).SerializeToString()

    found = samples("otlp", [requests(1), requests(2)])
    assert values(found, "latency_ms_p50") == [8.0]
    assert values(found, "latency_ms_p95") == pytest.approx([64 + 64 * 0.9])
    assert values(found, "error_rate") == [0.55]


def test_the_greatest_numbers_have_buckets() -> None:
    assert exponential(0, (0, 0.0), (1023, [1, 2]), (0, [])) == (
        (2.0**1023, sys.float_info.max, 1.0),
        (sys.float_info.max, math.inf, 2.0),
    )


@pytest.mark.parametrize(("scale", "offset"), [(0, 1025), (0, -1100), (-11, 2), (-20, 2), (21, 0), (-21, 0)])
def test_buckets_beyond_any_number_are_refused(scale: int, offset: int) -> None:
    with pytest.raises(ValueError, match=r"beyond any number|not between"):
        exponential(scale, (0, 0.0), (offset, [1]), (0, []))


def test_a_count_that_is_not_that_of_the_buckets_is_refused() -> None:
    data = point(0, 0, {2: 10})
    data.resource_metrics[0].scope_metrics[0].metrics[0].exponential_histogram.data_points[0].count = 11
    for body in (data.SerializeToString(), as_json(data)):
        [fault] = read("otlp", body, SETTINGS, MOST).faults
        assert (fault.code, fault.message) == (Reason.INVALID, "count 11 is not that of its buckets, 10")


def test_layouts_that_cross_cannot_be_subtracted_and_stay_apart_in_a_sum() -> None:
    one, other = (0.0, 2.0, 3.0), (1.0, 4.0, 5.0)
    assert since([one], [other]) is None
    assert together([other, one]) == (one, other)
