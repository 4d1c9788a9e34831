"""Reads the Avro body of a HealthSignal of the current schema by hand: one sample a message is the costly way to send.

    asset_id  metric | value      | unit     | at     | tags source trace_id
    `--- names ---'  | 8 bytes    | string   | varint | `------ tail -----'

Names, units and tails of a sender repeat from message to message: they are recognised by their bytes and read once. A
body that is not of the common form (a name over 63 bytes, broken bytes) is left to the general reader, which decides.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from struct import error as StructError
from struct import unpack_from
from typing import cast

import fastavro

from schemas import varints
from schemas.columns import Series

NAMES_CACHED = 65_536
"""As many series as one worker is meant to hold; at most 200 bytes each."""
TAILS_CACHED = 4_096
TAIL_MAX_CACHED_BYTES = 256

_TAIL = fastavro.parse_schema(
    {
        "type": "record",
        "name": "Tail",
        "fields": [
            {"name": "tags", "type": {"type": "map", "values": "string"}},
            {"name": "source", "type": "string"},
            {"name": "trace_id", "type": ["null", "string"]},
        ],
    }
)


def read_signal(data: bytes, at: int) -> tuple[Series, int, float, str] | None:
    """Series, event time, value and source of the body at `at`; None if it is for the general reader to say."""
    try:
        names_at = at
        at = _after_short_text(data, at)
        metric_at = at
        at = _after_short_text(data, at)
        value: float = unpack_from("<d", data, at)[0]
        unit_at = at + 8
        end = _after_short_text(data, unit_at)
        series = _series(data[names_at:metric_at], data[metric_at:at], data[unit_at:end])
        time, end = varints.read(data, end)
        tail = data[end:]
        source = (_source_cached if len(tail) <= TAIL_MAX_CACHED_BYTES else _source)(tail)
    except (IndexError, ValueError, StructError):
        return None
    return None if source is None else (series, time, value, source)


def read_names(data: bytes, at: int) -> bytes:
    """The bytes that name the series of a body that `read_signal` takes: asset id, metric and unit, with lengths."""
    value_at = _after_short_text(data, _after_short_text(data, at))
    unit_at = value_at + 8
    return data[at:value_at] + data[unit_at : _after_short_text(data, unit_at)]


def _after_short_text(data: bytes, at: int) -> int:
    """Where a string of at most 63 bytes ends. Raises ValueError for any other."""
    doubled_length = data[at]
    if doubled_length & 0x81:
        raise ValueError("a length of more than one byte, or below 0")
    return at + 1 + (doubled_length >> 1)


@lru_cache(NAMES_CACHED)
def _series(asset_id: bytes, metric: bytes, unit: bytes) -> Series:
    """From the three strings with their length byte. Raises ValueError if one is not UTF-8."""
    return Series(asset_id[1:].decode(), metric[1:].decode(), unit[1:].decode())


def _source(tail: bytes) -> str | None:
    """The source in the rest of the body, or None if that does not parse to its last byte."""
    stream = BytesIO(tail)
    try:
        fields = cast("dict[str, object]", fastavro.schemaless_reader(stream, _TAIL, None))
    except (EOFError, ValueError, IndexError, OverflowError, MemoryError, TypeError):
        return None
    return cast(str, fields["source"]) if stream.tell() == len(tail) else None


_source_cached = lru_cache(TAILS_CACHED)(_source)
