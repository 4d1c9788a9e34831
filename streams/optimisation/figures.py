"""What a row says at a time: figures per metric over the rolling window. A metric without a sample in it is missing."""

from __future__ import annotations

from dataclasses import dataclass

from streams.optimisation.folding import Grid
from streams.optimisation.metrics import SCALES, UPPER
from streams.optimisation.state import AssetRow, Series

_SCALES = SCALES.tolist()
FEW_SAMPLES = 10
"""Fewer in a window say little about its 95th percentile."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric in the window, in its canonical unit. `recent` = mean of the newest buckets (60 s, at least one).

    Percentiles are upper edges of 10 % buckets, held to the greatest value seen, from the last half to whole window.
    `high` is the p95, and where the window holds few samples no less than that of the long histogram. `coverage` 0-1
    is the share of the window between the first and the newest sample.
    `slope_per_s` is that between the newest two buckets, `newest` the mean of the newest, `risen` the lesser of both.
    """

    mean: float
    recent: float
    greatest: float
    samples: int
    coverage: float
    total: int
    counts: dict[int, float]
    high: float
    slope_per_s: float = 0.0
    newest: float = 0.0
    risen: float = 0.0

    def percentile(self, share: float) -> float:
        return min(_percentile(self.counts, share), self.greatest)

    def share_above(self, limit: float) -> float:
        """Share of samples above `limit`, by bucket; (k + 1) / (n + 2), since never seen is not never."""
        n = sum(self.counts.values())
        k = sum(weight for bin_, weight in self.counts.items() if min(UPPER[bin_], self.greatest) > limit)
        return (k + 1) / (n + 2)

    @property
    def spread(self) -> float:
        """(p95 - p05) / p50: 0 = steady."""
        middle = self.percentile(0.5)
        return (self.percentile(0.95) - self.percentile(0.05)) / middle if middle > 0 else 0.0


def figures_at(row: AssetRow, at: int, grid: Grid) -> dict[int, Figure]:
    """Figure per Metric whose newest sample still counts at `at` (ms), over the window that ends with that sample."""
    window_ms = grid.bucket_ms * grid.buckets
    return {
        metric: _figure(metric, series, grid, window_ms)
        for metric, series in row.series.items()
        if series.count and at - series.newest_at < series.fresh_ms(window_ms)
    }


def long_percentile(series: Series, share: float, greatest: float) -> float:
    """Over the decaying histogram together with the window."""
    counts = dict(series.long)
    for part in (series.previous, series.current):
        for bin_, count in part.items():
            counts[bin_] = counts.get(bin_, 0.0) + count
    highest = UPPER[max(counts)] if counts else 0.0
    return min(_percentile(counts, share), max(greatest, highest if highest < float("inf") else greatest))


def _figure(metric: int, series: Series, grid: Grid, window_ms: int) -> Figure:
    cells = sorted(series.ring.items())
    samples = sum(cell[0] for _, cell in cells)
    scale = _SCALES[metric]
    last = cells[-1][0]
    recent = [cell for e, cell in cells if e > last - max(1, 60_000 // grid.bucket_ms)]
    greatest = max(cell[2] for _, cell in cells)
    counts = _window_counts(series)
    high = min(_percentile(counts, 0.95), greatest)
    if samples < FEW_SAMPLES:
        high = max(high, long_percentile(series, 0.95, greatest))
    return Figure(
        mean=sum(cell[1] for _, cell in cells) / samples / scale,
        recent=sum(cell[1] for cell in recent) / sum(cell[0] for cell in recent) / scale,
        greatest=greatest,
        samples=samples,
        coverage=min(1.0, (series.newest_at - series.first_at) / window_ms),
        total=series.count,
        counts=counts,
        high=high,
        slope_per_s=_slope(cells, grid.bucket_ms) / scale,
        newest=cells[-1][1][1] / cells[-1][1][0] / scale,
        risen=min(cell[1] / cell[0] for _, cell in cells[-2:]) / scale,
    )


def _slope(cells: list[tuple[int, tuple[int, int, float]]], bucket_ms: int) -> float:
    if len(cells) < 2:
        return 0.0
    (before, (n, total, _)), (last, (last_n, last_total, _)) = cells[-2:]
    return (last_total / last_n - total / n) / ((last - before) * bucket_ms / 1000)


def _window_counts(series: Series) -> dict[int, float]:
    counts: dict[int, float] = dict(series.current)
    for bin_, count in series.previous.items():
        counts[bin_] = counts.get(bin_, 0.0) + count
    return counts


def _percentile(counts: dict[int, float], share: float) -> float:
    if not counts:
        return 0.0
    wanted = share * sum(counts.values())
    seen = 0.0
    for bin_ in sorted(counts):
        seen += counts[bin_]
        if seen >= wanted:
            return UPPER[bin_]
    return UPPER[max(counts)]
