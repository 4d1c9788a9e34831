"""Messages as columns in the place of aiokafka's objects.

`use` puts this in the place of three classes of aiokafka's fetcher, for every consumer of the process. Batches of older
formats, and those of a consumer that reads committed transactions only, go aiokafka's own way. A contract test fails
if a new aiokafka makes its records elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from aiokafka.consumer import fetcher
from aiokafka.record.memory_records import MemoryRecords

from streams.atleastonce.batch import Message
from streams.atleastonce.record_batches import split, warm_up, whole_batches

_StockRecords: Any = fetcher.PartitionRecords
_StockResult: Any = fetcher.FetchResult


def use() -> None:
    """From now on, and compiled before it is needed."""
    fetcher.MemoryRecords, fetcher.PartitionRecords, fetcher.FetchResult = RecordSet, ColumnRecords, ColumnResult
    warm_up()


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
