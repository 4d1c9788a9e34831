"""An exponential histogram against an explicit one, and against the observations that are in both.

Bound of scale s: the true quantile lies in the bucket that the figure lies in, so that they differ by a factor of
2^(2^-s) at most (both on the same side of zero), and by the width of the zero bucket in it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from streams.adapters.converter import Converter
from streams.adapters.otlp import read_otlp
from streams.adapters.rounds import Figure
from streams.adapters.rows import Rows
from streams.adapters.settings import IntakeSettings

T0 = 1_700_000_000_000
NS = 1_000_000
SETTINGS = IntakeSettings()
# No subnormals: between two of them there is no double, so no factor of 1.4 that a bound could be met within.
SMALL = st.floats(-1e-9, 1e-9, allow_subnormal=False)
OBSERVED = st.lists(st.floats(1e-6, 1e6) | st.floats(-1e6, -1e-6) | SMALL, min_size=1, max_size=60)
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def index_of(value: float, scale: int) -> int:
    """The bucket with base^i < value <= base^(i+1), by the bounds themselves."""
    i = math.ceil(math.log2(value) * 2.0**scale) - 1
    while 2.0 ** math.ldexp(i, -scale) >= value:
        i -= 1
    while 2.0 ** math.ldexp(i + 1, -scale) < value:
        i += 1
    return i


def exponential(observed: Sequence[float], scale: int, threshold: float, seconds: int, delta: bool) -> bytes:
    data, one = _message(seconds, delta, "exponential_histogram", observed)
    one.scale, one.zero_threshold = scale, threshold
    one.zero_count = sum(abs(x) <= threshold for x in observed)
    for side, sign in ((one.positive, 1), (one.negative, -1)):
        counts = Counter(index_of(abs(x), scale) for x in observed if x * sign > threshold)
        side.offset = min(counts, default=0)
        side.bucket_counts.extend(counts[i] for i in range(min(counts, default=0), max(counts, default=-1) + 1))
    return data.SerializeToString()


def explicit(observed: Sequence[float], bounds: Sequence[float], seconds: int, delta: bool) -> bytes:
    data, one = _message(seconds, delta, "histogram", observed)
    one.explicit_bounds.extend(bounds)
    ends = [*bounds, math.inf]
    counts = Counter(next(i for i, end in enumerate(ends) if x <= end) for x in observed)
    one.bucket_counts.extend(counts[i] for i in range(len(ends)))
    return data.SerializeToString()


def _message(seconds: int, delta: bool, kind: str, observed: Sequence[float]):  # type: ignore[no-untyped-def]
    data = pb.MetricsData()
    metric = data.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    histogram = getattr(metric, kind)
    histogram.aggregation_temporality = (
        pb.AGGREGATION_TEMPORALITY_DELTA if delta else pb.AGGREGATION_TEMPORALITY_CUMULATIVE
    )
    start = T0 + (seconds - 10) * 1000 if delta else T0 - 3_600_000
    one = histogram.data_points.add(start_time_unix_nano=start * NS, time_unix_nano=(T0 + seconds * 1000) * NS)
    one.count, one.sum = len(observed), math.fsum(observed)
    return data, one


def last_figures(messages: Sequence[bytes]) -> dict[str, float]:
    """Of the last message."""
    by = Converter(SETTINGS, Rows(100))
    found: list[Figure] = []
    for message in messages:
        reading = read_otlp(message, SETTINGS)
        assert reading.faults == []
        found = by.take(reading)
    return {figure.metric: figure.value for figure in found}


@settings(deadline=None, max_examples=300)
@given(
    before=OBSERVED,
    added=OBSERVED,
    scales=st.tuples(st.integers(-3, 8), st.integers(-3, 8)),
    thresholds=st.sampled_from([(0.0, 0.0), (0.0, 2.0**-24), (2.0**-24, 2.0**-24)]),
    delta=st.booleans(),
)
def test_an_exponential_histogram_says_what_an_explicit_one_says_within_the_bound_of_its_scale(
    before: list[float], added: list[float], scales: tuple[int, int], thresholds: tuple[float, float], delta: bool
) -> None:
    now = added if delta else before + added
    bounds = sorted(set(before + added))
    ours = last_figures(
        [
            exponential(before, scales[0], thresholds[0], 0, delta),
            exponential(now, scales[1], thresholds[1], 10, delta),
        ]
    )
    theirs = last_figures([explicit(before, bounds, 0, delta), explicit(now, bounds, 10, delta)])
    assert ours.keys() == theirs.keys() == {"m_per_s", "m_mean", *(f"m_{name}" for name in QUANTILES)}
    assert ours["m_per_s"] == theirs["m_per_s"] == len(added) / 10
    assert ours["m_mean"] == theirs["m_mean"]
    coarser = scales[1] if delta else min(scales)
    factor = 2.0 ** (2.0**-coarser) * (1 + 1e-12)
    width = 0.0 if delta and not thresholds[1] else thresholds[1]
    for name, share in QUANTILES.items():
        rank = max(1, math.ceil(share * len(added) - 1e-9))
        true, told = sorted(added)[rank - 1], ours[f"m_{name}"]
        if abs(true) <= width:
            assert abs(told) <= max(width, 2.0**-24)
        else:
            assert math.copysign(1.0, told) == math.copysign(1.0, true)
            assert abs(true) / factor <= abs(told) <= abs(true) * factor
