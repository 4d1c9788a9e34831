"""Records to bytes and back. `decode` takes all three wires at once, and a CloudEvent around them.

`encode` writes the wire that it is told to.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas import avro_form, json_form
from schemas.records import Record
from schemas.schema_ids import SchemaIds
from schemas.structured_events import STRUCTURED, unwrapped
from schemas.wire import MAX_BYTES, Headers, Wire, content_type, wire_told


def encode(record: Record, wire: Wire = Wire.SINGLE_OBJECT, *, schema_ids: SchemaIds | None = None) -> bytes:
    """The message value of a record; send `content-type` = `wire.value` with it. Raises EncodeError."""
    if wire is Wire.JSON:
        return json_form.to_json(record)
    return avro_form.frame(type(record), avro_form.write_body(record), wire, schema_ids)


def decode(
    allowed: Sequence[type[Record]],
    data: bytes | None,
    headers: Headers = None,
    *,
    schema_ids: SchemaIds | None = None,
    max_bytes: int = MAX_BYTES,
) -> Record | None:
    """The record of a message on a topic that carries `allowed`; None for a tombstone. Raises a DecodeError."""
    if data is None:
        return None
    told = content_type(headers)
    if told == STRUCTURED:
        data, headers = unwrapped(data, headers, max_bytes)
        told = content_type(headers)
    wire = wire_told(data, told, max_bytes)
    if wire is Wire.JSON:
        return json_form.one_of_from_json(allowed, data)
    return avro_form.read_record(avro_form.open_frame(data, wire, allowed, schema_ids))
