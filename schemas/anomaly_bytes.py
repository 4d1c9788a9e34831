"""Writes the Avro body of an Anomaly of the current schema by hand: it is what the hot path sends.

A test holds it to the general writer, byte by byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from struct import Struct

from schemas.errors import EncodeError
from schemas.records import Anomaly, AnomalyKind, AnomalyState, Direction, Severity
from schemas.records.base import Scalar

_DOUBLE = Struct("<d").pack
_NULL, _BOOLEAN, _LONG, _DOUBLE_BRANCH, _STRING = b"\x00", b"\x02", b"\x04", b"\x06", b"\x08"
"""Branches of the union of evidence values."""


def _symbols(*enums: type[StrEnum]) -> Mapping[StrEnum, bytes]:
    return {symbol: bytes([2 * i]) for enum in enums for i, symbol in enumerate(enum)}


_STATE, _KIND, _SEVERITY, _DIRECTION = map(_symbols, (AnomalyState, AnomalyKind, Severity, Direction))


def write_anomaly(record: Anomaly) -> bytes:
    """The fields in the order of the schema. Raises EncodeError."""
    parts = [
        _text(record.id), _text(record.incident_id), _STATE[record.state], _text(record.asset_id),
        _text(record.metric), _KIND[record.kind], _SEVERITY[record.severity], _DOUBLE(record.score),
        _DIRECTION[record.direction], _optional(record.value), _optional(record.expected),
        _DOUBLE(record.slope_per_s), _DOUBLE(record.confidence), _long(record.at), _long(record.started_at),
        _text(record.cause_id),
    ]  # fmt: skip
    if record.evidence:
        parts.append(_long(len(record.evidence)))
        for name in sorted(record.evidence):
            parts.append(_text(name))
            parts.append(_scalar(record.evidence[name]))
    parts.append(_NULL)
    parts.append(_text(record.reason))
    return b"".join(parts)


def _long(number: int) -> bytes:
    """Zigzag, seven bits a byte, the lowest first."""
    rest = (number << 1) ^ (number >> 63)
    if rest < 0x80:
        return bytes((rest,))
    encoded = bytearray()
    while rest >= 0x80:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


def _text(text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise EncodeError(f"Anomaly: {error}") from error
    return _long(len(data)) + data


def _optional(value: float | None) -> bytes:
    return b"\x00" if value is None else b"\x02" + _DOUBLE(value)


def _scalar(value: Scalar) -> bytes:
    if isinstance(value, float):
        return _DOUBLE_BRANCH + _DOUBLE(value)
    if isinstance(value, bool):
        return _BOOLEAN + (b"\x01" if value else b"\x00")
    if isinstance(value, int):
        return _LONG + _long(value)
    return _NULL if value is None else _STRING + _text(value)
