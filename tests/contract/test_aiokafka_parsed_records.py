"""aiokafka's parser gives what a `Message` needs, and a fetch is made of its records where we say so."""

from __future__ import annotations

import inspect

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord, TopicPartition

from streams.atleastonce import parsed_records

SENT = [(b"key", b"value", [("content-type", b"avro/binary")]), (None, b"", []), (b"gone", None, [("a", b"")])]


def fetched() -> list[object]:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1_000_000)
    for offset, (key, value, headers) in enumerate(SENT):
        assert builder.append(offset, 1_700_000_000_000 + offset, key, value, headers)
    records = MemoryRecords(bytes(builder.build()))
    return list(fetcher.PartitionRecords(TopicPartition("in", 0), records, [], 0, None, None, True, 0))


def test_records_are_those_of_the_parser_with_the_same_content(monkeypatch: pytest.MonkeyPatch) -> None:
    stock_method = vars(fetcher.PartitionRecords)["_consumer_record"]
    monkeypatch.setattr(fetcher.PartitionRecords, "_consumer_record", stock_of(stock_method))
    stock = fetched()
    assert all(isinstance(record, ConsumerRecord) for record in stock)
    parsed_records.use()
    ours = fetched()
    assert not any(isinstance(record, ConsumerRecord) for record in ours)
    for name in ("offset", "timestamp", "key", "value"):
        assert [getattr(r, name) for r in ours] == [getattr(r, name) for r in stock]
    assert [r.headers for r in ours] == [list(r.headers) for r in stock]


def stock_of(method: object) -> object:
    """aiokafka's own, also when another test of the process has replaced it."""
    if method is not parsed_records._as_parsed:
        assert list(inspect.signature(method).parameters) == ["self", "tp", "record"]
        return method
    pytest.skip("replaced by a consumer of this process before")
