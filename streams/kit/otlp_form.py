"""Which of its two forms an OTLP message has, for all that read them."""

from __future__ import annotations

import orjson


def is_json(data: bytes) -> bool:
    """The first byte of the protobuf form is a line feed, and the length after it may be that of a brace."""
    if data.lstrip(b" \t\r\n")[:1] != b"{":
        return False
    if data[:1] != b"\n":
        return True
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True
