"""The headers of an output message: CloudEvents 1.0 in Kafka's binary mode, and W3C trace context.

All is derived from the record and its cause, so that a repeated or replayed record has the same headers.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from schemas.catalog import NAMESPACE
from schemas.records import Record
from schemas.wire import Wire

Header = tuple[str, bytes]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_STORY_FIELDS = ("incident_id", "job_id")
"""What ties the records of one story together; they share a trace."""


def event_headers(
    record: Record | None, *, topic: str, key: str, at: int, cause_id: str, producer: str, wire: Wire
) -> list[tuple[str, bytes]]:
    """Headers of a record (None = tombstone) that layer `producer` sends to `topic` at event time `at` (ms)."""
    event_id = _text(record, "id") or _digest("event", topic, key, str(at), cause_id)[:32]
    kind = type(record).__name__ if record is not None else "Tombstone"
    version, source, told, content = _fixed(producer, kind, wire)
    headers = [
        version,
        ("ce_id", event_id.encode()),
        source,
        told,
        ("ce_subject", key.encode()),
        ("ce_time", rfc3339(at).encode()),
        ("traceparent", traceparent(record, event_id, cause_id).encode()),
    ]
    if record is not None:
        headers.append(content)
    return headers


@lru_cache(256)
def _fixed(producer: str, kind: str, wire: Wire) -> tuple[Header, Header, Header, Header]:
    """The headers that all records of a kind from one layer have."""
    return (
        ("ce_specversion", b"1.0"),
        ("ce_source", f"/maestro/{producer}".encode()),
        ("ce_type", f"{NAMESPACE}.{kind}".encode()),
        ("content-type", wire.value.encode()),
    )


def traceparent(record: Record | None, event_id: str, cause_id: str) -> str:
    """`00-<trace>-<span>-01`: the record's own trace id, else one of its incident or job, else of its cause."""
    own = _text(record, "trace_id").lower()
    story = next(filter(None, (_text(record, name) for name in _STORY_FIELDS)), "") or cause_id or event_id
    trace = own if own and _TRACE_ID.fullmatch(own) else _trace_of(story)
    return f"00-{trace}-{_digest('span', event_id)[:16]}-01"


@lru_cache(4_096)
def _trace_of(story: str) -> str:
    return _digest("trace", story)[:32]


def rfc3339(at: int) -> str:
    """`2023-11-14T22:13:20.000Z` for milliseconds since the epoch."""
    return f"{_second(at // 1000)}.{at % 1000:03d}Z"


@lru_cache(1_024)
def _second(at_s: int) -> str:
    return (_EPOCH + timedelta(seconds=at_s)).isoformat()[:19]


def _text(record: Record | None, field: str) -> str:
    value = record.__dict__.get(field) if record is not None else None  # a record asked for what it has not is slow
    return value if isinstance(value, str) else ""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
