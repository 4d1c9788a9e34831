"""Quix Streams with its defaults: at least once, RocksDB with changelog, a checkpoint every 5 s.

State is by message key there: a row is found by that key and the series' name.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from quixstreams import Application

from topology.bench.work import ANOMALIES, EMPTY_ROW, TOPIC, by_series, reader, report, scored


def main() -> None:
    broker, workload, app_id, folder = sys.argv[1:5]
    app = Application(broker, consumer_group=app_id, auto_offset_reset="earliest", state_dir=folder, loglevel="WARNING")
    read, count = reader(workload), 0

    def one(state: Any, name: str, values: Any) -> bool:
        row, far_off = scored(state.get_bytes(name) or EMPTY_ROW, values)
        state.set_bytes(name, row)
        return far_off

    def score(data: bytes, state: Any) -> list[bytes]:
        nonlocal count
        fields = read(data)
        if workload == "w1":
            count += 1
            name = f"{fields['asset_id']}|{fields['metric']}"
            return [name.encode()] if one(state, name, np.array([fields["value"]])) else []
        count += len(fields["value"]) // 8
        return [name.encode() for name, values in by_series(fields) if one(state, name, values)]

    signals = app.topic(TOPIC, key_deserializer="bytes", value_deserializer="bytes")
    anomalies = app.topic(ANOMALIES, key_serializer="bytes", value_serializer="bytes")
    app.dataframe(signals).apply(score, stateful=True, expand=True).to_topic(anomalies)
    report(lambda: count)
    app.run()


if __name__ == "__main__":
    main()
