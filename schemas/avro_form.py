"""Records as Avro bodies and frames: who wrote it, with which schema, and the body resolved to the current one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numpy as np
from fastavro import schemaless_reader, schemaless_writer
from numpy.typing import NDArray
from pydantic import ValidationError

from schemas import alike, avro_writer, catalog
from schemas.errors import EncodeError, Invalid, Undecodable, UnknownSchema
from schemas.json_form import as_decode_error
from schemas.records import HealthSignalBatch, JobRequest, Record
from schemas.schema_ids import SchemaIds
from schemas.wire import CONFLUENT_MARKER, SINGLE_OBJECT_MARKER, Wire

COLUMN_TYPES: Mapping[str, str] = {"series_index": "<i4", "at": "<i8", "value": "<f8"}
"""Little-endian on every machine."""


@dataclass(frozen=True, slots=True)
class Frame:
    """An Avro message taken apart: the body starts at `body_at`."""

    writer: catalog.AvroSchema
    data: bytes
    body_at: int

    @property
    def is_current(self) -> bool:
        return self.writer.fingerprint == catalog.current(self.writer.record).fingerprint


def frame(record_type: type[Record], body: bytes, wire: Wire, schema_ids: SchemaIds | None) -> bytes:
    """The message that carries `body`. Raises EncodeError if the registry has no id for the schema."""
    schema = catalog.current(record_type)
    if wire is Wire.SINGLE_OBJECT:
        return SINGLE_OBJECT_MARKER + schema.fingerprint + body
    if schema_ids is None:
        raise EncodeError(f"{record_type.__name__}: the Confluent wire needs a schema registry, none is set")
    subject = f"{catalog.NAMESPACE}.{record_type.__name__}"
    try:
        schema_id = schema_ids.id_of(subject, schema.text)
    except KeyError as error:
        raise EncodeError(f"{record_type.__name__}: the registry gives no id for subject {subject}") from error
    return CONFLUENT_MARKER + schema_id.to_bytes(4, "big") + body


_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def open_frame(data: bytes, wire: Wire, allowed: Sequence[type[Record]], schema_ids: SchemaIds | None = None) -> Frame:
    """Finds the writer's schema. Raises Undecodable or UnknownSchema."""
    head_bytes = 10 if wire is Wire.SINGLE_OBJECT else 5
    if len(data) < head_bytes:
        raise Undecodable(f"{len(data)} bytes, the frame alone takes {head_bytes}")
    writer = _by_fingerprint(data[2:10]) if wire is Wire.SINGLE_OBJECT else _by_id(data[1:5], schema_ids)
    if writer.record not in allowed:
        names = " or ".join(kind.__name__ for kind in allowed)
        raise UnknownSchema(f"holds a {writer.record.__name__}, this topic carries {names}")
    return Frame(writer, data, head_bytes)


def read_fields(opened: Frame) -> dict[str, object]:
    """The body as field values of the current schema. Raises Undecodable, or UnknownSchema if it does not resolve."""
    stream = BytesIO(opened.data)
    stream.seek(opened.body_at)
    reader = None if opened.is_current else catalog.current(opened.writer.record).parsed
    try:
        fields = schemaless_reader(stream, opened.writer.parsed, reader)
    except Exception as error:  # whatever the parser stumbles over in foreign bytes, they are what is wrong
        name = opened.writer.record.__name__
        if type(error).__name__ == "SchemaResolutionError":
            raise UnknownSchema(f"{name}: writer's schema cannot be read as the current one: {error}") from error
        # A memory address in the message would make a repeated dead letter differ from the first.
        told = _ADDRESS.sub("", str(error))
        raise Undecodable(f"{name}: {type(error).__name__}: {told}") from error
    if stream.tell() != len(opened.data):
        raise Undecodable(f"{opened.writer.record.__name__}: {len(opened.data) - stream.tell()} bytes left over")
    if not isinstance(fields, dict):
        raise Undecodable(f"{opened.writer.record.__name__}: the body is not a record")
    return fields


def read_record(opened: Frame) -> Record:
    """The record in the frame. Raises a DecodeError."""
    if opened.writer.record is JobRequest and opened.is_current:
        return _read_job(opened)
    return _read(opened)


def _read_job(opened: Frame) -> Record:
    found = alike.read(opened.data, opened.body_at)
    if found is not None:
        return found
    job = _read(opened)
    if isinstance(job, JobRequest):
        alike.keep(opened.data, opened.body_at, job)
    return job


def _read(opened: Frame) -> Record:
    fields = read_fields(opened)
    if opened.writer.record is HealthSignalBatch:
        fields |= {name: column(fields[name], name).tolist() for name in COLUMN_TYPES}
    try:
        return opened.writer.record.model_validate(fields)
    except ValidationError as error:
        raise as_decode_error(opened.writer.record, error) from error


def column(data: object, name: str) -> NDArray[np.generic]:
    """The numbers in the bytes of a column, without a copy. Raises Invalid if the last one is cut short."""
    dtype = np.dtype(COLUMN_TYPES[name])
    if not isinstance(data, bytes) or len(data) % dtype.itemsize:
        raise Invalid(f"HealthSignalBatch: column {name} is not a whole number of {dtype.itemsize}-byte values")
    return np.frombuffer(data, dtype)


def write_body(record: Record) -> bytes:
    """The Avro body of a record. Raises EncodeError."""
    try:
        if not isinstance(record, HealthSignalBatch):
            return avro_writer.write(record)
        fields = record.model_dump()
        fields |= {name: np.array(fields[name], dtype).tobytes() for name, dtype in COLUMN_TYPES.items()}
        return write_fields(type(record), fields)
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise EncodeError(f"{type(record).__name__}: {error}") from error


def write_fields(record_type: type[Record], fields: Mapping[str, object]) -> bytes:
    """As `write_body`, from field values in their Avro types; the caller answers for them."""
    stream = BytesIO()
    schemaless_writer(stream, catalog.current(record_type).parsed, fields)
    return stream.getvalue()


def _by_fingerprint(fingerprint: bytes) -> catalog.AvroSchema:
    found = catalog.known(fingerprint)
    if found is None:
        raise UnknownSchema(f"no released schema has fingerprint {fingerprint.hex()}; update this worker first")
    return found


def _by_id(schema_id: bytes, schema_ids: SchemaIds | None) -> catalog.AvroSchema:
    number = int.from_bytes(schema_id, "big")
    if schema_ids is None:
        raise UnknownSchema(f"schema id {number}, but no schema registry is set")
    text = schema_ids.schema_of(number)
    if text is None:
        raise UnknownSchema(f"the registry has no schema id {number}")
    found = _parsed(text)
    if isinstance(found, str):
        raise UnknownSchema(f"schema id {number}: {found}")
    return found


@lru_cache(maxsize=256)
def _parsed(text: str) -> catalog.AvroSchema | str:
    """The schema or what is wrong with it; both are kept, so that a topic full of a foreign schema parses it once."""
    try:
        return _parse_foreign(text)
    except UnknownSchema as error:
        return error.message


def _parse_foreign(text: str) -> catalog.AvroSchema:
    try:
        return catalog.parse(text)
    except Exception as error:  # a registry can hold any text
        raise UnknownSchema(f"{type(error).__name__}: {error}") from error
