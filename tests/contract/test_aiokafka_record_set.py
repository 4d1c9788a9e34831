"""A fetch that is split by compiled code has the messages that aiokafka finds in it, and ends where it does."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.errors import CorruptRecordException
from aiokafka.record import util
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.atleastonce import record_batches, record_set
from streams.atleastonce.batch import Message, RawMessage
from streams.atleastonce.fetched import Fetched

TP = TopicPartition("in", 0)
StockRecords, StockResult = record_set._StockRecords, record_set._StockResult

Sent = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]
ODD: list[Sent] = [
    (b"key", b"value", [("content-type", b"avro/binary")]),
    (None, b"", []),
    (b"", None, [("a", b""), ("b", None), ("ä", b"\xff")]),
    (b"long", b"x" * 70_000, []),
]
contents = st.none() | st.binary(max_size=200)
sent = st.tuples(contents, contents, st.lists(st.tuples(st.text(max_size=8), contents), max_size=3))


def batch(records: list[Sent], base: int = 0, compression: int = 0, gap: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(2, compression, 0, -1, -1, -1, 10_000_000)
    for n, (key, value, headers) in enumerate(records):
        assert builder.append(n * (gap + 1), 1_700_000_000_000 - 3 * n, key, value, headers)
    data = bytearray(builder.build())
    data[:8] = base.to_bytes(8)
    return bytes(data)


def told(messages: Any) -> list[tuple[object, ...]]:
    return [(m.offset, m.timestamp, m.key, m.value, tuple(m.headers)) for m in messages]


def stock(data: bytes, offset: int = 0) -> tuple[list[tuple[object, ...]], int]:
    records = StockRecords(TP, MemoryRecords(data), [], offset, None, None, True, 0)
    return told(list(records)), records.next_fetch_offset


def ours(data: bytes, offset: int = 0, most: int | None = None) -> tuple[list[tuple[object, ...]], int]:
    records = record_set.ColumnRecords(TP, record_set.RecordSet(data), [], offset, None, None, True, 0)
    found = []
    while not records.is_used_up:
        taken = records.take(most)
        assert most is None or len(taken) <= most
        found += told(taken)
        assert not taken or records.next_fetch_offset > taken[-1].offset
    return found, records.next_fetch_offset


@pytest.mark.parametrize("compression", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("most", [None, 1, 3])
def test_every_compression_and_odd_content(compression: int, most: int | None) -> None:
    data = batch(ODD, 10, compression) + batch(ODD[:2], 20, 0, gap=4) + batch([], 40) + batch(ODD, 41, compression)
    assert ours(data, 10, most) == stock(data, 10)
    assert ours(data, 12, most) == stock(data, 12), "the first batch begins before what was asked for"
    assert ours(data[:-5], 10, most) == stock(data[:-5], 10), "the broker has cut the last batch"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(sent, max_size=6), max_size=4), st.integers(0, 4), st.integers(1, 5), st.integers(0, 12))
def test_any_content(batches: list[list[Sent]], compression: int, most: int, offset: int) -> None:
    data, base = b"", 0
    for records in batches:
        data += batch(records, base, compression if records else 0)  # no broker compresses nothing
        base += max(len(records), 1) + 3
    # A broker's answer begins with the batch that has the offset.
    offset = min(offset, max(len(batches[0]) - 1, 0)) if batches else 0
    assert ours(data, offset, most) == stock(data, offset)


def test_a_control_batch_has_no_messages_but_is_passed() -> None:
    data = bytearray(batch(ODD[:1], 7))
    data[22] |= 0x20
    data[17:21] = util.calc_crc32c(bytes(data[21:])).to_bytes(4)
    whole = batch(ODD[:2], 5) + bytes(data)
    assert ours(whole, 5) == stock(whole, 5)
    assert ours(whole, 5)[1] == 8


def test_times_of_the_broker() -> None:
    data = bytearray(batch(ODD))
    data[22] |= 0x08
    data[17:21] = util.calc_crc32c(bytes(data[21:])).to_bytes(4)
    assert ours(bytes(data)) == stock(bytes(data))


def test_an_older_format_goes_the_old_way() -> None:
    builder = LegacyRecordBatchBuilder(1, 0, 10_000)
    assert builder.append(0, 1_700_000_000_000, b"k", b"v")
    data = bytes(builder.build())
    assert record_batches.whole_batches(data) is None
    assert ours(data) == stock(data)


def test_what_is_damaged_is_refused_and_nothing_is_passed_over() -> None:
    good = batch(ODD, 3, 3)
    for at in range(21, len(good), 7):
        bad = good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :]
        records = record_set.ColumnRecords(TP, record_set.RecordSet(bad), [], 3, None, None, True, 0)
        with pytest.raises(CorruptRecordException):
            records.take()
        assert not records.take()
        assert records.is_used_up
        assert records.next_fetch_offset == 3


@settings(max_examples=300, deadline=None)
@given(st.lists(sent, min_size=1, max_size=3), st.data())
def test_records_that_lie_about_their_sizes_are_refused_not_read(records: list[Sent], data: st.DataObject) -> None:
    """Without checksums: whatever a byte says, nothing outside of the batch is looked at."""
    good = bytearray(batch(records))
    at = data.draw(st.integers(57, len(good) - 1))
    good[at] = data.draw(st.integers(0, 255))
    try:
        found = record_batches.split(bytes(good), iter([(0, len(good))]), checks_crc=False)
    except CorruptRecordException:
        return
    assert found is not None
    told(found.messages)


def test_aiokafka_makes_its_records_where_ours_are_put(monkeypatch: pytest.MonkeyPatch) -> None:
    """`use` replaces names of the fetcher's module; they must be those that the fetcher looks up."""
    source = inspect.getsource(fetcher.Fetcher)
    for name in ("MemoryRecords(", "PartitionRecords(", "FetchResult(", "res_or_error.getall(max_records)"):
        assert name in source, name
    parameters = ["self", "tp", "records", "aborted_transactions", "fetch_offset", "key_deserializer"]
    assert list(inspect.signature(StockRecords.__init__).parameters)[:6] == parameters
    for name in ("MemoryRecords", "PartitionRecords", "FetchResult"):
        monkeypatch.setattr(fetcher, name, getattr(fetcher, name))
    record_set.use()
    assert fetcher.FetchResult is record_set.ColumnResult
    assert fetcher.PartitionRecords is record_set.ColumnRecords


