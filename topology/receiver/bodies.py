"""Compressed bodies, unpacked within a limit that is looked at before and while unpacking. Pure."""

from __future__ import annotations

import zlib

from schemas.errors import TooLarge, Undecodable

GZIP_WINDOW = 31


def inflated(data: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body under a `Content-Encoding` of HTTP. Raises Undecodable or TooLarge."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return data
    if name not in ("gzip", "deflate"):
        raise Undecodable(f"content-encoding {encoding!r} is none of gzip, deflate, identity")
    unpacker = zlib.decompressobj(GZIP_WINDOW if name == "gzip" else zlib.MAX_WBITS)
    try:
        found = unpacker.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise Undecodable(f"not {name}: {error}") from error
    if len(found) > max_bytes:
        raise TooLarge(f"more than {max_bytes} bytes when unpacked")
    if not unpacker.eof:
        raise Undecodable(f"{name} is cut short")
    return found
