"""Prometheus remote write 1.0 to points: a snappy block with a `prometheus.WriteRequest` (its bytes on the topic).

Labels of a series are its identity (setting `intake.remote_write_identity`) and its attributes. What a number means is
not in the message but in the metric's name and in metadata, which come in requests of their own: see `prom_types`.
"""

from __future__ import annotations

import math
import struct
from functools import cache
from typing import Any

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError as ProtobufError

from schemas.columns import NAME_MAX_LENGTH
from schemas.errors import Reason, TooLarge, Undecodable
from streams.adapters.identity import asset_of
from streams.adapters.points import Origin, Reading, Untyped, attributes_from, time_fault
from streams.adapters.settings import IntakeSettings

STALE = 0x7FF0000000000002
"""The NaN that says: this series has ended (Prometheus, `value.StaleNaN`)."""
MAX_PLAIN_BYTES = 33_554_432
TYPES = {1: "counter", 2: "gauge", 3: "histogram", 4: "gaugehistogram", 5: "summary"}
_F = descriptor_pb2.FieldDescriptorProto
_MESSAGES = {
    "Label": (("name", 1, _F.TYPE_STRING, ""), ("value", 2, _F.TYPE_STRING, "")),
    "Sample": (("value", 1, _F.TYPE_DOUBLE, ""), ("timestamp", 2, _F.TYPE_INT64, "")),
    "TimeSeries": (
        ("labels", 1, _F.TYPE_MESSAGE, "Label"),
        ("samples", 2, _F.TYPE_MESSAGE, "Sample"),
        ("histograms", 4, _F.TYPE_BYTES, "*"),
    ),
    "MetricMetadata": (("type", 1, _F.TYPE_INT32, ""), ("metric_family_name", 2, _F.TYPE_STRING, "")),
    "WriteRequest": (
        ("timeseries", 1, _F.TYPE_MESSAGE, "TimeSeries"),
        ("metadata", 3, _F.TYPE_MESSAGE, "MetricMetadata"),
    ),
}  # fmt: skip
"""What we read of prometheus/prompb (remote.proto, types.proto): name, number, type, and the message it repeats."""


def read_remote_write(data: bytes, settings: IntakeSettings) -> Reading:
    """The points of one request body. Raises Undecodable or TooLarge."""
    request = request_class()()
    try:
        request.ParseFromString(unpacked(data))
    except ProtobufError as error:
        raise Undecodable(f"not a remote write request: {error}") from error
    if not request.timeseries and not request.metadata:
        raise Undecodable("not a remote write request: neither series nor metadata in it")
    told = ((m.metric_family_name, m.type) for m in request.metadata if len(m.metric_family_name) <= NAME_MAX_LENGTH)
    reading = Reading(types={name: TYPES[kind] for name, kind in told if kind in TYPES})
    for number, series in enumerate(request.timeseries):
        _read_series(series, f"series {number}", settings, reading)
    return reading


def unpacked(data: bytes, max_bytes: int = MAX_PLAIN_BYTES) -> bytes:
    """The bytes of a snappy block; the size it claims is looked at before it is believed."""
    try:
        size = cramjam.snappy.decompress_raw_len(data)
        if size > max_bytes:
            raise TooLarge(f"{size} bytes when unpacked, the limit is {max_bytes}")
        return bytes(cramjam.snappy.decompress_raw(data))
    except (cramjam.DecompressionError, ValueError) as error:
        raise Undecodable(f"not a snappy block: {error}") from error


def _read_series(series: Any, place: str, settings: IntakeSettings, reading: Reading) -> None:
    labels = {label.name: label.value for label in series.labels}
    name = labels.pop("__name__", "")
    asset_id = asset_of(settings.remote_write_identity, labels, settings.unidentified_asset)
    if not asset_id or not 0 < len(name) <= NAME_MAX_LENGTH:
        what = "no __name__" if asset_id else "no asset: see intake.remote_write_identity"
        reading.refuse(place, Reason.INVALID, what)
        return
    if series.histograms:
        reading.refuse(
            f"{place}, {name}", Reason.INVALID, "native histograms are not read: send_native_histograms: false"
        )
    known = {part.rstrip("?") for rule in settings.remote_write_identity for part in rule.split("/")}
    attributes = attributes_from({k: v for k, v in labels.items() if k not in known}, settings.ignored_attributes)
    origin = Origin(asset_id, name, unit_in(name), attributes)
    for sample in series.samples:
        at = sample.timestamp
        if (wrong := time_fault(at)) is not None:
            reading.refuse(f"{place}, {name}", Reason.TIME_OUT_OF_RANGE, wrong)
        elif math.isinf(sample.value):
            reading.refuse(f"{place}, {name}", Reason.NOT_FINITE, f"value {sample.value} is not a finite number")
        elif not math.isnan(sample.value):
            reading.points.append(Untyped(origin, at, sample.value))
        elif struct.unpack("<Q", struct.pack("<d", sample.value))[0] == STALE:
            reading.points.append(Untyped(origin, at, None))


def unit_in(name: str) -> str:
    """The unit that a metric's name says by Prometheus' convention (base units, in front of `_total`)."""
    for ending in ("_total", "_sum", "_bucket"):
        name = name.removesuffix(ending)
    units = {"seconds": "s", "bytes": "By", "ratio": "1", "percent": "%", "celsius": "Cel", "watts": "W"}
    return units.get(name.rpartition("_")[2], "")


@cache
def request_class() -> Any:
    """`WriteRequest`, made from its description: no generated code to keep, and protobuf's own fast parser."""
    file = descriptor_pb2.FileDescriptorProto(
        name="maestro/remote_write.proto", package="maestro.prometheus", syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, of in fields:
            label = _F.LABEL_REPEATED if of else _F.LABEL_OPTIONAL
            field = message.field.add(name=field_name, number=number, type=kind, label=label)
            if kind == _F.TYPE_MESSAGE:
                field.type_name = f".maestro.prometheus.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("maestro.prometheus.WriteRequest"))
