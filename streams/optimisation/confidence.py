"""Confidence from evidence (O4): how many samples, how steady, how much of the window; independent signs add up."""

from __future__ import annotations

from collections.abc import Iterable

from streams.optimisation.figures import Figure
from streams.optimisation.metrics import Metric
from streams.optimisation.situation import Situation

_HALF_AT_SAMPLES = 5
"""So many samples are worth half; n / (n + 5)."""
_COVERAGE_WEIGHT = 0.5
"""How much of the confidence hangs on the samples being spread over the window rather than in one burst."""


def confidence_of(s: Situation, because: Iterable[Metric]) -> float:
    """0-1: 1 - product of (1 - confidence of each metric that decides), since each alone could be a fluke."""
    doubt = 1.0
    for metric in because:
        figure = s.figures.get(metric)
        if figure is not None:
            doubt *= 1 - of_figure(figure, _limit(s, metric))
    return round(1 - doubt, 4)


def _limit(s: Situation, metric: Metric) -> float | None:
    return s.latency_slo_ms if metric is Metric.LATENCY_MS else None


def of_figure(figure: Figure, limit: float | None = None) -> float:
    """`limit`: what is decided is that the metric is over it; then its share above counts, else how steady it is."""
    samples = max(figure.samples, min(figure.total, 10 * figure.samples))
    weight = samples / (samples + _HALF_AT_SAMPLES)
    clear = 1 / (1 + figure.spread) if limit is None else figure.share_above(limit)
    return weight * clear * (1 - _COVERAGE_WEIGHT + _COVERAGE_WEIGHT * figure.coverage)
