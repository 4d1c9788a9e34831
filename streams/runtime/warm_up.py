"""Compiles what a layer of samples runs, before it has input: at the first fetch, it would stop the loop for seconds.

A machine of its own takes a few samples of an asset that there is not, and is thrown away. With numba's files on disk
this takes about a second, the first time on a machine some ten.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from schemas.codec import encode
from schemas.records import HealthSignal
from streams.atleastonce.batch import RawMessage
from streams.kit.layer import Layer
from streams.kit.partition import machine_of
from streams.runtime.ingest import Rules
from streams.runtime.samples import Gatherer

AT = 1_700_000_000_000
SECOND_MS, DAY_MS = 1_000, 86_400_000
VALUES = (1.0, 2.0) * 10 + (1_000.0,) * 6


def warm_up(layer: Layer[Any, Any], rules: Rules) -> None:
    """Blocks; call it off the event loop."""
    gatherer = Gatherer(replace(rules, partitions=1), 0)
    machine = machine_of(layer, layer.new_view(), 0)
    signals = [
        HealthSignal(asset_id="warm-up", metric="latency_ms", value=value, at=AT + n * SECOND_MS, unit="ms")
        for n, value in enumerate(VALUES)
    ]
    messages = [RawMessage(n, signal.at, b"warm-up", encode(signal)) for n, signal in enumerate(signals)]
    for part in (messages[:2], messages[2:]):  # names that are new, names that are known
        found = gatherer.gather(part)
        if found.columns is not None:
            machine.on_columns(found.columns, found.causes)
    machine.advance(AT + DAY_MS)
    rows = [(key, row) for key, row in machine.take_encoded() if row is not None]
    machine_of(layer, layer.new_view(), 0).load(rows)
