"""Seconds from a lost disk to a table that is ready: the product's restore, beside a plain reader of the same bytes.

The changelog is written by the product's own flush, twice over (every row has an older version in it). Each round
wipes the folder and takes all partitions over: claim, read, write to RocksDB, read the rows back from it as a layer
does when it loads a partition. The floor reads the same changelog with librdkafka's consumer and throws it away.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import Consumer, TopicPartition

from streams.atleastonce import AtLeastOnceSettings, Metrics
from streams.atleastonce.declare import changelog_spec, declare
from streams.atleastonce.ownership import Ownership
from streams.atleastonce.producer import ConfirmedProducer
from topology.bench.watched import load_average
from topology.embedded import embedded_kafka

TOPIC = "bench-state-changelog"
PARTITIONS = 4
ROW_BYTES = 900
SETTINGS = AtLeastOnceSettings()
VERSIONS = 2
Rows = list[tuple[bytes, bytes]]


def rows_of(partition: int, count: int, size: int) -> Rows:
    """Half of a row does not compress, as a detector's numbers do not."""
    noise = np.random.default_rng(partition).bytes(count * (size // 2))
    half = size // 2
    return [
        (b'["svc-%06d","latency_p95"]' % (partition * count + i), noise[i * half : (i + 1) * half] + bytes(size - half))
        for i in range(count)
    ]


class Table:
    """One process's partitions, as `App` holds them."""

    def __init__(self, broker: str, folder: Path, partitions: int) -> None:
        def fail(error: BaseException) -> None:
            raise error

        self.metrics = Metrics()
        self._partitions, self._producer = range(partitions), ConfirmedProducer(broker, "bench", SETTINGS)
        self.own = Ownership("bench", broker, folder, TOPIC, SETTINGS, self.metrics, lambda *_: None, fail)

    async def take(self) -> None:
        await self.own.take(self._partitions, self._producer, lambda: False)

    async def write(self, rows: dict[int, Rows]) -> None:
        for partition, found in rows.items():
            flusher = self.own.held[partition].flusher
            self.own.late_rows = lambda _, found=found: found  # type: ignore[misc]
            flusher.stage({}, (), {"in": 1})
            assert await flusher.flushed()

    def loaded(self) -> int:
        return sum(len(dict(self.own.held[p].flusher.store.rows())) for p in self._partitions)

    async def close(self) -> None:
        async def lost(_: int) -> None: ...

        await self.own.settle()
        await self.own.close(lost)
        self._producer.stop()


def floor(broker: str, partitions: int) -> None:
    reader = Consumer({"bootstrap.servers": broker, "group.id": "floor", "enable.auto.commit": False})
    places = [TopicPartition(TOPIC, p, 0) for p in range(partitions)]
    left = {p.partition: reader.get_watermark_offsets(p)[1] for p in places}
    reader.assign(places)
    while left:
        for message in reader.consume(5_000, 0.02):
            if message.error() is None and message.offset() + 1 >= left.get(message.partition(), 0):
                left.pop(message.partition(), None)
    reader.close()


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the wall, seconds of CPU of this process."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


def restored(broker: str, rows: int, folder: Path) -> None:
    async def run() -> None:
        table = Table(broker, folder, PARTITIONS)
        await table.take()
        found = table.loaded()
        await table.close()
        if found != rows:
            raise RuntimeError(f"{found} rows of {rows} came back")

    asyncio.run(run())


async def seed(broker: str, rows: int, folder: Path) -> float:
    """Gives the CPU us of a flushed row."""
    topics = [changelog_spec(TOPIC, PARTITIONS, 1, SETTINGS.compaction_lag_s, SETTINGS.max_record_bytes)]
    declare(broker, topics, SETTINGS.request_timeout_s)
    table = Table(broker, folder, PARTITIONS)
    await table.take()
    held = {p: rows_of(p, rows // PARTITIONS, ROW_BYTES) for p in range(PARTITIONS)}
    cpu_s = time.process_time()
    for _ in range(VERSIONS):
        await table.write(held)
    cpu_s = time.process_time() - cpu_s
    await table.close()
    return cpu_s / (VERSIONS * rows) * 1e6


def figures(rows: int, rounds: int) -> Iterator[dict[str, object]]:
    """A row, the medians of the rounds. `rows`: a multiple of 4."""
    with embedded_kafka() as kafka, tempfile.TemporaryDirectory(prefix="maestro-bench-") as temporary:
        folder = Path(temporary) / "bench"
        row_us = asyncio.run(seed(kafka.bootstrap, rows, folder))
        ours, floors = [], []
        for _ in range(rounds):
            shutil.rmtree(folder)
            ours.append(timed(lambda: restored(kafka.bootstrap, rows, folder)))
            floors.append(timed(lambda: floor(kafka.bootstrap, PARTITIONS)))
        (s, cpu_s), (floor_s, floor_cpu_s) = (
            map(statistics.median, zip(*side, strict=True)) for side in (ours, floors)
        )
        yield {"rows": rows, "row_bytes": ROW_BYTES, "s": s, "cpu_s": cpu_s, "floor_s": floor_s,
               "floor_cpu_s": floor_cpu_s, "ratio": s / floor_s, "flush_cpu_us_a_row": row_us,
               "load_average": load_average()}  # fmt: skip


def text(row: Mapping[str, Any]) -> str:
    return (
        "{rows:,} rows of {row_bytes} bytes restored in {s:.2f} s ({cpu_s:.2f} CPU s), {ratio:.1f} times reading them; "
        "flushed before at {flush_cpu_us_a_row:.1f} CPU us a row; load average {load_average:.1f}"
    ).format(**row)
