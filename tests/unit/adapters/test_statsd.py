"""StatsD and DogStatsD lines, aggregated between two flushes."""

from __future__ import annotations

import pytest

from streams.adapters.rounds import Figure
from streams.adapters.statsd import GAUGE_KEPT_FLUSHES, MAX_SERIES, Aggregator

T0 = 1_700_000_000_000
IDENTITY = ("service", "host")


def flushed(*datagrams: bytes) -> dict[str, Figure]:
    aggregator = Aggregator(IDENTITY, "unidentified")
    for datagram in datagrams:
        aggregator.take(datagram)
    assert aggregator.refused == 0, aggregator.last_refusal
    return {figure.metric: figure for figure in aggregator.flush(T0, 10.0)}


def test_counters_are_rates_and_sample_rates_are_made_good() -> None:
    found = flushed(b"orders:1|c\norders:2|c", b"orders:3|c|@0.1")
    assert found["orders_per_s"] == Figure("unidentified", "orders_per_s", "1/s", T0, 3.3)


def test_tags_name_the_asset_and_keep_series_apart() -> None:
    found = flushed(b"orders:10|c|#service:pay,tier:gold,new", b"orders:20|c|#tier:plain,service:pay")
    assert {f.asset_id for f in found.values()} == {"pay"}
    assert found["orders_per_s{new=,tier=gold}"].value == 1.0
    assert found["orders_per_s{tier=plain}"].value == 2.0


def test_timers_give_rate_mean_and_quantiles() -> None:
    found = flushed(*(f"took:{i}|ms".encode() for i in range(1, 101)), b"packed:1:2:3|h")
    assert found["took_per_s"].value == 10.0
    assert found["took_mean"] == Figure("unidentified", "took_mean", "ms", T0, 50.5)
    assert (found["took_p50"].value, found["took_p95"].value, found["took_p99"].value) == (51, 96, 100)
    assert found["packed_mean"].value == 2.0


def test_gauges_move_by_signed_values_and_fall_silent_in_the_end() -> None:
    aggregator = Aggregator(IDENTITY, "x")
    aggregator.take(b"pool:7|g\npool:+2|g\npool:-4|g")
    seen = [[f.value for f in aggregator.flush(T0, 10.0)] for _ in range(GAUGE_KEPT_FLUSHES + 3)]
    assert seen[0] == [5.0]
    assert seen[-1] == []


def test_sets_count_the_different_ones() -> None:
    assert flushed(b"users:a|s\nusers:b|s", b"users:a|s")["users"].value == 2


def test_events_and_service_checks_are_no_metrics() -> None:
    assert flushed(b"_e{5,4}:title|text", b"_sc|db|0") == {}


@pytest.mark.parametrize(
    "line", [b"a", b"a:1", b":1|c", b"a:x|c", b"a:nan|g", b"a:1|q", b"a:1|c|@0", b"a:1|c|@2", b"\xff:1|c", b"a:inf|ms"]
)
def test_a_bad_line_loses_one_line(line: bytes) -> None:
    aggregator = Aggregator(IDENTITY, "x")
    aggregator.take(b"good:1|c\n" + line + b"\nfine:1|c")
    assert aggregator.refused == 1
    assert {f.metric for f in aggregator.flush(T0, 1.0)} == {"good_per_s", "fine_per_s"}


def test_series_are_bounded() -> None:
    aggregator = Aggregator(IDENTITY, "x")
    for i in range(MAX_SERIES + 5):
        aggregator.take(f"m{i}:1|c".encode())
    assert aggregator.refused == 5
    assert len(aggregator.flush(T0, 1.0)) == MAX_SERIES
