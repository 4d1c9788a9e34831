"""The series table at the end of a HealthSignalBatch: recognised by its bytes and read once for each sender.

Reading one costs some 2 us a series; a sender with thousands of series that sends a few hundred samples a message would
pay for its table many times what its samples cost.
"""

from __future__ import annotations

from collections import OrderedDict
from io import BytesIO
from typing import NamedTuple, cast

import fastavro

from schemas.columns import Series, unnamed_series
from schemas.errors import Undecodable

CACHED_BYTES = 8_388_608
"""Of tables as sent; read, they take about ten times as much."""

_SCHEMA = fastavro.parse_schema(
    {
        "type": "array",
        "items": {
            "type": "record",
            "name": "SeriesKey",
            "fields": [{"name": name, "type": "string"} for name in Series._fields],
        },
    }
)


class SeriesTable(NamedTuple):
    """`unnamed`: positions of the series whose samples belong to nothing."""

    series: tuple[Series, ...]
    unnamed: frozenset[int]


class SeriesTables:
    """The tables read last, as many as `cached_bytes` of them hold; the same bytes give the same object as long."""

    def __init__(self, cached_bytes: int = CACHED_BYTES) -> None:
        self._limit = cached_bytes
        self._size = 0
        self._tables: OrderedDict[bytes, SeriesTable] = OrderedDict()

    def read(self, data: bytes) -> SeriesTable:
        """Raises Undecodable."""
        known = self._tables.get(data)
        if known is not None:
            self._tables.move_to_end(data)
            return known
        table = _read(data)
        if len(data) <= self._limit:
            self._tables[data] = table
            self._size += len(data)
        while self._size > self._limit:
            oldest, _ = self._tables.popitem(last=False)
            self._size -= len(oldest)
        return table


def _read(data: bytes) -> SeriesTable:
    stream = BytesIO(data)
    try:
        parsed = fastavro.schemaless_reader(stream, _SCHEMA, None)
    except Exception as error:  # whatever the parser stumbles over in foreign bytes, they are what is wrong
        raise Undecodable(f"HealthSignalBatch: series: {type(error).__name__}: {error}") from error
    if stream.tell() != len(data):
        raise Undecodable(f"HealthSignalBatch: {len(data) - stream.tell()} bytes left over")
    series = tuple(Series(**key) for key in cast("list[dict[str, str]]", parsed))
    return SeriesTable(series, unnamed_series(series))
