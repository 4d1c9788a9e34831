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
