"""What an agent gets and gives: batches of raw messages in, outputs out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

Headers = tuple[tuple[str, bytes], ...]


class Message(Protocol):
    """One consumed record, raw (L6): the agent decodes it, so that a bad value is never lost or acked out of order."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Broker or producer time, UTC ms. Not event time."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None:
        """None = tombstone."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A `Message` made by hand (the consumer passes its client's own record objects, same attributes)."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive messages of one topic partition, in order; offsets may have gaps (compaction), never repeats."""

    topic: str
    partition: int
    messages: Sequence[Message]

    @property
    def next_offset(self) -> int:
        """What to stage as `applied[topic]` when the whole batch is in the state."""
        return self.messages[-1].offset + 1


@dataclass(frozen=True, slots=True)
class Output:
    """A record to publish. `partition` None: by the key, as Java clients choose it."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None

    @property
    def size_bytes(self) -> int:
        """What a broker counts against its record limit, rounded up by 100 bytes for the envelope."""
        size = len(self.key or b"") + len(self.value or b"") + 100
        for name, value in self.headers:
            size += len(name) + len(value) + 8
        return size


def carried(foreign: Sequence[tuple[str, bytes | None]]) -> Headers:
    """The headers of a record that goes elsewhere. Kafka knows headers without a value; they become empty ones."""
    return tuple((name, bytes(value or b"")) for name, value in foreign)


def dead_letter(
    topic: str, partition: int, message: Message, code: str, reason: str, to: str = "dead-letters"
) -> Output:
    """The refused message, byte for byte, with its coordinates; the same message always gives the same record."""
    headers: Headers = (
        *carried(message.headers),
        ("topic", topic.encode()),
        ("partition", str(partition).encode()),
        ("offset", str(message.offset).encode()),
        ("error", code.encode()),
        ("reason", reason[:2000].encode()),
    )
    return Output(to, message.key, message.value, headers)


@lru_cache(maxsize=65_536)
def partition_for(key: bytes, partitions: int) -> int:
    """The partition that Java clients, aiokafka and librdkafka's `murmur2_random` choose for this key (not empty)."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    """MurmurHash 2.0 (Austin Appleby, public domain), 32 bits, with Kafka's seed 0x9747b28c."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        k = (int.from_bytes(data[start : start + 4], "little") * m) & mask
        h = ((h * m) & mask) ^ (((k ^ (k >> 24)) * m) & mask)
    if tail := data[whole:]:
        h = ((h ^ int.from_bytes(tail, "little")) * m) & mask
    h = ((h ^ (h >> 13)) * m) & mask
    return h ^ (h >> 15)
