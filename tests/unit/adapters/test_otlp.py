"""OTLP metrics: the SDK's bytes, and messages made to be wrong in one place."""

from __future__ import annotations

import json

import pytest
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from recorded import MOST, SETTINGS, converter, otlp, samples, values

from schemas.errors import Reason, Undecodable
from streams.adapters.formats import read
from streams.adapters.points import Reading
from streams.adapters.settings import IntakeSettings

T0 = 1_700_000_000_000
NS = 1_000_000
CUMULATIVE, DELTA = pb.AGGREGATION_TEMPORALITY_CUMULATIVE, pb.AGGREGATION_TEMPORALITY_DELTA


def message(host: str = "host-a") -> tuple[pb.MetricsData, pb.ScopeMetrics]:
    data = pb.MetricsData()
    resource = data.resource_metrics.add()
    if host:
        resource.resource.attributes.add(key="host.name").value.string_value = host
    return data, resource.scope_metrics.add()


def gauge(value: float | None, unit: str = "", name: str = "heat", at: int = T0, flags: int = 0) -> bytes:
    data, scope = message()
    point = scope.metrics.add(name=name, unit=unit).gauge.data_points.add(time_unix_nano=at * NS, flags=flags)
    if value is not None:
        point.as_double = value
    return data.SerializeToString()


def total(value: int, at: int, start: int = T0 - 3_600_000, name: str = "jobs", unit: str = "{job}") -> bytes:
    data, scope = message()
    metric = scope.metrics.add(name=name, unit=unit)
    metric.sum.aggregation_temporality, metric.sum.is_monotonic = CUMULATIVE, True
    metric.sum.data_points.add(start_time_unix_nano=start * NS, time_unix_nano=at * NS, as_int=value)
    return data.SerializeToString()


def taken(data: bytes, settings: IntakeSettings = SETTINGS) -> Reading:
    return read("otlp", data, settings, MOST)


@pytest.mark.parametrize("encoding", ["otlp_proto", "otlp_json"])
@pytest.mark.parametrize("instance", ["checkout-1", "checkout-2"])
def test_the_sdk_s_exports_give_the_contract_s_figures(encoding: str, instance: str) -> None:
    """20 requests a second of 20 to 110 ms, one of them a failure; checkout-1 is cumulative, checkout-2 delta."""
    found = samples("otlp", otlp(encoding, instance))
    assert {figure.asset_id for figure in found} == {f"shop/checkout/{instance}"}
    assert values(found, "latency_ms") == pytest.approx([65.0] * 3)
    assert values(found, "throughput_per_s") == pytest.approx([20.0] * 3, rel=0.01)
    assert values(found, "error_rate") == pytest.approx([0.05] * 3)
    assert values(found, "latency_ms_p95") == pytest.approx([105.0] * 3)
    assert values(found, "orders_per_s{tier=gold}") == pytest.approx([30.0] * 3, rel=0.01)
    assert values(found, "connections") == [2, 3, 3]
    assert values(found, "cache.hits") == pytest.approx([0.935] * 3)
    assert [f.unit for f in found if f.metric == "oven.heat"] == ["smoots"] * 3


def test_protobuf_and_json_say_the_same() -> None:
    for instance in ("checkout-1", "checkout-2"):
        assert samples("otlp", otlp("otlp_proto", instance)) == samples("otlp", otlp("otlp_json", instance))


def test_an_exponential_histogram_gives_quantiles_within_its_buckets() -> None:
    """Sizes of 1 to 64 KiB by powers of two, then a quarter of that each second."""
    found = samples("otlp", otlp("otlp_proto", "checkout-2"))
    assert values(found, "payload.size_mean") == pytest.approx([16230.4, 4057.6, 1014.4])
    for export, p50 in enumerate(values(found, "payload.size_p50")):
        assert 4096 / 4**export <= p50 <= 8192 / 4**export * 1.01


def test_an_unknown_unit_is_kept_and_counted() -> None:
    by = converter()
    samples("otlp", otlp("otlp_proto", "checkout-1"), by=by)
    assert by.unknown_units == {"smoots"}
    assert by.counts["unknown_unit"] == 3


