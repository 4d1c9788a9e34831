"""What a row says at a time: figures per metric over the rolling window. A metric without a sample in it is missing."""

from __future__ import annotations

from dataclasses import dataclass

from streams.optimisation.folding import Grid
from streams.optimisation.metrics import SCALES, UPPER
from streams.optimisation.state import AssetRow, Series

_SCALES = SCALES.tolist()


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric in the window, in its canonical unit. `recent` = mean of the newest buckets (60 s, at least one).

    `coverage` 0-1 is the share of the window between the first and the newest sample; percentiles are upper edges of
    10 % buckets, held to the greatest value seen, from the last half to whole window.
    """

    mean: float
    recent: float
    greatest: float
    samples: int
    coverage: float
    total: int
    counts: dict[int, float]

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
    """Figure per Metric that has a sample in the window that ends at `at` (ms)."""
    found = ((metric, _figure(metric, series, at, grid)) for metric, series in row.series.items())
    return {metric: figure for metric, figure in found if figure is not None}


def long_percentile(series: Series, share: float, greatest: float) -> float:
    """Over the decaying histogram together with the window."""
    counts = dict(series.long)
    for part in (series.previous, series.current):
        for bin_, count in part.items():
            counts[bin_] = counts.get(bin_, 0.0) + count
    highest = UPPER[max(counts)] if counts else 0.0
    return min(_percentile(counts, share), max(greatest, highest if highest < float("inf") else greatest))


def _figure(metric: int, series: Series, at: int, grid: Grid) -> Figure | None:
    newest_epoch = at // grid.bucket_ms
    cells = sorted((e, cell) for e, cell in series.ring.items() if newest_epoch - grid.buckets < e <= newest_epoch)
    samples = sum(cell[0] for _, cell in cells)
    if not samples:
        return None
    scale = _SCALES[metric]
    last = cells[-1][0]
    recent = [cell for e, cell in cells if e > last - max(1, 60_000 // grid.bucket_ms)]
    window_ms = grid.bucket_ms * grid.buckets
    return Figure(
        mean=sum(cell[1] for _, cell in cells) / samples / scale,
        recent=sum(cell[1] for cell in recent) / sum(cell[0] for cell in recent) / scale,
        greatest=max(cell[2] for _, cell in cells),
        samples=samples,
        coverage=min(1.0, max(0.0, (series.newest_at - max(series.first_at, at - window_ms)) / window_ms)),
        total=series.count,
        counts=_window_counts(series, at, grid),
    )


def _window_counts(series: Series, at: int, grid: Grid) -> dict[int, float]:
    behind = at // grid.generation_ms - series.generation
    counts: dict[int, float] = dict(series.current)
    if behind <= 0:
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
