"""The product's own optimiser as a controller: the layer in its loop, told what the metrics say, obeyed at once."""

from __future__ import annotations

from schemas.records import HealthSignal, Recommendation, RecommendedAction, RegisteredAsset
from streams.kit.layer import Emission, Event
from streams.kit.loop import Loop
from streams.optimisation.engine import OptimisationLayer
from streams.optimisation.floors import Floors
from streams.optimisation.settings import OptimisationSettings
from topology.bench.optimisation.model import SLO_MS, USD_PER_UNIT_H, Seen

ASSET = "pool"
_SCALING = (RecommendedAction.SCALE_OUT, RecommendedAction.SCALE_IN)


class Ours:
    """`published` counts the records on `recommendations`; the settings are the product's defaults but `settings`."""

    def __init__(self, start_ms: int, units: int, settings: OptimisationSettings | None = None) -> None:
        self._start_ms = start_ms
        self._layer = OptimisationLayer(settings)
        self._loop = Loop({"optimisation": self._layer})
        self._units = 0
        self.published = 0
        self.standing: Recommendation | None = None
        self._resize(units, start_ms)

    def want(self, seen: Seen) -> int:
        at = self._start_ms + seen.at_s * 1000
        units = len(seen.pods)
        if units != self._units:
            self._resize(units, at)
        # Of the ready replicas, as a metrics server says it; the pool's use is that of all that are paid for.
        share = seen.ready / units
        for metric, value in (
            ("utilization", seen.utilization * share),
            ("latency_ms", seen.latency_ms),
            ("throughput_per_s", seen.served_per_s),
            ("queue_depth", seen.queue),
            ("cost_usd_per_hour", units * USD_PER_UNIT_H),
        ):
            signal = HealthSignal(asset_id=ASSET, metric=metric, value=value, at=at)
            self._hear(self._loop.feed(Event("health-signals", ASSET, signal, at, f"{metric}:{at}")))
        found = self.standing
        return int(found.to_units) if found is not None and found.action in _SCALING else units

    def floors(self, at_ms: int) -> Floors:
        """What the layer would not cut below at `at_ms`."""
        row = self._loop.partitions["optimisation"].rows[ASSET]
        return self._layer.optimizer.floors(ASSET, row, self._asset, at_ms)

    def _resize(self, units: int, at: int) -> None:
        self._units = units
        self._asset = RegisteredAsset(
            id=ASSET,
            capacity_units=float(units),
            cost_usd_per_hour=units * USD_PER_UNIT_H,
            labels={"slo.latency_ms": f"{SLO_MS:g}"},
        )
        self._hear(self._loop.feed(Event("assets", ASSET, self._asset, at, f"asset:{at}")))

    def _hear(self, told: object) -> None:
        for emission in told:  # type: ignore[attr-defined]
            self._take(emission)

    def _take(self, emission: Emission) -> None:
        if isinstance(emission.value, Recommendation):
            self.published += 1
            self.standing = None if emission.value.withdrawn else emission.value
