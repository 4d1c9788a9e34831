"""What work there will be a time ahead, with bounds that hold as often as they say, and whether that is worth anything.

    y - trend = b (mean - trend) + c (season - trend) + r

`b` and `c` (0 to 1) are what would have told the past best: decayed least squares, drawn to 0, so that a short past
falls back to the trend; one that swings about without memory goes to its mean, one with a season to that. The bounds
are quantiles of `r` over the root of the load, each moved after each outcome: up by (share) if it was passed, down by
(1 - share) if it was not. Whatever the distribution, in the long run each is passed as often as it says [quantile
tracking: Gibbs and Candes 2021; Angelopoulos, Candes and Tibshirani 2023].
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

from streams.optimisation.state import Outlook, Probe

Bounds = tuple[float, float, float, float, float]
"""(low 95 %, low 80 %, middle, high 80 %, high 95 %) in units of work."""
SHARES = (0.025, 0.1, 0.9, 0.975)
"""Of the outcomes below each bound: the outer two hold 95 %, the inner two 80 %."""
MIN_OUTCOMES = 8
PROBES = 5
"""Forecasts that are waited for at a time."""
_Z = (-1.96, -1.2816, 1.2816, 1.96)
"""Of a normal distribution: where the bounds begin, for which its mean miss is 1 / 1.2533."""
_KEEP = 0.99
"""Weight of the past after each outcome."""
_KEEP_MISSES = 0.95
"""Recent: the last twenty outcomes, four horizons."""
_DRAWN_TO_0 = 4.0
"""Outcomes of the usual miss that the fallback is worth."""
_RATE = 0.15
"""Step of a bound, in usual misses."""


def outcomes(outlook: Outlook, at: int, work: float, ahead_ms: int) -> Outlook:
    """One look's work (units kept busy): what was forecast for now is learned from, unless it is overdue by far."""
    due = [probe for probe in outlook.probes if probe.due_at <= at]
    if not due:
        return outlook
    kept = tuple(probe for probe in outlook.probes if probe.due_at > at)
    for probe in due:
        if at < probe.due_at + ahead_ms:
            outlook = _learned(outlook, probe, work)
    return replace(outlook, probes=kept)


def asked(outlook: Outlook, at: int, work: float, trend: float, season: float, ahead_ms: int) -> Outlook:
    """Makes a forecast that is waited for, unless the last is too new."""
    if outlook.probes and at - (outlook.probes[-1].due_at - ahead_ms) < ahead_ms // PROBES:
        return outlook
    return replace(outlook, probes=(*outlook.probes, Probe(at + ahead_ms, trend, season, work)))


def bounds(outlook: Outlook, trend: float, season: float) -> Bounds | None:
    """None = too few outcomes are known."""
    if outlook.count < MIN_OUTCOMES:
        return None
    middle = _middle(outlook, trend, season)
    scale = _scale(outlook, middle)
    low95, low80, high80, high95 = (max(0.0, middle + q * scale) for q in outlook.bounds)
    return low95, low80, max(0.0, middle), high80, high95


def distrusted(outlook: Outlook) -> str | None:
    """Why nothing is to be made of it; None = it may be used."""
    if outlook.count < MIN_OUTCOMES:
        return f"cold start: {outlook.count} of {MIN_OUTCOMES} outcomes known"
    if outlook.missed > outlook.naive_missed:
        return f"recently missed by {outlook.missed:.2f} units of work, 'as now' by {outlook.naive_missed:.2f}"
    return None


def _middle(outlook: Outlook, trend: float, season: float) -> float:
    mean = outlook.mean if outlook.count else trend
    return trend + outlook.to_mean * (mean - trend) + outlook.to_season * (season - trend)


def _scale(outlook: Outlook, middle: float) -> float:
    """Misses grow with the root of the load, as counts do; a share of the mean where there is hardly any."""
    return sqrt(max(middle, 0.1 * outlook.mean, 1e-6))


def _learned(outlook: Outlook, probe: Probe, work: float) -> Outlook:
    middle = _middle(outlook, probe.trend, probe.season)
    residual = (work - middle) / _scale(outlook, middle)
    count = outlook.count + 1
    size = outlook.size + max(0.02, min(1.0, 2 / count)) * (abs(residual) - outlook.size)
    recent = max(1 - _KEEP_MISSES, 1 / count)
    found = replace(
        outlook,
        count=count,
        mean=outlook.mean + max(1 - _KEEP, 1 / count) * (work - outlook.mean),
        size=size,
        missed=outlook.missed + recent * (abs(work - max(0.0, middle)) - outlook.missed),
        naive_missed=outlook.naive_missed + recent * (abs(work - probe.work) - outlook.naive_missed),
        bounds=_tracked(outlook, residual, count, size),
    )
    return _refitted(found, probe, work)


def _tracked(outlook: Outlook, residual: float, count: int, size: float) -> tuple[float, ...]:
    if count <= MIN_OUTCOMES:
        return tuple(z * 1.2533 * size for z in _Z)
    step = max(_RATE, 2 / sqrt(count)) * size
    moved = (q + step * (share - (residual <= q)) for q, share in zip(outlook.bounds, SHARES, strict=True))
    return tuple(sorted(moved))


def _refitted(outlook: Outlook, probe: Probe, work: float) -> Outlook:
    m, s, y = outlook.mean - probe.trend, probe.season - probe.trend, work - probe.trend
    new = (m * m, m * s, s * s, m * y, s * y, y * y)
    sums = tuple(_KEEP * old + one for old, one in zip(outlook.sums, new, strict=True))
    mm, ms, ss, my, sy, yy = sums
    drawn = _DRAWN_TO_0 * yy / min(outlook.count, 1 / (1 - _KEEP)) + 1e-12
    to_mean, to_season = _solved(mm + drawn, ms, ss + drawn, my, sy)
    return replace(outlook, sums=sums, to_mean=to_mean, to_season=to_season)


def _solved(mm: float, ms: float, ss: float, my: float, sy: float) -> tuple[float, float]:
    """Least squares within 0..1 each, and no more than 1 together."""
    determinant = mm * ss - ms * ms
    b, c = ((my * ss - sy * ms) / determinant, (sy * mm - my * ms) / determinant) if determinant > 0 else (0.0, 0.0)
    if b < 0:
        b, c = 0.0, sy / ss
    elif c < 0:
        b, c = my / mm, 0.0
    b, c = min(max(b, 0.0), 1.0), min(max(c, 0.0), 1.0)
    return (b, c) if b + c <= 1 else (b / (b + c), c / (b + c))
