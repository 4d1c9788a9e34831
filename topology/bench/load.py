"""The load of `maestro bench telemetry`: assets with 4 metrics, 4 partitions, one sample a second of each series.

W1: one HealthSignal a message. W2: 500 samples a message, 5 of each of 100 series. Values are Gaussian about a level
of their own; 1 sample in 500 is 12 deviations off. The same seed gives the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from confluent_kafka import Producer
from numpy.typing import NDArray

from schemas import varints
from schemas.codec import encode
from schemas.columns import SampleColumns, Series
from schemas.records import HealthSignal
from schemas.samples import encode_samples
from streams.atleastonce import partition_for
from topology.bench.work import PARTITIONS, TOPIC

SERIES = 4_000
METRICS = (("latency_p95", "ms"), ("error_rate", "1"), ("cpu_utilization", "percent"), ("queue_depth", "1"))
START_MS = 1_760_000_000_000
BATCH_ASSETS, BATCH_SECONDS = 25, 5
SERIES_STEP = PARTITIONS * BATCH_ASSETS * len(METRICS)
"""So that every partition and every batch is full."""
SAMPLES_A_MESSAGE = {"w1": 1, "w2": BATCH_ASSETS * len(METRICS) * BATCH_SECONDS}
CONTENT_TYPE = [("content-type", b"avro/binary")]

Sent = tuple[int, bytes, bytes]
"""Partition, key, value."""


@dataclass(frozen=True)
class Fleet:
    """The assets of each partition, equally many."""

    by_partition: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, count: int) -> Fleet:
        places: list[list[str]] = [[] for _ in range(PARTITIONS)]
        number = 0
        while any(len(place) < count // PARTITIONS for place in places):
            name = f"svc-{number:06d}"
            place = places[partition_for(name.encode(), PARTITIONS)]
            if len(place) < count // PARTITIONS:
                place.append(name)
            number += 1
        return cls(tuple(tuple(place) for place in places))


def values_of(random: np.random.Generator, numbers: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """One value of each of the series with these numbers; positive."""
    noise = random.normal(0.0, 1.0, len(numbers))
    noise[random.random(len(numbers)) < 0.002] += 12.0
    return 50.0 + numbers % 37 + noise


def messages(workload: str, samples: int, series: int = SERIES) -> Iterator[Sent]:
    """At least `samples` samples, in event-time order within a partition. `series`: a multiple of 400."""
    fleet = Fleet.of(series // len(METRICS))
    return _singles(fleet, samples) if workload == "w1" else _batches(fleet, samples)


def _singles(fleet: Fleet, samples: int) -> Iterator[Sent]:
    random = np.random.default_rng(1)
    series = [(p, a, m, u) for p, assets in enumerate(fleet.by_partition) for a in assets for m, u in METRICS]
    forms = [_Form(asset, metric, unit) for _, asset, metric, unit in series]
    keys = [asset.encode() for _, asset, _, _ in series]
    for second in range(-(-samples // len(series))):
        at, values = varints.write(START_MS + second * 1_000), values_of(random, np.arange(len(series))).tolist()
        for i, value in enumerate(values):
            yield series[i][0], keys[i], forms[i].bytes_of(at, value)


class _Form:
    """The bytes of one series' HealthSignal with holes for time and value: a million pydantic records take minutes."""

    def __init__(self, asset: str, metric: str, unit: str) -> None:
        first = HealthSignal(asset_id=asset, metric=metric, unit=unit, at=START_MS, value=1.5, source="bench")
        data, value, time = encode(first), struct.pack("<d", 1.5), varints.write(START_MS)
        self._head, rest = data.split(value, 1)
        self._middle, self._tail = rest.split(time, 1)
        other = first.model_copy(update={"at": START_MS + 86_400_000, "value": -3.25})
        assert self.bytes_of(varints.write(other.at), other.value) == encode(other), (
            "the layout of HealthSignal has changed"
        )

    def bytes_of(self, at: bytes, value: float) -> bytes:
        return b"".join((self._head, struct.pack("<d", value), self._middle, at, self._tail))


def _batches(fleet: Fleet, samples: int) -> Iterator[Sent]:
    random, sent, tick = np.random.default_rng(1), 0, 0
    groups = list(_groups(fleet))
    while sent < samples:
        for partition, series in groups:
            yield partition, series[0].asset_id.encode(), encode_samples(block(random, series, tick))
            sent += BATCH_SECONDS * len(series)
        tick += BATCH_SECONDS


def _groups(fleet: Fleet) -> Iterator[tuple[int, tuple[Series, ...]]]:
    for partition, names in enumerate(fleet.by_partition):
        for start in range(0, len(names), BATCH_ASSETS):
            few = names[start : start + BATCH_ASSETS]
            yield partition, tuple(Series(asset, metric, unit) for asset in few for metric, unit in METRICS)


def block(random: np.random.Generator, series: tuple[Series, ...], second: int) -> SampleColumns:
    """`BATCH_SECONDS` samples of each series, time by time."""
    count = len(series)
    index = np.tile(np.arange(count, dtype=np.int32), BATCH_SECONDS)
    at = np.repeat(START_MS + (second + np.arange(BATCH_SECONDS, dtype=np.int64)) * 1_000, count)
    return SampleColumns(series, index, at, values_of(random, index), "bench")


def publish(broker: str, workload: str, samples: int, series: int = SERIES) -> int:
    """Fills the topic; gives the number of samples."""
    producer = Producer(
        {"bootstrap.servers": broker, "linger.ms": 20, "compression.type": "lz4", "acks": "all",
         "queue.buffering.max.messages": 200_000}
    )  # fmt: skip
    count = 0
    for partition, key, value in messages(workload, samples, series):
        while True:
            try:
                producer.produce(TOPIC, value, key, partition=partition, headers=CONTENT_TYPE)
                break
            except BufferError:
                producer.poll(0.05)
        count += 1
        if count % 10_000 == 0:
            producer.poll(0)
    if left := producer.flush(120):
        raise RuntimeError(f"{left} messages of the load were not confirmed")
    return count * SAMPLES_A_MESSAGE[workload]
