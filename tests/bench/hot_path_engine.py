"""The engines alone, without Kafka: CPU us a sample on the column path, for growing numbers of series.

Run: python tests/bench/hot_path_engine.py [--series 4000 100000]

Rows are made first and are past their youth (80 samples each); then 6,000 samples come at a time, as the runtime gives
them: 5 of each of 100 series (W2), or 1,200 of 5,000 series in time order (W1). Rows are encoded once every 10 steps.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import time
from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from schemas.columns import SampleColumns, Series
from streams.kit.layer import ColumnLayer
from streams.kit.machine import Machine
from streams.kit.partition import machine_of
from topology.bench.load import BATCH_SECONDS, METRICS, START_MS, values_of
from topology.bench.watched import load_average
from topology.engines import build_layers
from topology.settings import Settings

WARM_SERIES, WARM_SAMPLES = 4_000, 80
STEP_SAMPLES = 6_000
STEPS_A_FLUSH = 10
BUDGET_S = 4.0
BLOCK = 100


AnyLayer = ColumnLayer[Any, Any]
AnyPartition = Machine[Any, Any]


def series_of(count: int) -> list[Series]:
    return [Series(f"svc-{i:06d}", metric, unit) for i in range(count // len(METRICS)) for metric, unit in METRICS]


def warmed_up(layer: AnyLayer, count: int) -> AnyPartition:
    """Rows past their youth; beyond the first `WARM_SERIES` they are copies of those, under names of their own."""
    first = machine_of(layer, layer.new_view())
    some = tuple(series_of(WARM_SERIES))
    index = np.tile(np.arange(len(some), dtype=np.int32), WARM_SAMPLES)
    at = np.repeat(START_MS + np.arange(WARM_SAMPLES, dtype=np.int64) * 1_000, len(some))
    values = values_of(np.random.default_rng(2), index)
    first.on_columns(SampleColumns(some, index, at, values, "bench"), lambda row: f"w:{row}")
    assets, rows = WARM_SERIES // len(METRICS), []
    encoded = {key.decode(): row for key, row in first.take_encoded() if row is not None}
    for start in range(0, count // len(METRICS), assets):
        for key, row in encoded.items():
            number = int(key.partition("svc-")[2][:6])
            rows.append((key.replace(f"svc-{number:06d}", f"svc-{number + start:06d}").encode(), row))
    partition = machine_of(layer, layer.new_view(), first.clock)
    begun = time.process_time()
    partition.load(sorted(rows))
    print(f"load {(time.process_time() - begun) / count * 1e6:.2f} us/row", end="  ")
    return partition


def by_blocks(series: list[Series]) -> Iterator[SampleColumns]:
    """W2: each step is 12 messages of 5 seconds of 100 series; the series take turns."""
    random, block, blocks = np.random.default_rng(3), 0, len(series) // BLOCK
    while True:
        here = [(block + i) for i in range(STEP_SAMPLES // (BLOCK * BATCH_SECONDS))]
        block += len(here)
        at = [START_MS + (WARM_SAMPLES + b // blocks * BATCH_SECONDS + np.arange(BATCH_SECONDS)) * 1_000 for b in here]
        numbers = np.concatenate([np.tile(b % blocks * BLOCK + np.arange(BLOCK), BATCH_SECONDS) for b in here])
        yield columns_of(random, series, numbers, np.repeat(np.concatenate(at), BLOCK))


def by_seconds(series: list[Series]) -> Iterator[SampleColumns]:
    """W1: every series in turn, second by second."""
    random, many = np.random.default_rng(3), len(series)
    for start in itertools.count(0, STEP_SAMPLES):
        rows = np.arange(start, start + STEP_SAMPLES)
        yield columns_of(random, series, rows % many, START_MS + (WARM_SAMPLES + rows // many) * 1_000)


def columns_of(random: np.random.Generator, series: list[Series], numbers: np.ndarray, at: np.ndarray) -> SampleColumns:
    """As the gatherer makes them: one table of series, the same in every step."""
    return SampleColumns(series, numbers.astype(np.int32), at, values_of(random, numbers % WARM_SERIES), "bench")


class Numbered:
    """Causes as the gatherer gives them: the numbers of all, a name where it is asked for."""

    def __init__(self, rows: int) -> None:
        self.number, self.row = np.arange(rows, dtype=np.int64), np.full(rows, -1, np.int32)

    def __call__(self, row: int) -> str:
        return f"health-signals:0:{self.number[row]}"


def measured(layer: AnyLayer, count: int, steps: Iterator[SampleColumns], series: list[Series]) -> str:
    partition = warmed_up(layer, count)
    gc.collect()
    engine_s = rows_s = 0.0
    samples = changed = emitted = 0
    for number, columns in enumerate(steps):
        begun = time.process_time()
        emitted += len(partition.on_columns(columns, Numbered(len(columns))))
        engine_s += time.process_time() - begun
        samples += len(columns)
        if number % STEPS_A_FLUSH == STEPS_A_FLUSH - 1:
            begun = time.process_time()
            changed += len(list(partition.take_encoded()))
            rows_s += time.process_time() - begun
            if engine_s + rows_s > BUDGET_S:
                break
    rows_us = rows_s / changed * 1e6 if changed else 0.0
    return f"{engine_s / samples * 1e6:7.2f} us/sample, {rows_us:6.1f} us/encoded row, {emitted / samples:.3%} emit"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, nargs="+", default=[4_000, 100_000], help="multiples of 4,000")
    parser.add_argument("--layers", nargs="+", default=["telemetry", "optimisation"])
    options = parser.parse_args()
    layers = build_layers(Settings())
    for name in options.layers:
        for count in options.series:
            series = series_of(count)
            for load, steps in (("w1", by_seconds), ("w2", by_blocks)):
                told = measured(cast("AnyLayer", layers[name]), count, steps(series), series)
                print(f"{name:12} {load} {count:7,} series {told}  (load average {load_average():.1f})", flush=True)


if __name__ == "__main__":
    main()