def test_the_first_total_of_an_old_counter_is_no_rate() -> None:
    found = samples("otlp", [total(1000, T0), total(1030, T0 + 10_000)])
    assert [(f.metric, f.unit, f.value, f.at) for f in found] == [("jobs_per_s", "1/s", 3.0, T0 + 10_000)]


def test_a_counter_that_began_anew_counts_from_its_start() -> None:
    found = samples("otlp", [total(1000, T0), total(50, T0 + 10_000, start=T0 + 5_000)])
    assert values(found, "jobs_per_s") == [10.0]


def test_a_counter_that_fell_without_saying_so_counts_from_nothing() -> None:
    found = samples("otlp", [total(1000, T0), total(50, T0 + 10_000)])
    assert values(found, "jobs_per_s") == [5.0]


def test_late_and_repeated_totals_change_nothing() -> None:
    once = [total(0, T0), total(10, T0 + 10_000), total(30, T0 + 20_000)]
    assert samples("otlp", [once[0], once[1], once[1], once[0], once[2]]) == samples("otlp", once)


def test_a_rate_of_seconds_is_a_share() -> None:
    found = samples("otlp", [total(100, T0, name="busy", unit="s"), total(105, T0 + 10_000, name="busy", unit="s")])
    assert [(f.metric, f.unit, f.value) for f in found] == [("busy_per_s", "1", 0.5)]


@pytest.mark.parametrize(
    ("unit", "value", "ours", "normal"),
    [("s", 1.5, "ms", 1500), ("us", 1500, "ms", 1.5), ("By", 3, "bytes", 3), ("KiBy", 2, "bytes", 2048),
     ("%", 7, "1", 0.07), ("1", 0.5, "1", 0.5), ("{request}", 4, "1", 4), ("{request}/s", 4, "1/s", 4),
     ("By/s", 4, "bytes/s", 4), ("W", 9, "W", 9)],
)  # fmt: skip
def test_units_are_brought_to_one_a_dimension(unit: str, value: float, ours: str, normal: float) -> None:
    [found] = samples("otlp", [gauge(value, unit)])
    assert (found.unit, found.value) == (ours, pytest.approx(normal))


def test_a_metric_may_be_given_a_name_of_ours() -> None:
    settings = IntakeSettings(metric_names={"heat": "latency_ms"}, ignored_metrics=("co?d",))
    found = samples("otlp", [gauge(0.2, "s"), gauge(1.0, name="cold")], settings)
    assert [(f.metric, f.unit, f.value) for f in found] == [("latency_ms", "ms", 200.0)]


def test_no_recorded_value_is_no_sample_and_no_fault() -> None:
    reading = taken(gauge(None, flags=pb.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK))
    assert reading.faults == []
    assert converter().take(reading) == []


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (gauge(float("nan")), Reason.NOT_FINITE, "not a finite"),
        (gauge(float("inf")), Reason.NOT_FINITE, "not a finite"),
        (gauge(None), Reason.INVALID, "no value"),
        (gauge(1.0, at=0), Reason.TIME_OUT_OF_RANGE, "between 1970"),
        (gauge(1.0, at=T0 * 10), Reason.TIME_OUT_OF_RANGE, "between 1970"),
        (gauge(1.0, name=""), Reason.INVALID, "no name"),
    ],
)
def test_a_bad_point_is_refused_with_its_place(data: bytes, code: Reason, words: str) -> None:
    [fault] = taken(data).faults
    assert fault.code is code
    assert words in fault.message
    assert fault.place.startswith("resource 0")


def test_one_bad_point_loses_one_point() -> None:
    data, scope = message()
    points = scope.metrics.add(name="heat").gauge.data_points
    for value in (1.0, float("nan"), 3.0):
        points.add(time_unix_nano=T0 * NS, as_double=value)
    histogram = scope.metrics.add(name="h").histogram
    histogram.data_points.add(time_unix_nano=T0 * NS, count=2, explicit_bounds=[1.0], bucket_counts=[1, 1, 1])
    reading = taken(data.SerializeToString())
    assert [point.value for point in reading.points] == [1.0, 3.0]  # type: ignore[union-attr]
    assert [fault.place for fault in reading.faults] == ["resource 0, heat, point 1", "resource 0, h, point 0"]


