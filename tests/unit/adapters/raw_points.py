"""The data points in recorded bytes, counted without our readers: what every one of them must be accounted for by."""

from __future__ import annotations

import json
import math
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import cramjam
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from streams.adapters.rounds import Figure


class Raw(NamedTuple):
    """One point: its series by all that its sender says of it, the names that show it was taken, UTC ms."""

    series: str
    names: tuple[str, ...]
    at: int


def lost_points(form: str, bodies: Iterable[bytes], figures: Iterable[Figure]) -> tuple[list[str], int]:
    """What no figure shows though it had to, in words; and how many points no figure shows because they could not.

    Only a series that is never given out as a level may hold a point back: its first, or one not newer than its last.
    When a counter was created (`_created`) is no telemetry.
    """
    found = Counter((figure.metric.partition("{")[0], figure.at) for figure in figures)
    as_levels = {name for name, _ in found}
    newest: dict[str, int] = {}
    points: dict[tuple[tuple[str, ...], int], list[bool]] = defaultdict(list)
    for raw in (raw for body in bodies for raw in raw_points(form, body)):
        is_created = raw.names[0].endswith("_created")
        points[raw.names, raw.at].append(is_created or raw.at <= newest.get(raw.series, raw.at))
        newest[raw.series] = max(raw.at, newest.get(raw.series, raw.at))
    wrong, held = [], 0
    for (names, at), may_wait in points.items():
        is_level = len(names) > 1 and names[0] in as_levels
        shown, most = found[names[0 if is_level else -1], at], 0 if is_level else sum(may_wait)
        missing = len(may_wait) - shown
        held += missing
        if not 0 <= missing <= most:
            wrong.append(f"{names} at {at}: {len(may_wait)} points, {shown} figures, at most {most} could wait")
    return wrong, held


def raw_points(form: str, body: bytes) -> Iterator[Raw]:
    """Parts of one distribution at one time are one point. What has no value (NaN, null) is none."""
    yield from dict.fromkeys({"otlp": _otlp, "collectd": _collectd, "remote-write": _remote_write}[form](body))


def _otlp(body: bytes) -> Iterator[Raw]:
    data = json.loads(body) if body[:1] == b"{" else MessageToDict(MetricsData.FromString(body))
    for resource in data["resourceMetrics"]:
        owner = json.dumps(resource.get("resource"))
        for metric in (m for scope in resource["scopeMetrics"] for m in scope.get("metrics", ())):
            kind = next(key for key in metric if isinstance(metric[key], dict))
            for point in metric[kind]["dataPoints"]:
                at = int(point["timeUnixNano"]) // 1_000_000
                start, attributes = point.get("startTimeUnixNano"), sorted(map(json.dumps, point.get("attributes", ())))
                series = f"{owner} {metric['name']} {start} {attributes}"
                yield Raw(series, _names(metric["name"], kind in ("gauge", "sum")), at)
                for quantile in point.get("quantileValues", ()):
                    yield Raw(f"{series} {quantile}", (f"{metric['name']}_p{quantile['quantile'] * 100:g}",), at)


def _collectd(body: bytes) -> Iterator[Raw]:
    for entry in json.loads(body):
        metric = entry["plugin"] if entry["plugin"] == entry["type"] else f"{entry['plugin']}.{entry['type']}"
        place = f"{entry['host']} {entry['plugin_instance']} {entry['type_instance']}"
        for name, value in zip(entry["dsnames"], entry["values"], strict=True):
            if value is not None:
                full = metric if name == "value" else f"{metric}.{name}"
                yield Raw(f"{place} {full}", _names(full), round(entry["time"] * 1000))


def _remote_write(body: bytes) -> Iterator[Raw]:
    for series in _fields(bytes(cramjam.snappy.decompress_raw(body)), 1):
        pairs = [[_fields(label, n)[0].decode() for n in (1, 2)] for label in _fields(series, 1)]
        labels = dict(pairs)
        name, le = labels.pop("__name__"), labels.pop("le", "")
        base = name.removesuffix("_bucket") if le else name.removesuffix("_sum").removesuffix("_count")
        for sample in _fields(series, 2):
            value, at = ([*_fields(sample, field), 0][0] for field in (1, 2))
            if not math.isnan(value):
                yield Raw(f"{base} {base == name} {labels}", _names(base, base == name), at)


def _names(metric: str, may_be_level: bool = True) -> tuple[str, ...]:
    """The name as a level, if it may be one, and last the name as a rate."""
    return (*((metric,) if may_be_level else ()), f"{metric.removesuffix('_total')}_per_s")


def _fields(message: bytes, wanted: int) -> list[Any]:
    """The values of one field of a protobuf message, by its wire format alone: varints, doubles, bytes."""
    found, place = [], 0
    while place < len(message):
        tag, place = _varint(message, place)
        size = 8
        if tag & 7 == 0:
            value, place = _varint(message, place)
            size = 0
        elif tag & 7 == 2:
            size, place = _varint(message, place)
            value = message[place : place + size]
        else:
            value = struct.unpack_from("<d", message, place)[0]
        place += size
        found += [value] if tag >> 3 == wanted else []
    return found


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128:
            return value, place
