"""The hot path of topic health-signals: message bytes to columns without an object per sample.

A batch of the current schema is read by hand. Its fields are laid out so that all before the series table is a string
and three runs of bytes, which become arrays without a copy; and the table is the rest, so that a sender's table, the
same in every message, is recognised by its bytes and read once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic_core import from_json

from schemas import avro_form, catalog, columns, json_form
from schemas.columns import RejectedRow, SampleColumns, Series
from schemas.errors import BY_REASON, EncodeError, Invalid, Undecodable
from schemas.records import HealthSignal, HealthSignalBatch, Record
from schemas.schema_ids import SchemaIds
from schemas.series_tables import SeriesTable, SeriesTables
from schemas.signal_bytes import read_signal
from schemas.structured_events import unwrapped
from schemas.wire import MAX_BYTES, SINGLE_OBJECT_MARKER, Headers, Wire, content_type, wire_of

ALLOWED: tuple[type[Record], ...] = (HealthSignal, HealthSignalBatch)
_HEAD_BYTES = 10
_series_tables = SeriesTables()


def decode_samples(
    data: bytes | None,
    headers: Headers = None,
    *,
    schema_ids: SchemaIds | None = None,
    max_bytes: int = MAX_BYTES,
) -> SampleColumns:
    """The samples of a HealthSignal or HealthSignalBatch; a tombstone has none.

    A bad row of a batch is listed in `rejected`. A single signal that is bad, like a message that cannot be read,
    raises a DecodeError.
    """
    if data is None:
        return _columns({"series": [], "series_index": b"", "at": b"", "value": b""})
    data, headers = unwrapped(data, headers, max_bytes)
    wire = wire_of(data, headers, max_bytes)
    if wire is Wire.JSON:
        return _from_json(data)
    opened = avro_form.open_frame(data, wire, ALLOWED, schema_ids)
    if opened.writer.record is HealthSignal:
        common = read_signal(data, opened.body_at) if opened.is_current else None
        return _one(*(common or _signal(avro_form.read_fields(opened))))
    return _read_batch(data, opened.body_at) if opened.is_current else _columns(avro_form.read_fields(opened))


def read_common_signal(
    data: bytes, headers: Headers = None, *, max_bytes: int = MAX_BYTES
) -> tuple[Series, int, float, str] | None:
    """Series, event time, value and source of one acceptable signal as our own producers send it, without any array.

    For whoever gathers many messages into one set of columns. None says nothing about the message but that
    `decode_samples` has to look at it.
    """
    if len(data) > max_bytes or not data.startswith(signal_head()):
        return None
    if headers and not is_common_form(headers):
        return None
    found = read_signal(data, _HEAD_BYTES)
    return None if found is None or columns.fault(found[0], found[1], found[2]) else found


OWN_HEADER = ("content-type", Wire.SINGLE_OBJECT.value.encode())
"""The only one that our own producers send with samples."""


def is_common_form(headers: Headers) -> bool:
    """Whether these headers say nothing against our own wire."""
    if isinstance(headers, Sequence) and len(headers) == 1 and headers[0] == OWN_HEADER:
        return True
    return content_type(headers) in (None, Wire.SINGLE_OBJECT.value)


@cache
def signal_head() -> bytes:
    """The first bytes of a HealthSignal of the current schema on our own wire."""
    return SINGLE_OBJECT_MARKER + catalog.current(HealthSignal).fingerprint


@cache
def batch_head() -> bytes:
    """The same of a HealthSignalBatch."""
    return SINGLE_OBJECT_MARKER + catalog.current(HealthSignalBatch).fingerprint


def series_of_table(data: bytes) -> SeriesTable:
    """A batch's series from the bytes of its table. Raises Undecodable."""
    return _series_tables.read(data)


def encode_samples(
    samples: SampleColumns, wire: Wire = Wire.SINGLE_OBJECT, *, schema_ids: SchemaIds | None = None
) -> bytes:
    """The HealthSignalBatch message of these columns. Raises EncodeError."""
    if wire is Wire.JSON:
        return json_form.to_json(columns.to_batch(samples))
    fields: dict[str, object] = {
        "source": samples.source,
        "series_index": samples.series_index.astype("<i4").tobytes(),
        "at": samples.at.astype("<i8").tobytes(),
        "value": samples.value.astype("<f8").tobytes(),
        "series": [key._asdict() for key in samples.series],
    }
    try:
        body = avro_form.write_fields(HealthSignalBatch, fields)
    except (ValueError, TypeError) as error:
        raise EncodeError(f"HealthSignalBatch: {error}") from error
    return avro_form.frame(HealthSignalBatch, body, wire, schema_ids)


