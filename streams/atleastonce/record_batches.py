"""Batches of records as a broker sends them, split into messages by compiled code: no object, no copy a message.

batch of Kafka's message format 2      | header 61 B | records, maybe compressed |
record    length  attributes  time  offset  key  value  headers        (zigzag varints; time, offset: differences)
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from aiokafka import codec
from aiokafka.errors import CorruptRecordException
from aiokafka.record import util
from numpy.typing import NDArray

from streams.atleastonce.fetched import RECORDS, Fetched
from streams.kit.kernel import kernel

Long = int | np.int64

_HEADER = struct.Struct(">qiibIhiqqqhii")
_LENGTH_AT, _OVERHEAD, _MAGIC_AT, _CHECKED_FROM = 8, 12, 16, 21
_COMPRESSION, _APPEND_TIME, _CONTROL = 0x07, 0x08, 0x20
_DECODERS = {1: codec.gzip_decode, 2: codec.snappy_decode, 3: codec.lz4_decode, 4: codec.zstd_decode}
BATCHES = np.dtype(
    [("base_offset", "<i8"), ("timestamp", "<i8"), ("is_append_time", "<i8"), ("count", "<i8"), ("start", "<i8"),
     ("stop", "<i8")]
)  # fmt: skip
"""Where a batch's records are in the data, and what their differences are from (times: unless all have one)."""
PART_BYTES = 524_288
"""Of records that are unpacked at a time: memory of that size is used again, a whole answer's is given back and zeroed
by the kernel for the next one, which was a third of a single sample's CPU."""


class Split(NamedTuple):
    messages: Fetched
    next_offset: int
    """Where to fetch next: behind the last batch, whatever of it is left after compaction."""


def whole_batches(data: bytes) -> list[tuple[int, int]] | None:
    """Start and end of each; the broker cuts the last where its answer is full. None if one is of an older format."""
    found, at = [], 0
    while len(data) - at > _MAGIC_AT:
        end = at + _OVERHEAD + int.from_bytes(data[at + _LENGTH_AT : at + _OVERHEAD], signed=True)
        if not at + _MAGIC_AT < end <= len(data):
            break
        if data[at + _MAGIC_AT] < 2:
            return None
        found.append((at, end))
        at = end
    return found


def split(data: bytes, bounds: Iterator[tuple[int, int]], checks_crc: bool = True) -> Split | None:
    """The messages of the next batches, `PART_BYTES` or a little more; None = there are no more batches.

    Raises CorruptRecordException.
    """
    parts: list[bytes | memoryview] = []
    batches: list[tuple[int, int, int, int, int, int]] = []
    view, size, next_offset = memoryview(data), 0, None
    for at, end in bounds:
        if end - at < _HEADER.size:
            raise CorruptRecordException(f"a batch of {end - at} bytes is shorter than its header")
        base, _, _, _, crc, flags, last, first_ms, most_ms, _, _, _, count = _HEADER.unpack_from(data, at)
        if checks_crc and util.calc_crc32c(view[at + _CHECKED_FROM : end]) != crc:
            raise CorruptRecordException(f"the batch at offset {base} does not match its checksum")
        next_offset = base + last + 1
        if not count or flags & _CONTROL:
            continue
        body = _uncompressed(view[at + _HEADER.size : end], flags & _COMPRESSION)
        if not 0 < count <= len(body):
            raise CorruptRecordException(f"the batch at offset {base} says that it has {count} records")
        is_append_time = bool(flags & _APPEND_TIME)
        batches.append((base, most_ms if is_append_time else first_ms, is_append_time, count, size, size + len(body)))
        parts.append(body)
        size += len(body)
        if size >= PART_BYTES:
            break
    if next_offset is None:
        return None
    records = np.zeros(sum(batch[3] for batch in batches), RECORDS)
    joined = b"".join(parts)
    if not _split(np.frombuffer(joined, np.uint8), np.array(batches, BATCHES), records):
        raise CorruptRecordException("a record that does not fill its place")
    return Split(Fetched(joined, records), next_offset)


def _uncompressed(body: memoryview, compression: int) -> bytes | memoryview:
    if not compression:
        return body
    decode: Callable[[memoryview], bytes] | None = _DECODERS.get(compression)
    if decode is None:
        raise CorruptRecordException(f"unknown compression {compression}")
    return decode(body)


@cache
def warm_up() -> None:
    """Compiles what there is to compile."""
    _split(np.frombuffer(b"", np.uint8), np.zeros(0, BATCHES), np.zeros(0, RECORDS))


@kernel
def _split(data: NDArray[np.uint8], batches: NDArray[np.void], records: NDArray[np.void]) -> bool:
    """False: what a batch says of itself is not so; nothing outside of `data` was looked at."""
    row = 0
    for b in range(len(batches)):
        batch = batches[b]
        at = batch.start
        for _ in range(batch.count):
            length, at = _varint(data, at, batch.stop)
            end = at + length
            if at < 0 or length < 1 or end > batch.stop:
                return False
            later_ms, at = _varint(data, at + 1, end)
            if at < 0:
                return False
            later, at = _varint(data, at, end)
            if at < 0:
                return False
            key_at, key_end, at = _field(data, at, end)
            if at < 0:
                return False
            value_at, value_end, at = _field(data, at, end)
            if at < 0 or not _are_headers(data, at, end):
                return False
            record = records[row]
            record.offset = batch.base_offset + later
            record.timestamp = batch.timestamp + (0 if batch.is_append_time else later_ms)
            record.key_at, record.key_end = key_at, key_end
            record.value_at, record.value_end = value_at, value_end
            record.headers_at, record.end = at, end
            row += 1
            at = end
        if at != batch.stop:
            return False
    return True


@kernel
def _are_headers(data: NDArray[np.uint8], at: Long, end: Long) -> bool:
    count, at = _varint(data, at, end)
    if at < 0 or count < 0:
        return False
    for _ in range(count):
        name_at, _, at = _field(data, at, end)
        if at < 0 or name_at < 0:
            return False
        _, _, at = _field(data, at, end)
        if at < 0:
            return False
    return bool(at == end)


@kernel
def _field(data: NDArray[np.uint8], at: Long, end: Long) -> tuple[Long, Long, Long]:
    """Start and end of a run of bytes (-1, -1 = null) and where the next one begins (-1 = it is cut short)."""
    length, at = _varint(data, at, end)
    if at < 0 or length > end - at:
        return np.int64(-1), np.int64(-1), np.int64(-1)
    if length < 0:
        return np.int64(-1), np.int64(-1), at
    return at, at + length, at + length


@kernel
def _varint(data: NDArray[np.uint8], at: Long, end: Long) -> tuple[Long, Long]:
    """A zigzag varint of at most ten bytes and where it ends; -1 as the end if it is longer or cut short."""
    number, shift = np.uint64(0), np.uint64(0)
    while at < end and shift < 70:
        byte = np.uint64(data[at])
        at += 1
        number |= (byte & np.uint64(0x7F)) << shift
        if byte < 0x80:
            return np.int64(number >> np.uint64(1)) ^ -np.int64(number & np.uint64(1)), np.int64(at)
        shift += np.uint64(7)
    return np.int64(0), np.int64(-1)
