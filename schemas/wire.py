"""The three wires, and how a message says which of them it is on.

header content-type?  -- known -->  that wire (bytes that contradict it are refused)
       | none, or application/octet-stream          `-- unknown -->  refused
first bytes:   C3 01 -> single object     00 -> Confluent     { -> JSON     else -> refused
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from schemas.errors import Empty, TooLarge, Undecodable

SINGLE_OBJECT_MARKER = b"\xc3\x01"
CONFLUENT_MARKER = b"\x00"
MAX_BYTES = 1_048_576
"""Largest message taken, bytes: Kafka's own default limit of a message."""

Headers = Mapping[str, bytes | str] | Iterable[tuple[str, bytes | str | None]] | None


class Wire(StrEnum):
    """The value is the content type that is written with it."""

    SINGLE_OBJECT = "avro/binary"
    CONFLUENT = "application/vnd.confluent.avro"
    JSON = "application/json"


_AVRO = frozenset({"avro/binary", "application/avro", "application/x-avro", "application/vnd.apache.avro+binary"})
"""Either of the Avro wires: many producers use these names for both, and their first bytes keep them apart."""


_NAME_CHARS = len("content-type")


def wire_of(data: bytes, headers: Headers = None, max_bytes: int = MAX_BYTES) -> Wire:
    """The wire of a message with a value. Raises Empty, TooLarge or Undecodable."""
    return wire_told(data, content_type(headers), max_bytes)


def wire_told(data: bytes, told: str | None, max_bytes: int = MAX_BYTES) -> Wire:
    """The same, with the content type that its headers tell, or None."""
    if not data:
        raise Empty("no bytes; a tombstone is a null value, not an empty one")
    if len(data) > max_bytes:
        raise TooLarge(f"{len(data)} bytes, the limit is {max_bytes}")
    seen = _by_first_bytes(data)
    if told in (None, "", "application/octet-stream"):
        if seen is None:
            raise Undecodable(f"first bytes {data[:2].hex()} are of no known wire; send a content-type header")
        return seen
    if told == Wire.JSON and seen is Wire.JSON:
        return seen
    if (told in _AVRO and seen in (Wire.SINGLE_OBJECT, Wire.CONFLUENT)) or (told == Wire.CONFLUENT == seen):
        return seen
    raise Undecodable(f"content-type {told!r} does not go with first bytes {data[:2].hex()}")


def content_type(headers: Headers) -> str | None:
    """The header's media type in lower case without parameters, or None. The last one counts, as in Kafka."""
    if headers is None:
        return None
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found: str | None = None
    for name, value in pairs:
        if len(name) == _NAME_CHARS and name.lower() == "content-type" and value is not None:
            text = value if isinstance(value, str) else value.decode("latin-1")
            found = text.partition(";")[0].strip().lower()
    return found


def _by_first_bytes(data: bytes) -> Wire | None:
    if data.startswith(SINGLE_OBJECT_MARKER):
        return Wire.SINGLE_OBJECT
    if data.startswith(CONFLUENT_MARKER):
        return Wire.CONFLUENT
    return Wire.JSON if data.lstrip(b" \t\r\n")[:1] == b"{" else None
