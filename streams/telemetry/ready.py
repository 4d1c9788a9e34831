"""Everything compiled is called once before a worker joins its group.

Compiling takes some 20 s of CPU after an installation (later it is read from disk in half a second). In the middle of
a fetch that would stop the event loop for longer than a broker waits for a member of its group.
"""

from __future__ import annotations

from schemas.codec import encode
from schemas.records import HealthSignal
from streams.atleastonce.batch import RawMessage
from streams.kit.layer import Event
from streams.runtime.ingest import Rules
from streams.runtime.samples import Gatherer
from streams.telemetry.engine import TelemetryLayer
from streams.telemetry.settings import TelemetrySettings

SAMPLES = 60
START_MS = 1_700_000_000_000
STEP_MS = 1_000


def compile_ahead() -> None:
    """A series with an incident through a partition of its own: one by one, as a fetch, late, absent and restored."""
    layer = TelemetryLayer(TelemetrySettings())
    partition = layer.partition(layer.new_view())
    gatherer = Gatherer(Rules("health-signals", (HealthSignal,), 1, max_future_ms=0, max_bytes=1_000), 0)
    for i in range(SAMPLES):
        partition.on_event(_event(START_MS + i * STEP_MS, 1e6 if i == SAMPLES - 1 else float(i % 3)))
    partition.on_event(_event(START_MS + STEP_MS // 2, 1.0))
    for some in range(2):  # the first fetch brings the names, the next finds them
        fetch = [_message(2 * some + i, START_MS + (SAMPLES + 2 * some + i) * STEP_MS) for i in range(2)]
        found = gatherer.gather(fetch)
        if found.columns is not None:
            partition.on_columns(found.columns, found.causes)
    restored = layer.partition(layer.new_view(), partition.clock)
    restored.load([(key, row) for key, row in partition.take_encoded() if row is not None])
    restored.advance(START_MS + 3_600_000)


def _signal(at: int, value: float) -> HealthSignal:
    return HealthSignal(asset_id="a", metric="m", value=value, at=at)


def _event(at: int, value: float) -> Event:
    return Event("health-signals", "a", _signal(at, value), at, "health-signals:0:1")


def _message(offset: int, at: int) -> RawMessage:
    return RawMessage(offset, at, b"a", encode(_signal(at, 1.0)))
