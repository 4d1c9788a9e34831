"""Everything compiled that a layer of samples runs is called once before a worker joins its group.

Compiling takes some 20 s of CPU after an installation; later it is read from disk in half a second. In the middle of a
fetch that would stop the event loop for longer than a broker waits for a member of its group.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from schemas.codec import encode
from schemas.records import HealthSignal, HealthSignalBatch, SeriesKey
from streams.atleastonce.batch import RawMessage
from streams.kit.layer import Layer
from streams.kit.partition import machine_of
from streams.runtime.ingest import Rules
from streams.runtime.samples import Gatherer

START_MS = 1_700_000_000_000
STEP_MS = 1_000
ROWS = 60
DAY_MS = 86_400_000


def warm_up(layer: Layer[Any, Any], rules: Rules) -> None:
    """A series with an incident through a machine of its own: single, late, in a batch, absent, restored. Blocks."""
    gatherer = Gatherer(replace(rules, partitions=1), 0)
    machine = machine_of(layer, layer.new_view(), 0)
    times = [START_MS + n * STEP_MS for n in range(ROWS)]
    values = [1e6 if n == ROWS - 1 else float(n % 3) for n in range(ROWS)]
    singles = [_single(at, value) for at, value in zip(times, values, strict=True)]
    late = _single(times[-1] - STEP_MS // 2, 1.0)
    # The first fetch brings the names, the next finds them.
    for fetch in (singles[:2], [*singles[2:], late], [_batch(times[-1] + STEP_MS)]):
        found = gatherer.gather(fetch)
        if found.columns is not None:
            machine.on_columns(found.columns, found.causes)
    rows = [(key, row) for key, row in machine.take_encoded() if row is not None]
    restored = machine_of(layer, layer.new_view(), machine.clock)
    restored.load(rows)
    restored.advance(times[-1] + DAY_MS)


def _single(at: int, value: float) -> RawMessage:
    return RawMessage(
        0, at, b"a", encode(HealthSignal(asset_id="a", metric="latency_ms", unit="ms", value=value, at=at))
    )


def _batch(at: int) -> RawMessage:
    keys = tuple(SeriesKey(asset_id="a", metric=metric) for metric in ("latency_ms", "m"))
    return RawMessage(
        0, at, b"a", encode(HealthSignalBatch(series=keys, series_index=(0, 1), at=(at, at), value=(1, 2)))
    )
