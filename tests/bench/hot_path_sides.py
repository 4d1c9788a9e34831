"""The sides of the hot-path benchmark, each the main program of a process of its own: ours, plain Faust, a floor.

Each prints a JSON line every 0.2 s: seconds, CPU seconds of the process (all threads), samples done since its start.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from hot_path_load import ANOMALIES, PARTITIONS, SAMPLES_A_MESSAGE, TOPIC

REPORT_S = 0.2


def report(done: Callable[[], int]) -> None:
    def loop() -> None:
        while True:
            line = {"s": time.monotonic(), "cpu_s": time.process_time(), "samples": done()}
            os.write(1, json.dumps(line).encode() + b"\n")
            time.sleep(REPORT_S)

    threading.Thread(target=loop, name="report", daemon=True).start()


def ours(broker: str, workload: str, app_id: str, folder: Path, profiled: bool) -> None:
    """The telemetry worker as `maestro worker --layers telemetry` runs it. A sample is done when its flush is."""
    from topology import app
    from topology.settings import Settings

    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("faust").setLevel(logging.ERROR)
    [worker] = app.build(Settings(app_id=app_id), broker, ["telemetry"], folder=folder)

    def done() -> int:
        ledgers = list(getattr(worker.app.consumer, "ledgers", {}).values()) if worker.app.started else []
        return sum(max(ledger.flushed, 0) for ledger in ledgers) * SAMPLES_A_MESSAGE[workload]

    report(done)
    if not profiled:
        asyncio.run(_until_stopped(lambda stop: app.run([worker], stop), lambda: None))
        return
    from hot_path_profile import Sampler

    sampler = Sampler()
    asyncio.run(_until_stopped(lambda stop: app.run([worker], stop), sampler.start))
    os.write(2, sampler.told(done(), worker.app.metrics).encode())


async def _until_stopped(run: Callable[[asyncio.Event], Awaitable[None]], started: Callable[[], None]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    started()
    await run(stop)


def plain_faust(broker: str, workload: str, app_id: str, folder: Path) -> None:
    """Stock Faust with its defaults: a RocksDB table with changelog, one get and one set for each series of an event.

    The row is 608 bytes, packed (Faust's own JSON rows would cost more): a ring of 64 values with running sums, whose
    z-score is the whole of the detector.
    """
    import fastavro
    import faust

    from schemas import catalog
    from schemas.records import HealthSignal, HealthSignalBatch

    single = catalog.current(HealthSignal).parsed
    many = catalog.current(HealthSignalBatch).parsed
    app = faust.App(
        app_id, broker=f"kafka://{broker}", store="rocksdb://", datadir=str(folder), topic_partitions=PARTITIONS,
        web_enabled=False, value_serializer="raw", key_serializer="raw",
    )  # fmt: skip
    signals = app.topic(TOPIC, key_type=bytes, value_type=bytes)
    anomalies = app.topic(ANOMALIES, value_type=bytes)
    table = app.Table("rings", key_type=bytes, value_type=bytes, partitions=PARTITIONS)
    row_form, count = struct.Struct("<q64d11d"), 0
    empty = row_form.pack(*([0] * 76))

    def scored(key: bytes, values: list[float]) -> float:
        seen, *rest = row_form.unpack(table.get(key) or empty)
        ring, worst = rest[:64], 0.0
        for value in values:
            known = ring[: min(seen, 64)]
            if len(known) > 1:
                mean = sum(known) / len(known)
                deviation = (sum((v - mean) ** 2 for v in known) / len(known)) ** 0.5
                worst = max(worst, abs(value - mean) / (deviation or 1.0))
            ring[seen % 64] = value
            seen += 1
        table[key] = row_form.pack(seen, *ring, *rest[64:])
        return worst

    @app.agent(signals)
    async def score(stream):  # type: ignore[no-untyped-def]
        nonlocal count
        async for data in stream:
            if workload == "w1":
                s = fastavro.schemaless_reader(BytesIO(data[10:]), single, None)
                key = f"{s['asset_id']}|{s['metric']}".encode()
                if scored(key, [s["value"]]) > 6.0:
                    await anomalies.send(key=key, value=data)
                count += 1
            else:
                s = fastavro.schemaless_reader(BytesIO(data[10:]), many, None)
                index, value = np.frombuffer(s["series_index"], "<i4"), np.frombuffer(s["value"], "<f8")
                for i, one in enumerate(s["series"]):
                    key = f"{one['asset_id']}|{one['metric']}".encode()
                    if scored(key, value[index == i].tolist()) > 6.0:
                        await anomalies.send(key=key, value=key)
                count += len(value)

    report(lambda: count)
    sys.argv = ["faust", "worker", "-l", "info"]
    os.dup2(os.open(folder / "faust.log", os.O_WRONLY | os.O_CREAT), 2)
    app.main()


def floor(broker: str, workload: str, app_id: str) -> None:
    """librdkafka's consumer and our decoder, no state, no outputs, no commits: what no design on Python gets below."""
    from confluent_kafka import Consumer

    from schemas.samples import decode_samples, read_common_signal

    consumer = Consumer({"bootstrap.servers": broker, "group.id": app_id, "auto.offset.reset": "earliest"})
    consumer.subscribe([TOPIC])
    count = 0
    report(lambda: count)
    while True:
        for message in consumer.consume(1_000, 0.1):
            if message.error() is not None:
                continue
            data, headers = message.value(), message.headers()
            if workload == "w1" and read_common_signal(data, headers) is not None:
                count += 1
            else:
                count += len(decode_samples(data, headers))


def main() -> None:
    side, broker, workload, app_id, folder, *options = sys.argv[1:]
    if side == "ours":
        ours(broker, workload, app_id, Path(folder), "profile" in options)
    elif side == "faust":
        plain_faust(broker, workload, app_id, Path(folder))
    else:
        floor(broker, workload, app_id)


if __name__ == "__main__":
    main()
