"""Live takes samples in whatever batches Kafka gives, replay message by message: neither may show."""

from __future__ import annotations

import random

import numpy as np
import pytest

from schemas.columns import SampleColumns, Series
from streams.kit.layer import Emission
from streams.kit.machine import Machine
from streams.kit.partition import machine_of
from streams.optimisation.engine import OptimisationLayer
from streams.optimisation.settings import OptimisationSettings
from streams.telemetry.engine import TelemetryLayer

T0 = 1_700_000_000_000
NAMES = ("latency_ms", "saturation", "utilization", "throughput_per_s")
SERIES = tuple(Series(asset, metric, "") for asset in ("a", "b", "c") for metric in NAMES)
Layer = OptimisationLayer | TelemetryLayer
Message = tuple[int, dict[int, float]]
"""Time and, by series, its samples."""


def fast() -> OptimisationLayer:
    """Looks every 2 s, so that an idle asset soon rests longer than its samples are apart."""
    return OptimisationLayer(OptimisationSettings(look_every_s=2, performance_refresh_s=3))


def life(chance: random.Random) -> list[Message | int]:
    """Samples at a time, or an idle clock up to a time. Some spike, and an asset falls silent now and then."""
    at, steps, silent = T0, list[Message | int](), ""
    for _ in range(150):
        at += chance.choice((1_000, 2_500, 5_000, 5_000, 5_000))
        if chance.random() < 0.1:
            silent = chance.choice(("", "a", "c"))
        value = {
            i: 0.5 * chance.uniform(0.95, 1.05) * (6 if chance.random() < 0.01 else 1)
            for i, series in enumerate(SERIES)
            if series.asset_id != silent
        }
        steps.append((at, value))
        if chance.random() < 0.1:
            at += chance.choice((3_000, 9_000, 40_000))
            steps.append(at)
    return steps


def columns(messages: list[Message]) -> tuple[SampleColumns, list[str]]:
    rows = [(at, i, value) for at, values in messages for i, value in values.items()]
    at, index, value = zip(*rows, strict=True)
    found = SampleColumns(SERIES, np.array(index, np.int32), np.array(at, np.int64), np.array(value, np.float64))
    return found, [f"{t}#{i}" for t, i, _ in rows]


def run(layer: Layer, steps: list[Message | int], most: int) -> list[Emission]:
    """At most `most` messages a batch; an idle clock ends a batch, as live."""
    partition: Machine[object, object] = machine_of(layer, layer.new_view())  # type: ignore[arg-type]
    out: list[Emission] = []
    waiting: list[Message] = []

    def take() -> None:
        if waiting:
            found, causes = columns(waiting)
            out.extend(partition.on_columns(found, causes.__getitem__))
            waiting.clear()

    for step in steps:
        if isinstance(step, int):
            take()
            out.extend(partition.advance(step))
            continue
        waiting.append(step)
        if len(waiting) >= most:
            take()
    take()
    return out


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", [fast, OptimisationLayer, TelemetryLayer])
def test_batches_do_not_show(make: type[Layer], seed: int) -> None:
    steps = life(random.Random(seed))
    single = run(make(), steps, 1)
    assert single
    for most in (2, 5, 1_000):
        assert run(make(), steps, most) == single, f"batches of {most}"
