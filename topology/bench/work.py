"""What a peer does with a sample, and how a side reports: the same for every peer that is written in Python.

A series' row is 76 float64, 608 bytes: the number of values seen, a ring of the last 64, the last slope, the last z;
the rest is unused. A value is scored by its distance from the mean of the ring before it, in deviations of that ring.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from importlib.resources import files
from io import BytesIO
from typing import Any, cast

import fastavro
import numpy as np
from numpy.typing import NDArray

from streams.kit.kernel import kernel

TOPIC = "health-signals"
ANOMALIES = "bench-anomalies"
"""What the peers publish to."""
REMEDIATIONS = "bench-remediations"
PARTITIONS = 4
ALARM_Z = 6.0
EMPTY_ROW = bytes(608)
REPORT_S = 0.2
_HEAD_BYTES = 10
RING, RECENT, MEAN_OF_RECENT, SQUARES_OF_RECENT = 64, 8, 3.5, 42.0


def report(done: Callable[[], int]) -> None:
    """From now on, a JSON line every 0.2 s: seconds, CPU seconds of the process, samples done since its start."""

    def loop() -> None:
        while True:
            line = {"s": time.monotonic(), "cpu_s": time.process_time(), "samples": done()}
            os.write(1, json.dumps(line).encode() + b"\n")
            time.sleep(REPORT_S)

    threading.Thread(target=loop, name="report", daemon=True).start()


def reader(workload: str) -> Callable[[bytes], dict[str, Any]]:
    """Fields of a message's record, by fastavro; times as plain integers, which costs less."""
    name = "health_signal" if workload == "w1" else "health_signal_batch"
    text = (files("schemas") / "avro" / f"{name}.avsc").read_text("utf-8")
    schema = fastavro.parse_schema(json.loads(text.replace('"logicalType": "timestamp-millis"', '"doc": "ms"')))
    return lambda data: cast("dict[str, Any]", fastavro.schemaless_reader(BytesIO(data[_HEAD_BYTES:]), schema, None))


def by_series(batch: dict[str, Any]) -> list[tuple[str, NDArray[np.float64]]]:
    """Each series of a HealthSignalBatch with its values in order."""
    index, values = np.frombuffer(batch["series_index"], "<i4"), np.frombuffer(batch["value"], "<f8")
    order = np.argsort(index, kind="stable")
    ends = np.searchsorted(index[order], np.arange(len(batch["series"]) + 1))
    sorted_values = values[order]
    return [
        (f"{one['asset_id']}|{one['metric']}", sorted_values[ends[i] : ends[i + 1]])
        for i, one in enumerate(batch["series"])
    ]


def scored(row: bytes, values: NDArray[np.float64]) -> tuple[bytes, bool]:
    """The row after the values, and whether one of them was far off."""
    after = np.frombuffer(row, np.float64).copy()
    far_off = _observe(after, values) > ALARM_Z
    return after.tobytes(), far_off


@kernel
def _observe(row: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    worst = 0.0
    for value in values:
        seen = int(row[0])
        known = min(seen, RING)
        z = 0.0
        if known > 1:
            mean = row[1 : 1 + known].mean()
            deviation = row[1 : 1 + known].std()
            z = (value - mean) / (deviation if deviation > 0.0 else 1.0)
        row[1 + seen % RING] = value
        seen += 1
        slope = 0.0
        if seen >= RECENT:  # ordinary least squares over the last 8, by sample
            for i in range(RECENT):
                slope += (i - MEAN_OF_RECENT) * row[1 + (seen - RECENT + i) % RING]
        row[0], row[1 + RING], row[2 + RING] = seen, slope / SQUARES_OF_RECENT, z
        worst = max(worst, abs(z))
    return worst
