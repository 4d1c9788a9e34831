"""The bytes of a table's changelog: what is in each record, and how one flush is laid out. Pure.

One flush of one partition, in this order (librdkafka keeps it, and one flush is in flight at a time):

    row | outbox chunk ...  |  marker          -> the flush is in the log when the marker is
    ^ each carries the flush id (epoch, nonce, seq)

A worker that takes a partition over first writes a *claim* with the next epoch; what an older epoch writes after that
is void. Keys are fixed per kind, so that compaction keeps the newest of each.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from streams.atleastonce.batch import Headers, Output
from streams.atleastonce.errors import ChangelogCorrupt

ROW, OUTBOX, MARKER, CLAIM, ATTEMPT = b"r", b"o", b"m", b"c", b"a"
FLUSH_HEADER = "flush"
"""A deleted row is a real tombstone (so that compaction removes it); its flush id is in this header."""
CHUNK_BYTES = 256 * 1024

_ID = struct.Struct(">IQQ")
_COUNTS = struct.Struct(">II")
_LENGTH = struct.Struct(">i")
_INDEX = struct.Struct(">I")
_PLACE = struct.Struct(">ii")
"""The partition (-1 = by the key), and how many headers follow."""

Entry = tuple[bytes, bytes | None, Headers]
"""Key, value, headers of one changelog record."""


class Owner(NamedTuple):
    """Who may write: the epoch grows with each claim, the nonce tells two claims of one epoch apart."""

    epoch: int
    nonce: int


NOBODY = Owner(0, 0)


class FlushId(NamedTuple):
    owner: Owner
    seq: int


class Applied(NamedTuple):
    """The next offset of an input topic that is not in the state yet, and the id of the topic that it counts in."""

    next_offset: int
    topic_id: str


class Marker(NamedTuple):
    flush: FlushId
    rows: int
    chunks: int
    applied: Mapping[str, Applied]


class Claim(NamedTuple):
    """`previous` is the last flush that the claimant had read: rows of a later one have no marker and never will."""

    owner: Owner
    previous: FlushId | None


class Attempt(NamedTuple):
    """The process ended `tries` times while an agent worked on messages [start, end) of `topic`."""

    topic: str
    start: int
    end: int
    tries: int


def flush_entries(
    flush: FlushId, rows: Mapping[bytes, bytes | None], outputs: Sequence[Output], applied: Mapping[str, Applied]
) -> list[Entry]:
    """All records of one flush, the marker last."""
    chunks = outbox_chunks(outputs)
    marker = marker_entry(Marker(flush, len(rows), len(chunks), applied))
    return [*content_entries(flush, rows.items(), chunks), marker]


def outbox_chunks(outputs: Sequence[Output]) -> list[bytes]:
    """The outputs of a flush as bytes, in parts that fit in a record each."""
    outbox = encode_outputs(outputs)
    return [outbox[at : at + CHUNK_BYTES] for at in range(0, len(outbox), CHUNK_BYTES)]


def content_entries(
    flush: FlushId, rows: Iterable[tuple[bytes, bytes | None]], chunks: Sequence[bytes]
) -> Iterator[Entry]:
    """The records before the marker, made as they are taken: copies of thousands of rows are not held at once."""
    prefix = id_bytes(flush)
    tombstone: Headers = ((FLUSH_HEADER, prefix),)
    for key, row in rows:
        yield (ROW + key, None, tombstone) if row is None else (ROW + key, prefix + row, ())
    for index, chunk in enumerate(chunks):
        yield OUTBOX + _INDEX.pack(index), prefix + chunk, ()


def marker_entry(marker: Marker) -> Entry:
    applied = json.dumps(marker.applied, sort_keys=True, separators=(",", ":")).encode()
    return MARKER, id_bytes(marker.flush) + _COUNTS.pack(marker.rows, marker.chunks) + applied, ()


def claim_entry(claim: Claim) -> Entry:
    return CLAIM, _ID.pack(*claim.owner, 0) + (id_bytes(claim.previous) if claim.previous else b""), ()


def attempt_entry(attempt: Attempt) -> Entry:
    return ATTEMPT + attempt.topic.encode(), json.dumps(attempt).encode(), ()


def flush_of(value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> tuple[FlushId, bytes | None]:
    """The flush id of a row or chunk, and its content (None = deleted row)."""
    if value is not None:
        return _id_of(value), value[_ID.size :]
    for name, content in headers:
        if name == FLUSH_HEADER:
            return _id_of(content), None
    raise ChangelogCorrupt("a tombstone without a flush id; was something else writing to this changelog?")


def chunk_index(key: bytes) -> int:
    return int(_INDEX.unpack(key[1:])[0])


def decode_marker(value: bytes) -> Marker:
    rows, chunks = _COUNTS.unpack_from(value, _ID.size)
    applied = json.loads(value[_ID.size + _COUNTS.size :])
    return Marker(_id_of(value), rows, chunks, {topic: Applied(*at) for topic, at in applied.items()})


def decode_claim(value: bytes) -> Claim:
    rest = value[_ID.size :]
    return Claim(_id_of(value).owner, _id_of(rest) if rest else None)


def decode_attempt(value: bytes) -> Attempt:
    return Attempt(*json.loads(value))


def encode_outputs(outputs: Iterable[Output]) -> bytes:
    """Length-prefixed; the same outputs give the same bytes."""
    parts: list[bytes] = []
    length, add = _LENGTH.pack, parts.append
    for output in outputs:
        parts += (_name_field(output.topic), *_field(output.key), *_field(output.value))
        add(_PLACE.pack(-1 if output.partition is None else output.partition, len(output.headers)))
        for name, content in output.headers:
            add(_name_field(name))
            add(length(len(content)))
            add(content)
    return b"".join(parts)


def decode_outputs(data: bytes) -> Iterator[Output]:
    at = 0
    while at < len(data):
        topic, at = _take(data, at)
        key, at = _take(data, at)
        value, at = _take(data, at)
        (partition, count), at = _PLACE.unpack_from(data, at), at + _PLACE.size
        headers: list[tuple[str, bytes]] = []
        for _ in range(count):
            name, at = _take(data, at)
            content, at = _take(data, at)
            headers.append(((name or b"").decode(), content or b""))
        yield Output((topic or b"").decode(), key, value, tuple(headers), None if partition < 0 else partition)


def id_bytes(flush: FlushId) -> bytes:
    return _ID.pack(*flush.owner, flush.seq)


def _id_of(data: bytes) -> FlushId:
    if len(data) < _ID.size:
        raise ChangelogCorrupt(
            f"{len(data)} bytes can't hold a flush id; was something else writing to this changelog?"
        )
    epoch, nonce, seq = _ID.unpack_from(data)
    return FlushId(Owner(epoch, nonce), seq)


def _field(content: bytes | None) -> tuple[bytes, bytes]:
    return (_LENGTH.pack(-1), b"") if content is None else (_LENGTH.pack(len(content)), content)


@lru_cache(1_024)
def _name_field(name: str) -> bytes:
    """Of a topic or header, of which there are few."""
    return b"".join(_field(name.encode()))


def _take(data: bytes, at: int) -> tuple[bytes | None, int]:
    (length,) = _LENGTH.unpack_from(data, at)
    at += _LENGTH.size
    return (None, at) if length < 0 else (data[at : at + length], at + length)
