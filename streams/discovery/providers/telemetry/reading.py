"""OTLP messages to resources and spans: protobuf and JSON, as the collector's exporters write them. Pure.

Of metrics and logs only the resources are read. JSON says itself which signal it is; protobuf doesn't (the bytes of one
may be valid as another), so the topic is said to carry one. A damaged span or resource costs itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from google.protobuf.message import DecodeError as ProtobufError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from streams.kit.otlp_form import is_json

NS_PER_MS = 1_000_000
EARLIEST_MS, LATEST_MS = 1, 4_102_444_800_000
"""1970 to 2100."""
SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
KINDS = {name: number for name, number in ProtoSpan.SpanKind.items()}  # noqa: C416 - a protobuf wrapper
MESSAGES = {
    "spans": (TracesData, "resource_spans", "resourceSpans"),
    "metrics": (MetricsData, "resource_metrics", "resourceMetrics"),
    "logs": (LogsData, "resource_logs", "resourceLogs"),
}
"""Signal -> protobuf message, its list of resources, and that list's name in JSON."""
TRACE_BYTES, SPAN_BYTES = 16, 8
VALUES: dict[str, type | tuple[type, ...]] = {
    "stringValue": str,
    "intValue": (str, int),
    "boolValue": bool,
}

Attributes = Mapping[str, str]
SpanId = tuple[bytes, bytes]
"""Trace id and span id."""


class Unreadable(Exception):
    """A message that is no OTLP of its signal; says why."""


class Span(NamedTuple):
    """`callers`: the ids of its parent and, of a consumer, of the spans that it links to. `at`: its end, ms."""

    id: SpanId
    callers: tuple[SpanId, ...]
    kind: int
    attributes: Attributes
    at: int


class Resource(NamedTuple):
    attributes: Attributes
    spans: tuple[Span, ...]


@dataclass(slots=True)
class Reading:
    """`faults`: what was left out, each with its place."""

    resources: list[Resource] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read(signal: str, data: bytes) -> Reading:
    """One message. Raises Unreadable."""
    try:
        return _of_json(data) if is_json(data) else _of_protobuf(signal, data)
    except (RecursionError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


# --- protobuf -------------------------------------------------------------------------------------------------------


def _of_protobuf(signal: str, data: bytes) -> Reading:
    form, resources, _ = MESSAGES[signal]
    message, reading = form(), Reading()
    try:
        message.ParseFromString(data)
    except ProtobufError as error:
        raise Unreadable(f"no OTLP {signal}: {error}") from error
    found = getattr(message, resources)
    if not found:
        raise Unreadable(f"no OTLP {signal}: no resource in it")
    for number, one in enumerate(found):
        given = (s for scope in one.scope_spans for s in scope.spans) if signal == "spans" else ()
        spans = tuple(_kept((_proto_span(s) for s in given), f"resource {number}", reading))
        reading.resources.append(Resource(_proto_texts(one.resource.attributes), spans))
    return reading


def _proto_span(span: ProtoSpan) -> Span | str:
    links = [(link.trace_id, link.span_id) for link in span.links] if span.kind == CONSUMER else []
    parents = [(span.trace_id, span.parent_span_id)] if span.parent_span_id else []
    attributes = _proto_texts(span.attributes)
    return _span((span.trace_id, span.span_id), parents + links, span.kind, attributes, span.end_time_unix_nano)


def _proto_texts(pairs: Iterable[KeyValue]) -> dict[str, str]:
    return {pair.key: text for pair in pairs if (text := _proto_text(pair.value))}


def _proto_text(value: AnyValue) -> str:
    """Of text, whole number and truth; identity is in no other."""
    if value.HasField("string_value"):
        return value.string_value
    if value.HasField("int_value"):
        return str(value.int_value)
    return ("true" if value.bool_value else "false") if value.HasField("bool_value") else ""


# --- JSON -----------------------------------------------------------------------------------------------------------


def _of_json(data: bytes) -> Reading:
    document, reading = orjson.loads(data), Reading()
    names = [name for _, _, name in MESSAGES.values() if isinstance(document.get(name), list)]
    if not names:
        raise Unreadable("no OTLP: none of the lists resourceSpans, resourceMetrics, resourceLogs in it")
    for name in names:
        for number, one in enumerate(document[name]):
            place = f"{name} {number}"
            try:
                attributes = _json_texts((one.get("resource") or {}).get("attributes"))
                scopes = _objects(one.get("scopeSpans")) if name == "resourceSpans" else []
                given = [span for scope in scopes for span in _objects(scope.get("spans"))]
            except (TypeError, AttributeError, ValueError) as error:
                reading.faults.append(f"{place}: {error}")
                continue
            spans = tuple(_kept((_json_span(span) for span in given), place, reading))
            reading.resources.append(Resource(attributes, spans))
    return reading


def _json_span(span: dict[str, Any]) -> Span | str:
    try:
        trace, kind = bytes.fromhex(span["traceId"]), span.get("kind", 0)
        number = KINDS.get(kind, 0) if isinstance(kind, str) else int(kind)
        parent = bytes.fromhex(span.get("parentSpanId") or "")
        linked = _objects(span.get("links")) if number == CONSUMER else []
        links = [(bytes.fromhex(link["traceId"]), bytes.fromhex(link["spanId"])) for link in linked]
        parents = [(trace, parent)] if parent else []
        own = (trace, bytes.fromhex(span["spanId"]))
        attributes, ended_ns = _json_texts(span.get("attributes")), int(span.get("endTimeUnixNano") or 0)
        return _span(own, parents + links, number, attributes, ended_ns)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def _json_texts(pairs: object) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in _objects(pairs):
        value = pair.get("value") or {}
        kind = next((k for k in VALUES if k in value), None)
        if kind is None:
            continue
        if not isinstance(pair.get("key"), str) or not isinstance(value[kind], VALUES[kind]):
            raise ValueError(f"attribute {pair.get('key')!r} is not what it says")
        text = ("true" if value[kind] else "false") if kind == "boolValue" else str(value[kind])
        if text:
            found[pair["key"]] = text
    return found


def _objects(given: object) -> list[dict[str, Any]]:
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise TypeError("not a list of objects")
    return given


# --- both -----------------------------------------------------------------------------------------------------------


def _kept(spans: Iterable[Span | str], place: str, reading: Reading) -> Iterator[Span]:
    for number, span in enumerate(spans):
        if isinstance(span, str):
            reading.faults.append(f"{place}, span {number}: {span}")
        else:
            yield span


def _span(own: SpanId, callers: list[SpanId], kind: int, attributes: Attributes, ended_ns: int) -> Span | str:
    """A text says what is wrong with it."""
    at = ended_ns // NS_PER_MS
    for trace, span in (own, *callers):
        if len(trace) != TRACE_BYTES or len(span) != SPAN_BYTES or not any(trace) or not any(span):
            return f"id {trace.hex()}/{span.hex()} is not one of {TRACE_BYTES} and {SPAN_BYTES} bytes"
    if not EARLIEST_MS <= at <= LATEST_MS:
        return f"its end, {ended_ns} ns, is not between 1970 and 2100"
    return Span(own, tuple(dict.fromkeys(callers)), kind, attributes, at)
