"""What an asset's figures mean: load against target, promises broken, costs. Missing stays missing (None)."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import RegisteredAsset
from streams.optimisation.figures import Figure
from streams.optimisation.loads import Load, latency_slo_ms, loads, units_of
from streams.optimisation.metrics import Metric
from streams.optimisation.settings import OptimisationSettings


@dataclass(frozen=True, slots=True)
class Forecast:
    """The load (1 = at target) at a time ahead: `low` and `high` bound 80 %, `low95` and `high95` 95 %.

    `season_min`: minutes of the period that was found, 0 = none.
    """

    low95: float
    low: float
    middle: float
    high: float
    high95: float
    season_min: int


@dataclass(frozen=True, slots=True)
class Situation:
    """One asset at one time. `units` > 0; costs in USD per hour, `unit_cost` with energy, None = not known."""

    asset_id: str
    asset: RegisteredAsset | None
    at: int
    figures: dict[int, Figure]
    units: float
    loads: tuple[Load, ...]
    latency_slo_ms: float
    latency_ratio: float | None
    burn_rate: float | None
    burn_rate_act: float
    cost: float | None
    energy_cost: float
    settling: bool = False
    lead: Forecast | None = None
    hold: Forecast | None = None
    no_forecast: str | None = None

    @property
    def used(self) -> Load | None:
        """The usage that binds now: what forecasts are made of."""
        usage = (load for load in self.loads if load.metric in (Metric.SATURATION, Metric.UTILIZATION))
        return max(usage, key=lambda load: load.now, default=None)

    @property
    def load(self) -> Load | None:
        """The resource that binds now."""
        return max(self.loads, key=lambda load: load.now, default=None)

    @property
    def high(self) -> float | None:
        return max((load.high for load in self.loads), default=None)

    @property
    def has_usage(self) -> bool:
        """Saturation or utilisation is known: without either nothing may be taken away (O3)."""
        return Metric.SATURATION in self.figures or Metric.UTILIZATION in self.figures

    @property
    def still_slow(self) -> bool:
        """Slow now and not only earlier in the window."""
        return Metric.LATENCY_MS in self.figures and (
            min(self.figures[Metric.LATENCY_MS].recent, self.figures[Metric.LATENCY_MS].newest) > self.latency_slo_ms
        )

    @property
    def unit_cost(self) -> float | None:
        return None if self.cost is None else (self.cost + self.energy_cost) / self.units

    def risk_with(self, units: float) -> float:
        """0-1: the share of the window in which the promises would have been broken with so many units instead.

        Usage, slow answers and errors are taken to scale with load per unit; errors that call for action count as 1.
        """
        share = self.units / units
        parts = [
            self.figures[m].share_above(1 / share) for m in (Metric.SATURATION, Metric.UTILIZATION) if m in self.figures
        ]
        if Metric.LATENCY_MS in self.figures:
            parts.append(min(1.0, self.figures[Metric.LATENCY_MS].share_above(self.latency_slo_ms) * share))
        if self.burn_rate is not None:
            parts.append(min(1.0, self.burn_rate / self.burn_rate_act * share))
        return min(1.0, max(parts, default=0.5))


def situation(
    asset_id: str,
    asset: RegisteredAsset | None,
    at: int,
    figures: dict[int, Figure],
    settings: OptimisationSettings,
    units_at: int = 0,
) -> Situation:
    settling = units_at > 0 and at - units_at < settings.settle_s * 1000
    slo_ms = latency_slo_ms(asset, settings)
    latency, errors, cost = (figures.get(m) for m in (Metric.LATENCY_MS, Metric.ERROR_RATE, Metric.COST_USD_PER_HOUR))
    energy = figures.get(Metric.ENERGY_W)
    return Situation(
        asset_id=asset_id,
        asset=asset,
        at=at,
        figures=figures,
        units=units_of(asset),
        loads=tuple(loads(asset, figures, settings, settling)),
        latency_slo_ms=slo_ms,
        latency_ratio=latency.percentile(0.95) / slo_ms if latency is not None else None,
        burn_rate=errors.recent / settings.error_slo_share if errors is not None else None,
        burn_rate_act=settings.burn_rate_act,
        cost=cost.recent if cost is not None else asset.cost_usd_per_hour if asset is not None else None,
        energy_cost=energy.recent / 1000 * settings.energy_usd_per_kwh if energy is not None else 0.0,
        settling=settling,
    )