def _signal(fields: Mapping[str, object]) -> tuple[Series, int, float, str]:
    key = Series(cast(str, fields["asset_id"]), cast(str, fields["metric"]), cast(str, fields["unit"]))
    return key, cast(int, fields["at"]), cast(float, fields["value"]), cast(str, fields["source"])


def _one(key: Series, at: int, value: float, source: str) -> SampleColumns:
    found = columns.fault(key, at, value)
    if found is not None:
        raise BY_REASON[found[0]](f"HealthSignal: {found[1]}")
    return columns.one_row(key, at, value, source)


def _columns(fields: Mapping[str, object]) -> SampleColumns:
    keys = tuple(Series(**key) for key in cast("list[dict[str, str]]", fields["series"]))
    index, at, value = (fields[name] for name in avro_form.COLUMN_TYPES)
    return _of_parts(str(fields.get("source", "")), index, at, value, keys, None)


def _read_batch(data: bytes, at: int) -> SampleColumns:
    source, at = _read_bytes(data, at)
    series_index, at = _read_bytes(data, at)
    times, at = _read_bytes(data, at)
    values, at = _read_bytes(data, at)
    keys, unnamed = _series_tables.read(data[at:])
    try:
        text = source.decode()
    except UnicodeDecodeError as error:
        raise Undecodable(f"HealthSignalBatch: source is not UTF-8: {error}") from error
    return _of_parts(text, series_index, times, values, keys, unnamed)


def _of_parts(
    source: str,
    series_index: object,
    at: object,
    value: object,
    keys: tuple[Series, ...],
    unnamed: frozenset[int] | None,
) -> SampleColumns:
    index = cast("NDArray[np.int32]", avro_form.column(series_index, "series_index"))
    times = cast("NDArray[np.int64]", avro_form.column(at, "at"))
    values = cast("NDArray[np.float64]", avro_form.column(value, "value"))
    if not len(index) == len(times) == len(values):
        raise Invalid(f"HealthSignalBatch: columns differ in length: {len(index)}, {len(times)}, {len(values)}")
    return columns.checked(keys, index, times, values, source, unnamed)


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """One Avro `bytes` or `string`: a zigzag variable-length count and that many bytes."""
    count = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Undecodable("HealthSignalBatch: cut short in a length")
        byte = data[at]
        at += 1
        count |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    length = (count >> 1) ^ -(count & 1)
    if not 0 <= length <= len(data) - at:
        raise Undecodable(f"HealthSignalBatch: a field of {length} bytes with {len(data) - at} left")
    return data[at : at + length], at + length


def _from_json(data: bytes) -> SampleColumns:
    if json_form.record_told_by_fields(ALLOWED, data) is HealthSignal:
        return columns.of_signal(json_form.from_json_bytes(HealthSignal, data))
    try:
        return columns.of_batch(HealthSignalBatch.model_validate_json(data, strict=True))
    except ValidationError as error:
        return _from_json_without_bad_cells(data, error)


def _from_json_without_bad_cells(data: bytes, error: ValidationError) -> SampleColumns:
    """Cells of a wrong type cost their rows. Any other fault is one of the whole batch and raises."""
    refused: dict[int, RejectedRow] = {}
    batch = from_json(data)
    for failure in error.errors(include_url=False, include_context=False):
        location = failure["loc"]
        if len(location) != 2 or location[0] not in avro_form.COLUMN_TYPES:
            raise json_form.as_decode_error(HealthSignalBatch, error) from error
        name, row = str(location[0]), int(location[1])
        refused.setdefault(row, RejectedRow(row, json_form.reason_of(failure), f"{name}: {failure['msg']}"))
        batch[name][row] = -1
    for row in refused:
        if row < len(batch["series_index"]):
            batch["series_index"][row] = -1  # no such series: the row is taken out below
    samples = columns.of_batch(json_form.from_json_object(HealthSignalBatch, batch))
    return replace(samples, rejected=tuple(refused.get(r.row, r) for r in samples.rejected))
