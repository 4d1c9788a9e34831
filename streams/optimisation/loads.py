"""The load of an asset's resources against their targets: usage by the queueing model, throughput, a queue."""

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
