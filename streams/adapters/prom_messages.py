"""What we read of Prometheus' remote write messages, 1.0 and 2.0: prompb/{remote,types}.proto and write/v2/types.proto.

Made from descriptions: no generated code to keep, and protobuf's own fast parser. The requests of both have no field
in common, so that one message takes either and its bytes tell which they are.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "maestro.prometheus"
MESSAGES = {
    "Label": "string name=1; string value=2",
    "Sample": "double value=1; int64 timestamp=2; int64 start=3",
    "Span": "sint32 offset=1; uint32 length=2",
    "Histogram": "uint64 count_int=1 in count; double count_float=2 in count; double sum=3; sint32 schema=4;"
    "double zero_threshold=5; uint64 zero_count_int=6 in zero; double zero_count_float=7 in zero;"
    "*Span negative_spans=8; *sint64 negative_deltas=9; *double negative_counts=10;"
    "*Span positive_spans=11; *sint64 positive_deltas=12; *double positive_counts=13;"
    "int32 reset_hint=14; int64 timestamp=15; *double custom_values=16; int64 start=17",
    "TimeSeries": "*Label labels=1; *Sample samples=2; *Histogram histograms=4",
    "MetricMetadata": "int32 type=1; string metric_family_name=2; string unit=5",
    "Metadata2": "int32 type=1; uint32 unit_ref=4",
    "TimeSeries2": "*uint32 labels_refs=1; *Sample samples=2; *Histogram histograms=3; Metadata2 metadata=5;"
    "*bytes exemplars=4; int64 created=6",
    "Request": "*TimeSeries timeseries=1; *MetricMetadata metadata=3; *string symbols=4; *TimeSeries2 series=5",
}
"""Fields as `type name=number`, `*` = repeated, `in` = member of a oneof (which tells 0 from nothing)."""


@cache
def request_class() -> Any:
    """`Request`: a `prometheus.WriteRequest` (1.0) or an `io.prometheus.write.v2.Request`."""
    file = descriptor_pb2.FileDescriptorProto(name="maestro/remote_write.proto", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        _describe(file.message_type.add(name=name), fields)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.Request"))


def _describe(message: descriptor_pb2.DescriptorProto, fields: str) -> None:
    kinds = descriptor_pb2.FieldDescriptorProto
    for text in fields.split(";"):
        told, _, oneof = text.strip().partition(" in ")
        kind, _, named = told.partition(" ")
        name, _, number = named.partition("=")
        field = message.field.add(name=name, number=int(number))
        field.label = kinds.LABEL_REPEATED if kind[0] == "*" else kinds.LABEL_OPTIONAL
        kind = kind.removeprefix("*")
        if kind[0].isupper():
            field.type, field.type_name = kinds.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
        else:
            field.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
        if oneof:
            known = [one.name for one in message.oneof_decl]
            if oneof not in known:
                message.oneof_decl.add(name=oneof)
            field.oneof_index = [one.name for one in message.oneof_decl].index(oneof)