def test_one_bad_point_of_json_loses_one_point() -> None:
    points = [{"timeUnixNano": str(T0 * NS), "asDouble": value} for value in (1.0, "warm", 3.0)]
    metrics = [{"name": "heat", "gauge": {"dataPoints": [*points, 7]}}, {"name": "none"}, {"name": "x", "sum": 5}]
    data = {"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}, "not an object"]}
    reading = taken(json.dumps(data).encode())
    assert [point.value for point in reading.points] == [1.0, 3.0]  # type: ignore[union-attr]
    assert len(reading.faults) == 5


@pytest.mark.parametrize("data", [b"\x08\x01", b"\x0a", b"{}", b'{"resourceMetrics": 5}', b"{", b"hello"])
def test_what_is_no_otlp_is_undecodable(data: bytes) -> None:
    with pytest.raises(Undecodable):
        taken(data)


def test_a_message_whose_length_is_the_code_of_a_brace_is_still_protobuf() -> None:
    """The protobuf form begins with a line feed and the length of its first resource: 10, 123."""
    data, scope = message()
    scope.metrics.add(name="heat").gauge.data_points.add(time_unix_nano=T0 * NS, as_double=1.0)
    resource = data.resource_metrics[0]
    resource.schema_url = "x" * (123 - resource.ByteSize() - 2)
    assert data.SerializeToString()[:2] == b"\n{"
    assert len(taken(data.SerializeToString()).points) == 1
    assert taken(b'\n{"resourceMetrics": []}').points == []
    with pytest.raises(Undecodable, match="OTLP"):
        taken(b"\n{")


def test_telemetry_without_an_owner_is_kept_or_refused_as_the_settings_say() -> None:
    data, scope = message(host="")
    scope.metrics.add(name="heat").gauge.data_points.add(time_unix_nano=T0 * NS, as_double=1.0)
    assert [p.origin.asset_id for p in taken(data.SerializeToString()).points] == ["unidentified"]
    reading = taken(data.SerializeToString(), IntakeSettings(unidentified_asset=""))
    assert reading.points == []
    assert "otlp_identity" in reading.faults[0].message


def test_summaries_give_rate_mean_and_their_own_quantiles() -> None:
    def at(seconds: int, count: int, total_s: float) -> bytes:
        data, scope = message()
        point = scope.metrics.add(name="gc", unit="s").summary.data_points.add(
            time_unix_nano=(T0 + seconds * 1000) * NS, count=count, sum=total_s
        )
        point.quantile_values.add(quantile=0.5, value=0.25)
        point.quantile_values.add(quantile=0.99, value=float("nan"))
        return data.SerializeToString()

    found = samples("otlp", [at(0, 10, 1.0), at(10, 20, 4.0)])
    assert values(found, "gc_per_s") == [1.0]
    assert values(found, "gc_mean") == pytest.approx([300.0])
    assert values(found, "gc_p50") == [250.0, 250.0]
    assert values(found, "gc_p99") == []


def test_cpu_and_memory_of_a_host_become_our_figures() -> None:
    data, scope = message()
    cpu = scope.metrics.add(name="system.cpu.utilization", unit="1").gauge
    memory = scope.metrics.add(name="system.memory.usage", unit="By").sum
    parts = (("cpu", "idle", 0.6), ("cpu", "wait", 0.1), ("cpu", "user", 0.3), ("m", "used", 40), ("m", "free", 60))
    for which, state, value in parts:
        points = cpu.data_points if which == "cpu" else memory.data_points
        points.add(time_unix_nano=T0 * NS, as_double=value).attributes.add(key="state").value.string_value = state
    found = samples("otlp", [data.SerializeToString()])
    assert values(found, "utilization") == pytest.approx([0.3])
    assert values(found, "memory_utilization") == pytest.approx([0.4])
    assert values(found, "system.memory.usage{state=used}") == [40]
