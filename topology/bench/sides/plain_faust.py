"""Stock Faust with its defaults: a RocksDB table with changelog, one get and one set for each series of a message."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import faust
import numpy as np

from topology.bench.work import ANOMALIES, EMPTY_ROW, PARTITIONS, TOPIC, by_series, reader, report, scored


def main() -> None:
    broker, workload, app_id, folder = sys.argv[1:5]
    app = faust.App(
        app_id, broker=f"kafka://{broker}", store="rocksdb://", datadir=folder, topic_partitions=PARTITIONS,
        web_enabled=False, value_serializer="raw", key_serializer="raw",
    )  # fmt: skip
    anomalies = app.topic(ANOMALIES, value_type=bytes)
    table = app.Table("rings", key_type=bytes, value_type=bytes, partitions=PARTITIONS)
    read, count = reader(workload), 0

    async def one(key: bytes, values: Any) -> None:
        table[key], far_off = scored(table.get(key) or EMPTY_ROW, values)
        if far_off:
            await anomalies.send(key=key, value=key)

    @app.agent(app.topic(TOPIC, key_type=bytes, value_type=bytes))  # type: ignore[untyped-decorator]
    async def score(stream: Any) -> None:
        nonlocal count
        async for data in stream:
            fields = read(data)
            if workload == "w1":
                await one(f"{fields['asset_id']}|{fields['metric']}".encode(), np.array([fields["value"]]))
                count += 1
                continue
            for name, values in by_series(fields):
                await one(name.encode(), values)
                count += len(values)

    report(lambda: count)
    sys.argv = ["faust", "worker", "-l", "info"]
    os.dup2(os.open(Path(folder) / "faust.log", os.O_WRONLY | os.O_CREAT), 2)
    app.main()


if __name__ == "__main__":
    main()
