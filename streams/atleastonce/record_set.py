"""A broker's answer to a fetch, split into messages by compiled code: no object, no copy a message.

    batch of Kafka's message format 2      | header 61 B | records, maybe compressed |
    record    length  attributes  time  offset  key  value  headers        (zigzag varints; time, offset: differences)

`use` puts this in the place of three classes of aiokafka's fetcher, for every consumer of the process. Batches of older
formats, and those of a consumer that reads committed transactions only, go aiokafka's own way. A contract test fails
if a new aiokafka makes its records elsewhere.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from aiokafka import codec
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record import util
from aiokafka.record.memory_records import MemoryRecords
from numpy.typing import NDArray

from streams.atleastonce.batch import Message
from streams.atleastonce.fetched import RECORDS, Fetched
from streams.kit.kernel import kernel

_HEADER = struct.Struct(">qiibIhiqqqhii")
_LENGTH_AT, _OVERHEAD, _MAGIC_AT, _CHECKED_FROM = 8, 12, 16, 21
_COMPRESSION, _APPEND_TIME, _CONTROL = 0x07, 0x08, 0x20
_DECODERS = {1: codec.gzip_decode, 2: codec.snappy_decode, 3: codec.lz4_decode, 4: codec.zstd_decode}
BATCHES = np.dtype(
    [("base_offset", "<i8"), ("timestamp", "<i8"), ("is_append_time", "<i8"), ("count", "<i8"), ("start", "<i8"),
     ("stop", "<i8")]
)  # fmt: skip
"""Where a batch's records are in the data, and what their differences are from (times: unless all have one)."""

Long = int | np.int64

_StockRecords: Any = fetcher.PartitionRecords
_StockResult: Any = fetcher.FetchResult


PART_BYTES = 524_288
"""Of records that are unpacked at a time: memory of that size is used again, a whole answer's is given back and zeroed
by the kernel for the next one, which was a third of a single sample's CPU."""


class Split(NamedTuple):
    messages: Fetched
    next_offset: int
    """Where to fetch next: behind the last batch, whatever of it is left after compaction."""


def use() -> None:
    """From now on, and compiled before it is needed."""
    fetcher.MemoryRecords, fetcher.PartitionRecords, fetcher.FetchResult = RecordSet, ColumnRecords, ColumnResult
    _warm_up()


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


class RecordSet(MemoryRecords):  # type: ignore[misc]
    """Keeps the bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class ColumnRecords(_StockRecords):  # type: ignore[misc]
    """What one answer has of a partition, handed out in parts."""

    next_fetch_offset: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        bounds = whole_batches(self._records.data) if self._isolation_level != fetcher.READ_COMMITTED else None
        self._bounds = None if bounds is None else iter(bounds)
        self._left: Sequence[Message] = []
        self._behind = self.next_fetch_offset
        self._is_read = False

    def take(self, most: int | None = None) -> Sequence[Message]:
        """The next messages, at most so many; `next_fetch_offset` is behind them then. None only if it `is_used_up`."""
        while not self._left and not self._is_read:
            self._left = self._next_part()
        taken, self._left = (self._left, []) if most is None else (self._left[:most], self._left[most:])
        self.next_fetch_offset = taken[-1].offset + 1 if self._left else max(self._behind, self.next_fetch_offset)
        return taken

    @property
    def is_used_up(self) -> bool:
        return self._is_read and not self._left

    def _next_part(self) -> Sequence[Message]:
        if self._bounds is None:
            first, messages = self.next_fetch_offset, list(self)
            self._behind, self.next_fetch_offset, self._is_read = self.next_fetch_offset, first, True
            return messages
        self._is_read = True  # what is damaged is fetched again
        part = split(self._records.data, self._bounds, self._check_crcs)
        if part is None:
            return []
        self._is_read = False
        self._behind = part.next_offset
        # The first batch may begin before the offset that was asked for.
        return part.messages[int(np.searchsorted(part.messages.records["offset"], self.next_fetch_offset)) :]


class ColumnResult(_StockResult):  # type: ignore[misc]
    _partition_records: ColumnRecords | None

    def getall(self, max_records: int | None = None) -> Sequence[Message]:
        records = self._partition_records
        if records is None or not self.check_assignment(self._topic_partition):
            return []
        taken = records.take(max_records)
        self._update_position()
        if records.is_used_up:
            self._partition_records = None
        return taken


@cache
def _warm_up() -> None:
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
