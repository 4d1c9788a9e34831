"""OTLP metrics 1.x to points: protobuf and JSON, from the collector's Kafka exporter or over HTTP.

A message is an ExportMetricsServiceRequest (the same bytes as a MetricsData). Identity is in the resource attributes;
the Kafka key is a hash of them, or nothing, and is not looked at. A bad data point costs itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from google.protobuf.message import DecodeError as ProtobufError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from schemas.columns import NAME_MAX_LENGTH
from schemas.errors import Reason, Undecodable
from streams.adapters.buckets import explicit, exponential
from streams.adapters.identity import asset_of
from streams.adapters.otlp_json import Metric, Resource, resources_of_json
from streams.adapters.points import (
    UNIT_MAX_LENGTH,
    Attributes,
    Distribution,
    Ended,
    Kind,
    Number,
    Origin,
    Point,
    Reading,
    attributes_from,
    time_fault,
    value_fault,
)
from streams.adapters.settings import IntakeSettings
from streams.kit.otlp_form import is_json

NO_VALUE = pb.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
NS_PER_MS = 1_000_000
DataPoint = pb.NumberDataPoint | pb.HistogramDataPoint | pb.ExponentialHistogramDataPoint | pb.SummaryDataPoint


class BadPoint(ValueError):
    """What is wrong with one data point."""

    def __init__(self, message: str, code: Reason = Reason.INVALID) -> None:
        super().__init__(message)
        self.code = code


def read_otlp(data: bytes, settings: IntakeSettings) -> Reading:
    """The points of one message. Raises Undecodable."""
    reading = Reading(whole=True)
    resources = resources_of_json(data, reading) if is_json(data) else _resources_of_protobuf(data)
    for number, resource in enumerate(resources):
        asset_id = asset_of(settings.otlp_identity, _texts(resource.attributes), settings.unidentified_asset)
        for metric in resource.metrics:
            place = f"resource {number}, {metric.name or 'a metric without name'}"
            _read_metric(asset_id, metric, place, reading, settings.ignored_attributes)
    return reading


def _resources_of_protobuf(data: bytes) -> Iterable[Resource]:
    message = pb.MetricsData()
    try:
        message.ParseFromString(data)
    except ProtobufError as error:
        raise Undecodable(f"not an OTLP metrics message: {error}") from error
    if not message.resource_metrics:
        raise Undecodable("not an OTLP metrics message: no resource metrics in it")
    for resource in message.resource_metrics:
        metrics = (metric for scope in resource.scope_metrics for metric in scope.metrics)
        yield Resource(resource.resource.attributes, (_metric(metric) for metric in metrics))


def _metric(metric: pb.Metric) -> Metric:
    kind = metric.WhichOneof("data") or ""
    data = getattr(metric, kind) if kind else None
    return Metric(
        metric.name,
        metric.unit,
        kind,
        getattr(data, "aggregation_temporality", 0),
        getattr(data, "is_monotonic", False),
        () if data is None else data.data_points,
    )


def _read_metric(asset_id: str, metric: Metric, place: str, reading: Reading, ignored: tuple[str, ...]) -> None:
    if not asset_id or not metric.name or len(metric.name) > NAME_MAX_LENGTH:
        what = "no asset: see intake.otlp_identity" if not asset_id else f"no name of 1 to {NAME_MAX_LENGTH} characters"
        reading.refuse(place, Reason.INVALID, what)
        return
    read = READERS.get(metric.kind)
    if read is None:
        reading.refuse(place, Reason.INVALID, f"no data of a known kind ({metric.kind or 'none'})")
        return
    for number, point in enumerate(metric.points):
        at = point.time_unix_nano // NS_PER_MS
        origin = Origin(asset_id, metric.name, metric.unit[:UNIT_MAX_LENGTH], attributes_of(point.attributes, ignored))
        try:
            if (wrong := time_fault(at)) is not None:
                raise BadPoint(wrong, Reason.TIME_OUT_OF_RANGE)
            reading.points += read(metric, point, origin, at)
        except BadPoint as bad:
            reading.refuse(f"{place}, point {number}", bad.code, str(bad))


def _number(metric: Metric, point: pb.NumberDataPoint, origin: Origin, at: int) -> list[Point]:
    kind = _kind(metric)
    start = point.start_time_unix_nano // NS_PER_MS
    if point.flags & NO_VALUE:
        return [Number(origin, at, None, kind, start)]
    which = point.WhichOneof("value")
    if which is None:
        raise BadPoint("no value")
    value = float(getattr(point, which))
    if (wrong := value_fault(value)) is not None:
        raise BadPoint(wrong, Reason.NOT_FINITE)
    return [Number(origin, at, value, kind, start)]


def _kind(metric: Metric) -> Kind:
    """A sum that may fall is a level (connections in use); its deltas only say how it moved."""
    if metric.kind == "gauge":
        return Kind.LEVEL
    if metric.temporality == pb.AGGREGATION_TEMPORALITY_DELTA:
        return Kind.ADDED
    return Kind.TOTAL if metric.monotonic else Kind.LEVEL


def _histogram(metric: Metric, point: pb.HistogramDataPoint, origin: Origin, at: int) -> list[Point]:
    if point.flags & NO_VALUE:
        return [Ended(origin, at)]
    try:
        buckets = explicit(tuple(point.explicit_bounds), tuple(point.bucket_counts))
    except ValueError as error:
        raise BadPoint(str(error)) from error
    return [_distribution(metric, point, origin, at, buckets)]


def _exponential(metric: Metric, point: pb.ExponentialHistogramDataPoint, origin: Origin, at: int) -> list[Point]:
    if point.flags & NO_VALUE:
        return [Ended(origin, at)]
    positive, negative = point.positive, point.negative
    counted = point.zero_count + sum(positive.bucket_counts) + sum(negative.bucket_counts)
    if counted != point.count:
        raise BadPoint(f"count {point.count} is not that of its buckets, {counted}")
    try:
        buckets = exponential(
            point.scale,
            (point.zero_count, point.zero_threshold),
            (positive.offset, tuple(positive.bucket_counts)),
            (negative.offset, tuple(negative.bucket_counts)),
        )
    except ValueError as error:
        raise BadPoint(str(error)) from error
    return [_distribution(metric, point, origin, at, buckets)]


def _distribution(
    metric: Metric,
    point: pb.HistogramDataPoint | pb.ExponentialHistogramDataPoint,
    origin: Origin,
    at: int,
    buckets: tuple[tuple[float, float, float], ...] | None,
) -> Distribution:
    total = point.sum if point.HasField("sum") else None
    least = point.min if point.HasField("min") else None
    most = point.max if point.HasField("max") else None
    for figure in (total, least, most):
        if figure is not None and (wrong := value_fault(figure)) is not None:
            raise BadPoint(wrong, Reason.NOT_FINITE)
    running = metric.temporality != pb.AGGREGATION_TEMPORALITY_DELTA
    start = point.start_time_unix_nano // NS_PER_MS
    return Distribution(origin, at, float(point.count), total, buckets, running, start, least, most)


def _summary(metric: Metric, point: pb.SummaryDataPoint, origin: Origin, at: int) -> list[Point]:
    """Count and sum run on; the quantiles are levels, and NaN where there was no observation."""
    if point.flags & NO_VALUE:
        return [Ended(origin, at)]
    if (wrong := value_fault(point.sum)) is not None:
        raise BadPoint(wrong, Reason.NOT_FINITE)
    start = point.start_time_unix_nano // NS_PER_MS
    points: list[Point] = [Distribution(origin, at, float(point.count), point.sum, None, True, start)]
    for q in point.quantile_values:
        if value_fault(q.value) is None:
            points.append(Number(origin._replace(metric=f"{origin.metric}_p{q.quantile * 100:g}"), at, q.value))
    return points


READERS: dict[str, Callable[[Metric, object, Origin, int], list[Point]]] = {
    "gauge": _number,  # type: ignore[dict-item]
    "sum": _number,  # type: ignore[dict-item]
    "histogram": _histogram,  # type: ignore[dict-item]
    "exponential_histogram": _exponential,  # type: ignore[dict-item]
    "summary": _summary,  # type: ignore[dict-item]
}


def attributes_of(pairs: Iterable[KeyValue], ignored: tuple[str, ...]) -> Attributes:
    return attributes_from(_texts(pairs), ignored)


def _texts(pairs: Iterable[KeyValue]) -> dict[str, str]:
    return {pair.key: _text(pair.value) for pair in pairs}


def _text(value: AnyValue) -> str:
    """As a person would write it; lists with commas, maps in braces."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind == "array_value":
        return ",".join(_text(item) for item in value.array_value.values)
    if kind == "kvlist_value":
        return "{" + ",".join(f"{k}={v}" for k, v in sorted(_texts(value.kvlist_value.values).items())) + "}"
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "bytes_value":
        return value.bytes_value.hex()
    return "" if kind is None else f"{getattr(value, kind):g}" if kind == "double_value" else str(value.int_value)
