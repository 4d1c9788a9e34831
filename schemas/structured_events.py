"""CloudEvents 1.0 in structured mode: a JSON envelope around the record, told by the content type.

Binary mode needs nothing: its attributes are headers, and its `content-type` is the record's own.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from pydantic_core import from_json
from pydantic_core import to_json as dump_json

from schemas.errors import Empty, Invalid, TooLarge, Undecodable
from schemas.wire import MAX_BYTES, Headers, Wire, content_type

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"


def unwrapped(data: bytes, headers: Headers, max_bytes: int = MAX_BYTES) -> tuple[bytes, Headers]:
    """The record's own bytes and headers of an event in structured mode; anything else as it is. Raises DecodeError."""
    if headers is None or content_type(headers) != STRUCTURED:
        return data, headers
    if not data:
        raise Empty("no bytes; a tombstone is a null value, not an empty one")
    if len(data) > max_bytes:
        raise TooLarge(f"{len(data)} bytes, the limit is {max_bytes}")
    try:
        event: object = from_json(data)  # with NaN, which gets a reason of its own when the record is read
    except ValueError as error:
        raise Undecodable(f"not JSON: {error}") from error
    return opened(event)


def opened(event: object) -> tuple[bytes, Headers]:
    """The same of an envelope that was parsed already."""
    if not isinstance(event, Mapping):
        raise Undecodable(f"a CloudEvent is a JSON object, not {type(event).__name__}")
    missing = [name for name in ("specversion", "id", "source", "type") if not event.get(name)]
    if missing or event["specversion"] != "1.0":
        raise Invalid(f"not a CloudEvent 1.0: {'without ' + ', '.join(missing) if missing else event['specversion']}")
    told = {"content-type": str(event.get("datacontenttype") or Wire.JSON.value)}
    if "data_base64" in event:
        try:
            return base64.b64decode(str(event["data_base64"]), validate=True), told
        except (binascii.Error, ValueError) as error:
            raise Invalid(f"data_base64: {error}") from error
    content = event.get("data")
    if content is None:
        raise Empty("a CloudEvent without data")
    if isinstance(content, str):
        return content.encode(), told
    return dump_json(content, inf_nan_mode="constants"), told
