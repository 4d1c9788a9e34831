"""The Performance snapshot of an asset: when a new one is due, and what is in it."""

from __future__ import annotations

from schemas.records import Performance
from streams.kit.layer import Emission
from streams.optimisation.figures import Figure
from streams.optimisation.metrics import Metric
from streams.optimisation.settings import OptimisationSettings
from streams.optimisation.state import AssetRow

Values = tuple[float | None, ...]


def values_of(figures: dict[int, Figure]) -> Values:
    """p50 and p95 of latency, then the window's mean of each other metric, in the order of Metric."""
    latency = figures.get(Metric.LATENCY_MS)
    quantiles = (latency.percentile(0.5), latency.percentile(0.95)) if latency is not None else (None, None)
    means = (figures[m].mean if m in figures else None for m in Metric if m is not Metric.LATENCY_MS)
    return (*quantiles, *(round(v, 9) if v is not None else None for v in means))


def is_due(row: AssetRow, at: int, now: Values, settings: OptimisationSettings) -> bool:
    """A metric reported for the first time is told at once; else a change, or the period, within the rate."""
    if not row.snapshot_at or any(old is None and new is not None for old, new in zip(row.snapshot, now, strict=True)):
        return True
    age_ms = at - row.snapshot_at
    if age_ms < settings.performance_every_s * 1000:
        return False
    return age_ms >= settings.performance_refresh_s * 1000 or _changed(row.snapshot, now, settings)


def _changed(old: Values, new: Values, settings: OptimisationSettings) -> bool:
    share = settings.performance_change_share
    return any(
        (a is None) != (b is None) or (a is not None and b is not None and abs(a - b) > share * max(abs(a), abs(b)))
        for a, b in zip(old, new, strict=True)
    )


def emission(
    asset_id: str, at: int, now: Values, figures: dict[int, Figure], cause_id: str, settings: OptimisationSettings
) -> Emission:
    p50, p95, errors, saturation, utilization, throughput, cost, queue, energy = now
    record = Performance(
        asset_id=asset_id,
        at=at,
        window_s=settings.window_s,
        samples=sum(figure.samples for figure in figures.values()),
        latency_ms_p50=p50,
        latency_ms_p95=p95,
        error_rate=errors,
        saturation=saturation,
        utilization=utilization,
        throughput_per_s=throughput,
        cost_usd_per_hour=cost,
        queue_depth=queue,
        energy_w=energy,
        cause_id=cause_id,
    )
    return Emission("performance", asset_id, record, at, cause_id)
