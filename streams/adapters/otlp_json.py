"""OTLP's JSON form: read with the messages of its protobuf form, data point by data point, so that one costs itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson
from google.protobuf.json_format import ParseDict, ParseError
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from schemas.errors import Reason, Undecodable
from streams.adapters.points import Reading


class Metric(NamedTuple):
    """One metric with its data points, whichever form it came in. `kind` as protobuf names it; "" = none."""

    name: str
    unit: str
    kind: str
    temporality: int
    monotonic: bool
    points: Iterable[Any]


class Resource(NamedTuple):
    attributes: Iterable[KeyValue]
    metrics: Iterable[Metric]


POINTS = {
    "gauge": ("gauge", pb.NumberDataPoint),
    "sum": ("sum", pb.NumberDataPoint),
    "histogram": ("histogram", pb.HistogramDataPoint),
    "exponentialHistogram": ("exponential_histogram", pb.ExponentialHistogramDataPoint),
    "summary": ("summary", pb.SummaryDataPoint),
}
TEMPORALITIES = {name: value for name, value in pb.AggregationTemporality.items()}  # noqa: C416 - a protobuf wrapper


def resources_of_json(data: bytes, reading: Reading) -> Iterable[Resource]:
    """Raises Undecodable if it is no OTLP at all; what is wrong inside goes to `reading.faults`."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Undecodable(f"not JSON: {error}") from error
    resources = document.get("resourceMetrics") if isinstance(document, dict) else None
    if not isinstance(resources, list):
        raise Undecodable("not an OTLP metrics message: no list resourceMetrics in it")
    return _resources(resources, reading)


def _resources(resources: list[Any], reading: Reading) -> Iterator[Resource]:
    for number, resource in enumerate(resources):
        place = f"resource {number}"
        try:
            pairs = _objects(_object(resource).get("resource", {}).get("attributes"))
            attributes = [_parsed(pair, KeyValue()) for pair in pairs]
            scopes = _objects(resource.get("scopeMetrics"))
            metrics = [m for scope in scopes for m in _objects(scope.get("metrics"))]
        except (ParseError, TypeError, AttributeError) as error:
            reading.refuse(place, Reason.INVALID, str(error))
            continue
        yield Resource(attributes, _metrics(metrics, place, reading))


def _metrics(metrics: list[Any], place: str, reading: Reading) -> Iterator[Metric]:
    for metric in metrics:
        name, unit = str(metric.get("name", "")), str(metric.get("unit", ""))
        kind = next((k for k in POINTS if k in metric), "")
        if not kind or not isinstance(metric[kind], dict):
            yield Metric(name, unit, "", 0, False, ())
            continue
        data = metric[kind]
        temporality = data.get("aggregationTemporality", 0)
        number = TEMPORALITIES.get(temporality, 0) if isinstance(temporality, str) else temporality
        points = _points(kind, data.get("dataPoints"), f"{place}, {name}", reading)
        yield Metric(name, unit, POINTS[kind][0], number, data.get("isMonotonic") is True, points)


def _points(kind: str, points: object, place: str, reading: Reading) -> Iterator[Any]:
    for number, point in enumerate(points if isinstance(points, list) else ()):
        if isinstance(point, dict):
            point.pop("exemplars", None)  # their trace ids are in hex, which protobuf's own JSON form does not know
        try:
            yield _parsed(point, POINTS[kind][1]())
        except (ParseError, TypeError, AttributeError) as error:
            reading.refuse(f"{place}, point {number}", Reason.INVALID, str(error))


def _parsed(given: object, message: Any) -> Any:
    return ParseDict(_object(given), message, ignore_unknown_fields=True)


def _object(given: object) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise TypeError(f"not an object but a {type(given).__name__}")
    return given


def _objects(given: object) -> list[dict[str, Any]]:
    if given is None:
        return []
    if not isinstance(given, list):
        raise TypeError(f"not a list but a {type(given).__name__}")
    return [_object(item) for item in given]