@pytest.mark.parametrize("result", [StockResult, record_set.ColumnResult])
async def test_a_result_is_used_up_and_moves_the_position(result: Any) -> None:
    assignment = Assignment([TP])
    state = assignment.state_value(TP)
    state.seek(3)
    kind, data = (record_set.ColumnRecords, record_set.RecordSet)
    if result is StockResult:
        kind, data = StockRecords, MemoryRecords
    records = kind(TP, data(batch(ODD, 3)), [], 3, None, None, True, 0)
    one = result(TP, assignment=assignment, partition_records=records, backoff=0)
    assert [m.offset for m in one.getall(3)] == [3, 4, 5]
    assert state.position == 6
    assert one.has_more()
    state.seek(7)
    assert not one.getall(), "the consumer was sent elsewhere meanwhile"
    assert not one.has_more()


@given(st.lists(st.tuples(contents, contents, st.lists(st.tuples(st.text(max_size=8), contents), max_size=3))))
def test_messages_as_columns_are_the_same_messages(made: list[Sent]) -> None:
    messages: list[Message] = [
        RawMessage(3 * n, n, key, value, tuple(headers))  # type: ignore[arg-type]
        for n, (key, value, headers) in enumerate(made)
    ]
    columns = Fetched.of(messages)
    assert list(columns) == messages
    assert [columns[i] for i in range(len(columns))] == messages
    assert list(columns[1:3]) == messages[1:3]
    assert columns.value_bytes().tolist() == [len(m.value or b"") for m in messages]
    assert Fetched.of(columns) is columns
