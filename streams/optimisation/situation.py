"""What an asset's figures mean: load against target, promises broken, costs. Missing stays missing (None)."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import RegisteredAsset
from streams.optimisation.figures import Figure
from streams.optimisation.metrics import Metric
from streams.optimisation.settings import OptimisationSettings
from streams.optimisation.staffing import Staffing

_STUCK_LOAD = 2.0
"""A backlog with no throughput at all: the load cannot be told, only that it is too much."""
_FOR_WAITING = 0.5
"""Share of what a promise leaves over; the model's units are not alike and requests do not come evenly."""

_AS_IT_IS = Staffing(1.0)


@dataclass(frozen=True, slots=True)
class Load:
    """Use of one resource over its target: 1 = at target. `high` is at the window's p95.

    `work` = units kept busy by what came in last, and `staffing` how many units work needs: of usage only.
    """

    metric: Metric
    now: float
    high: float
    said: str
    work: float = 0.0
    staffing: Staffing = _AS_IT_IS


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


def loads(
    asset: RegisteredAsset | None, figures: dict[int, Figure], settings: OptimisationSettings, settling: bool = False
) -> list[Load]:
    """While it is `settling` a queue is not read: what was added has not had its time to work it off."""
    targets = (
        (Metric.SATURATION, settings.target_saturation),
        (Metric.UTILIZATION, settings.target_utilization),
    )
    slo_ms, latency = latency_slo_ms(asset, settings), figures.get(Metric.LATENCY_MS)
    kept = latency is not None and (latency.percentile(0.95) <= slo_ms or _queued_longer(figures, slo_ms))
    units = units_of(asset)
    piling = _piling_up(figures, units)
    found = []
    for metric, target in targets:
        if metric in figures:
            pooled = kept and metric is Metric.UTILIZATION
            staffing = _staffing(target, figures, settings, slo_ms, units) if pooled else Staffing(target)
            found.append(_usage(metric, figures[metric], staffing, units, piling))
    return found + _throughput(asset, figures, settings) + ([] if settling else _backlog(figures, settings))


def _queued_longer(figures: dict[int, Figure], slo_ms: float) -> bool:
    """A queue in the window took longer than the promise: slowness is lack of capacity, no sign against the model.

    Else a pool that was too small for a moment is planned as one whose latency cannot be told, for a whole window.
    """
    queue, through = figures.get(Metric.QUEUE_DEPTH), figures.get(Metric.THROUGHPUT_PER_S)
    return queue is not None and through is not None and queue.greatest * 1000 > slo_ms * through.high > 0


def units_of(asset: RegisteredAsset | None) -> float:
    return (asset.capacity_units if asset is not None else None) or 1.0


def latency_slo_ms(asset: RegisteredAsset | None, settings: OptimisationSettings) -> float:
    try:
        own = float(asset.labels.get("slo.latency_ms", "")) if asset is not None else 0.0
    except ValueError:
        own = 0.0
    return own if 0 < own < float("inf") else settings.latency_slo_ms


def _staffing(
    target: float, figures: dict[int, Figure], settings: OptimisationSettings, slo_ms: float, units: float
) -> Staffing:
    """By the queueing model where throughput is known; latency without waiting is the window's 10th percentile."""
    through, use = figures.get(Metric.THROUGHPUT_PER_S), figures[Metric.UTILIZATION]
    spare_ms = _FOR_WAITING * (slo_ms - figures[Metric.LATENCY_MS].percentile(0.1))
    if through is None or through.mean <= 0 or use.mean <= 0 or spare_ms <= 0 or not settings.staffing_units:
        return Staffing(target, settings.staffing_units)
    service_s = use.mean * units / through.mean
    return Staffing(target, settings.staffing_units, service_s, spare_ms / 1000, max(target, settings.fullest))


def _usage(metric: Metric, figure: Figure, staffing: Staffing, units: float, piling: float) -> Load:
    recent = max(0.0, max(figure.recent, figure.risen) * units + piling)
    work = max(0.0, figure.newest * units + piling)
    now, high, newest = (staffing.units(busy) / units for busy in (recent, figure.high * units, work))
    share = recent / units
    aimed = share / now if now > 0 else staffing.target
    said = f"{metric.name.lower()} {share:.2f} against a target of {aimed:.2f}"
    return Load(metric, now, max(high, newest), said, work, staffing)


def _throughput(
    asset: RegisteredAsset | None, figures: dict[int, Figure], settings: OptimisationSettings
) -> list[Load]:
    """Against what the asset's capabilities declare, if they do."""
    declared = max((c.throughput_per_s or 0.0 for c in asset.capabilities), default=0.0) if asset is not None else 0.0
    figure = figures.get(Metric.THROUGHPUT_PER_S)
    if figure is None or declared <= 0:
        return []
    target = declared * settings.target_saturation
    said = f"throughput {figure.recent:.1f}/s of {declared:.1f}/s declared"
    return [Load(Metric.THROUGHPUT_PER_S, figure.recent / target, figure.high / target, said)]


def _piling_up(figures: dict[int, Figure], units: float) -> float:
    """Units' worth of work that comes in beyond what is done: 0 without a queue, below 0 while one is worked off.

    A queue's growth times the service time, which is busy units / throughput [utilisation law]. So a pool that is busy
    with old work is not taken for one that is too small, and one that is full shows how much it does not get to.
    """
    queue, through = figures.get(Metric.QUEUE_DEPTH), figures.get(Metric.THROUGHPUT_PER_S)
    use = figures.get(Metric.UTILIZATION) or figures.get(Metric.SATURATION)
    if queue is None or through is None or use is None or through.mean <= 0:
        return 0.0
    return queue.slope_per_s * use.mean * units / through.mean


def _backlog(figures: dict[int, Figure], settings: OptimisationSettings) -> list[Load]:
    """Little's law: a queue of L at a throughput of X is L / X seconds of work, to be done within queue_drain_s.

    It adds to the load that the throughput stands for; without throughput a queue cannot be read.
    """
    queue, through = figures.get(Metric.QUEUE_DEPTH), figures.get(Metric.THROUGHPUT_PER_S)
    if queue is None or through is None:
        return []
    queued = min(queue.recent, queue.newest)
    if queued < 1:
        return []
    if through.recent <= 0:
        return [Load(Metric.QUEUE_DEPTH, _STUCK_LOAD, _STUCK_LOAD, f"{queued:.0f} queued and nothing done")]
    wait_s = queued / through.recent
    load = 1 + wait_s / settings.queue_drain_s + min(0.0, queue.slope_per_s) / through.recent
    said = f"{queued:.0f} queued at {through.recent:.1f}/s is {wait_s:.0f} s of work"
    return [Load(Metric.QUEUE_DEPTH, load, load, said)] if wait_s >= 1 else []
