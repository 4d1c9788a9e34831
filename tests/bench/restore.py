"""Seconds from a lost disk to a table that is ready: the product's restore, beside a plain reader of the same bytes.

    python tests/bench/restore.py [--rows 100000] [--bytes 900] [--partitions 4] [--rounds 3]

The changelog is written by the product's own flush, twice over (every row has an older version in it). Each round
wipes the folder and takes all partitions over: claim, read, write to RocksDB, read the rows back from it as a layer
does when it loads a partition. The floor reads the same changelog with librdkafka's consumer and throws it away.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from confluent_kafka import Consumer, TopicPartition

from streams.atleastonce import AtLeastOnceSettings, Metrics
from streams.atleastonce.declare import changelog_spec, declare
from streams.atleastonce.ownership import Ownership
from streams.atleastonce.producer import ConfirmedProducer
from topology.embedded import embedded_kafka

TOPIC = "bench-state-changelog"
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


def restored(broker: str, options: argparse.Namespace, folder: Path) -> None:
    async def main() -> None:
        table = Table(broker, folder, options.partitions)
        begun_s = time.perf_counter()
        await table.take()
        taken_s, found = time.perf_counter() - begun_s, table.loaded()
        assert found == options.rows, f"{found} rows came back"
        print(f"    taken over after {taken_s:.2f} s, {found:,} rows back after {time.perf_counter() - begun_s:.2f} s")
        await table.close()

    asyncio.run(main())


async def seed(broker: str, options: argparse.Namespace, folder: Path) -> None:
    topics = [changelog_spec(TOPIC, options.partitions, 1, SETTINGS.compaction_lag_s, SETTINGS.max_record_bytes)]
    declare(broker, topics, SETTINGS.request_timeout_s)
    table = Table(broker, folder, options.partitions)
    await table.take()
    rows = {p: rows_of(p, options.rows // options.partitions, options.bytes) for p in range(options.partitions)}
    begun_s, cpu_s = time.perf_counter(), time.process_time()
    for _ in range(VERSIONS):
        await table.write(rows)
    count = VERSIONS * options.rows
    spent = f"{(time.process_time() - cpu_s) / count * 1e6:.1f} CPU us a row"
    print(f"seeded: {count:,} rows flushed in {time.perf_counter() - begun_s:.2f} s, {spent}")
    await table.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=900)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with embedded_kafka() as kafka, tempfile.TemporaryDirectory(prefix="maestro-bench-") as temporary:
        folder = Path(temporary) / "bench"
        asyncio.run(seed(kafka.bootstrap, options, folder))
        ours, floors = [], []
        for number in range(options.rounds):
            shutil.rmtree(folder)
            ours.append(timed(lambda: restored(kafka.bootstrap, options, folder)))
            floors.append(timed(lambda: floor(kafka.bootstrap, options.partitions)))
            print(
                f"  round {number + 1}: restore {ours[-1][0]:.2f} s ({ours[-1][1]:.2f} CPU s), "
                f"floor {floors[-1][0]:.2f} s ({floors[-1][1]:.2f} CPU s), load average {os.getloadavg()[0]:.1f}"
            )
        wall, cpu = (
            statistics.median(one[i] / base[i] for one, base in zip(ours, floors, strict=True)) for i in (0, 1)
        )
        print(f"{options.rows:,} rows of {options.bytes} bytes: {wall:.1f} times the floor, {cpu:.1f} times its CPU")


if __name__ == "__main__":
    main()
