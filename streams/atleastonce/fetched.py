"""The messages of a fetch as columns over the bytes that the broker sent.

    data      ..|key|value|headers|..|key|value|headers|..
    RECORDS   offset, timestamp and where key, value and headers are, a row a message

Whoever needs few of the messages, or only their bytes, does not pay for an object, three copies and a list for each of
them: that was half of a single sample's CPU (ADR 13). As a sequence it gives messages like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import overload

import numpy as np
from numpy.typing import NDArray

from schemas import varints
from streams.atleastonce.batch import Headers, Message, RawMessage

RECORDS = np.dtype(
    [
        ("offset", "<i8"),
        ("timestamp", "<i8"),
        ("key_at", "<i4"),
        ("key_end", "<i4"),
        ("value_at", "<i4"),
        ("value_end", "<i4"),
        ("headers_at", "<i4"),
        ("end", "<i4"),
    ]
)
"""Places are in bytes from the start of the data; -1 twice = null. Headers are as in Kafka's message format 2."""
NO_HEADERS = b"\0"
HEADERS_REMEMBERED = 4_096

_Row = tuple[int, int, int, int, int, int, int, int]


class Fetched(Sequence[Message]):
    """Messages of one partition in order; a slice shares the data."""

    __slots__ = ("data", "records")

    def __init__(self, data: bytes, records: NDArray[np.void]) -> None:
        self.data, self.records = data, records

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Fetched:
        """Messages that are objects; those of a fetch as they are."""
        return messages if isinstance(messages, Fetched) else _joined(messages)

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> Fetched: ...
    def __getitem__(self, index: int | slice) -> Message | Fetched:
        if isinstance(index, slice):
            return Fetched(self.data, self.records[index])
        return self._message(self.records[index].item())

    def __iter__(self) -> Iterator[Message]:
        return map(self._message, self.records.tolist())

    def _message(self, row: _Row) -> Message:
        offset, timestamp, key_at, key_end, value_at, value_end, headers_at, end = row
        data = self.data
        return RawMessage(
            offset,
            timestamp,
            None if key_at < 0 else data[key_at:key_end],
            None if value_at < 0 else data[value_at:value_end],
            read_headers(data[headers_at:end]),
        )

    def value_bytes(self) -> NDArray[np.int64]:
        """The size of each value; 0 of a tombstone."""
        sizes: NDArray[np.int32] = self.records["value_end"] - self.records["value_at"]
        return sizes.astype(np.int64)

    def first_value_starts_with(self, head: bytes) -> bool:
        """Whether there is a message, and its value begins so."""
        at = int(self.records[0]["value_at"]) if len(self.records) else -1
        return at >= 0 and self.data.startswith(head, at, int(self.records[0]["value_end"]))


@lru_cache(HEADERS_REMEMBERED)
def read_headers(data: bytes) -> Headers:
    """The headers in their bytes. What is not UTF-8 in a name becomes replacement characters: nobody looks for it."""
    count, at = varints.read(data, 0)
    found: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        head = data[at]
        value_at = at + 2 + (head >> 1)
        if head < _LONG and not head & 1 and (size := data[value_at - 1]) < _LONG and not size & 1:
            # Lengths of one byte, as nearly all are; each message has eight headers, so without a call.
            name, at = data[at + 1 : value_at - 1], value_at + (size >> 1)
            found.append((_name(name), data[value_at:at]))
        else:
            told, at = _text(data, at)
            value, at = _text(data, at)
            found.append((_name(told or b""), value))
    return tuple(found)  # type: ignore[arg-type]  # a value may be null, as the broker allows (`batch.carried`)


@lru_cache(HEADERS_REMEMBERED)
def _name(data: bytes) -> str:
    return data.decode(errors="replace")


def write_headers(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """The bytes that `read_headers` reads."""
    parts = [varints.write(len(headers))]
    for name, value in headers:
        encoded = name.encode()
        parts += [
            varints.write(len(encoded)),
            encoded,
            varints.write(-1) if value is None else varints.write(len(value)),
            value or b"",
        ]
    return b"".join(parts)


def _joined(messages: Sequence[Message]) -> Fetched:
    data = bytearray()

    def put(content: bytes | None) -> tuple[int, int]:
        if content is None:
            return -1, -1
        data.extend(content)
        return len(data) - len(content), len(data)

    rows = [
        (m.offset, m.timestamp, *put(m.key), *put(m.value), *put(write_headers(m.headers) if m.headers else NO_HEADERS))
        for m in messages
    ]
    return Fetched(bytes(data), np.array(rows, RECORDS))


def _text(data: bytes, at: int) -> tuple[bytes | None, int]:
    head = data[at]
    if head < _LONG and not head & 1:  # a length of one byte, as nearly all are: each message has a dozen of them
        at += 1
        return data[at : (end := at + (head >> 1))], end
    length, at = varints.read(data, at)
    return (None, at) if length < 0 else (data[at : at + length], at + length)


_LONG = 0x80
