"""Live takes samples in whatever batches Kafka gives, replay message by message: neither may show."""

from __future__ import annotations

import random

import numpy as np
import pytest

from schemas.columns import SampleColumns, Series
from streams.kit.layer import Emission
from streams.kit.partition import Partition
from streams.optimisation.engine import OptimisationLayer
from streams.optimisation.settings import OptimisationSettings
from streams.telemetry.engine import TelemetryLayer

T0 = 1_700_000_000_000
NAMES = ("latency_ms", "saturation", "utilization", "throughput_per_s")
SERIES = tuple(Series(asset, metric, "") for asset in ("a", "b", "c") for metric in NAMES)
Layer = OptimisationLayer | TelemetryLayer


def fast() -> OptimisationLayer:
    """Looks every 2 s, so that an idle asset soon rests longer than its samples are apart."""
    return OptimisationLayer(OptimisationSettings(look_every_s=2, performance_refresh_s=3))


def life(chance: random.Random) -> list[tuple[int, list[float]] | int]:
    """Samples of all series at a time, or an idle clock up to a time."""
    at, steps = T0, list[tuple[int, list[float]] | int]()
    for _ in range(120):
        at += chance.choice((1_000, 2_500, 5_000, 5_000, 5_000))
        steps.append((at, [0.5 * chance.uniform(0.95, 1.05) for _ in SERIES]))
        if chance.random() < 0.1:
            at += chance.choice((3_000, 9_000, 40_000))
            steps.append(at)
    return steps


def columns(rows: list[tuple[int, list[float]]]) -> SampleColumns:
    index = np.tile(np.arange(len(SERIES), dtype=np.int32), len(rows))
    at = np.repeat(np.array([a for a, _ in rows], np.int64), len(SERIES))
    return SampleColumns(SERIES, index, at, np.array([v for _, values in rows for v in values]))


def run(layer: Layer, steps: list[tuple[int, list[float]] | int], most: int) -> list[Emission]:
    """At most `most` messages a batch; an idle clock ends a batch, as live."""
    partition: Partition[object, object] = Partition(layer, layer.new_view())  # type: ignore[arg-type]
    out: list[Emission] = []
    waiting: list[tuple[int, list[float]]] = []
    done = 0

    def take() -> None:
        nonlocal done, out
        if waiting:
            start = done
            out += partition.on_columns(columns(waiting), lambda row: f"{start + row // len(SERIES)}")
            done += len(waiting)
            waiting.clear()

    for step in steps:
        if isinstance(step, int):
            take()
            out += partition.advance(step)
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
    assert single or make is TelemetryLayer
    for most in (2, 5, 1_000):
        assert run(make(), steps, most) == single, f"batches of {most}"
