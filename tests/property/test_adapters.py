"""Whatever bytes come: a reader gives points, faults or a DecodeError, and a converter takes what a reader gave."""

from __future__ import annotations

import json
import math

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DecodeError
from streams.adapters.converter import Converter
from streams.adapters.formats import FORMATS, read
from streams.adapters.prom_messages import request_class
from streams.adapters.quantiles import quantile
from streams.adapters.rows import Rows
from streams.adapters.settings import IntakeSettings

SETTINGS = IntakeSettings()
OTLP_WORDS = ("resourceMetrics", "resource", "attributes", "scopeMetrics", "metrics", "name", "unit", "gauge", "sum")
POINT_WORDS = ("histogram", "dataPoints", "asDouble", "key", "value", "timeUnixNano", "stringValue", "bucketCounts")
COLLECTD_WORDS = ("values", "dstypes", "dsnames", "time", "host", "plugin", "type")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(OTLP_WORDS + POINT_WORDS + COLLECTD_WORDS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)
FOREIGN = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=300).map(lambda data: bytes(cramjam.snappy.compress_raw(data))),
    JSON.map(lambda value: json.dumps(value).encode()),
    JSON.map(lambda value: json.dumps({"resourceMetrics": value}).encode()),
    st.text(alphabet="PUTVAL h/-.:=0123456789naeif\n", max_size=80).map(str.encode),
)


def good_requests() -> list[bytes]:
    """Plain bodies of remote write 1.0 and 2.0 with samples, native histograms and metadata in them."""
    first, second = request_class()(), request_class()()
    series = first.timeseries.add()
    series.labels.add(name="__name__", value="d")
    series.samples.add(value=1.0, timestamp=1_700_000_000_000)
    first.metadata.add(type=3, metric_family_name="d", unit="seconds")
    second.symbols.extend(["", "__name__", "d", "seconds"])
    other = second.series.add(labels_refs=[1, 2], created=1_699_999_999_000)
    other.samples.add(value=1.0, timestamp=1_700_000_000_000)
    other.metadata.type, other.metadata.unit_ref = 3, 3
    for one in (series, other):
        histogram = one.histograms.add(count_int=9, zero_count_int=2, sum=9.0, schema=2, zero_threshold=0.25)
        histogram.positive_spans.add(offset=1, length=2)
        histogram.positive_spans.add(offset=3, length=1)
        histogram.positive_deltas.extend([1, 1, -1])
        histogram.negative_spans.add(offset=0, length=1)
        histogram.negative_deltas.append(3)
        histogram.timestamp = 1_700_000_000_000
    return [first.SerializeToString(), second.SerializeToString()]


@pytest.mark.parametrize("plain", good_requests())
@given(changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4), kept=st.integers(1, 400))
def test_a_damaged_remote_write_request_is_refused_in_words_or_read(
    plain: bytes, changes: list[tuple[int, int]], kept: int
) -> None:
    damaged = bytearray(plain)
    for place, byte in changes:
        damaged[place % len(damaged)] = byte
    body = bytes(cramjam.snappy.compress_raw(bytes(damaged[:kept])))
    converter = Converter(SETTINGS, Rows(100))
    for _ in range(2):
        try:
            reading = read("remote-write", body, SETTINGS, 1_048_576)
        except DecodeError:
            return
        assert all(fault.message and fault.place for fault in reading.faults)
        for figure in converter.take(reading):
            assert 0 < len(figure.metric) <= 512
            assert not math.isnan(figure.value)


def test_the_requests_that_are_damaged_are_good() -> None:
    for plain in good_requests():
        reading = read("remote-write", bytes(cramjam.snappy.compress_raw(plain)), SETTINGS, 1_048_576)
        assert (reading.faults, len(reading.points)) == ([], 2)


@pytest.mark.parametrize("form", FORMATS)
@given(data=FOREIGN)
def test_no_bytes_raise_anything_but_a_decode_error(form: str, data: bytes) -> None:
    try:
        reading = read(form, data, SETTINGS, 1_048_576)
    except DecodeError:
        return
    for figure in Converter(SETTINGS, Rows(100)).take(reading):
        assert 0 < len(figure.metric) <= 512
        assert 0 < len(figure.asset_id) <= 512


@given(
    counts=st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any),
    share=st.floats(0, 1),
    other=st.floats(0, 1),
)
def test_quantiles_rise_with_their_share_and_stay_in_the_buckets(counts: list[int], share: float, other: float) -> None:
    buckets = [(float(i), float(i + 1), float(n)) for i, n in enumerate(counts) if n]
    low, high = sorted((quantile(min(share, other), buckets), quantile(max(share, other), buckets)))
    assert quantile(min(share, other), buckets) == low
    assert buckets[0][0] <= low <= high <= buckets[-1][1]
    assert math.isfinite(high)
