"""After a warm-up nothing is compiled any more: the first fetch does not stop the event loop."""

from __future__ import annotations

import pytest

from schemas.codec import encode
from schemas.records import HealthSignal, HealthSignalBatch
from streams.atleastonce.batch import RawMessage
from streams.kit.partition import machine_of
from streams.runtime import signal_scan
from streams.runtime.ingest import Rules
from streams.runtime.samples import Gatherer
from streams.runtime.warm_up import warm_up
from streams.telemetry import block
from streams.telemetry.engine import TelemetryLayer

RULES = Rules("health-signals", (HealthSignal, HealthSignalBatch), 1, 60_000, 1_000_000)
KERNELS = {"scan": signal_scan._scan, "names": signal_scan._bucket, "block": block.run}


@pytest.mark.parametrize("name", KERNELS)
def test_the_first_fetch_finds_everything_compiled(name: str) -> None:
    layer = TelemetryLayer()
    warm_up(layer, RULES)
    before = len(KERNELS[name].signatures)  # type: ignore[attr-defined]
    assert before > 0
    gatherer, machine = Gatherer(RULES, 0), machine_of(layer, layer.new_view(), 0)
    for _ in range(2):
        signal = HealthSignal(asset_id="a", metric="m", value=1.0, at=5)
        found = gatherer.gather([RawMessage(0, 5, b"k", encode(signal))])
        assert found.columns is not None
        machine.on_columns(found.columns, found.causes)
    assert len(KERNELS[name].signatures) == before  # type: ignore[attr-defined]
