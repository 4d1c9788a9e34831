"""A damped Holt forecast of the load, with an interval. It may raise the floor, never lower it [Mimir].

Holt 1957, damped by Gardner and McKenzie 1985. The interval comes from the errors that the forecasts themselves made:
of one step, grown with the root of the horizon, or of the whole horizon where those were worse. Nothing is said before
enough looks are known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, sqrt

from streams.optimisation.state import Trend

_LEVEL_WEIGHT, _SLOPE_WEIGHT, _ERROR_WEIGHT, _DAMPING = 0.4, 0.2, 0.1, 0.98
_PROBE_WEIGHT = 0.3
_JUMP_WEIGHT = 1.0
"""Errors are learned at once and forgotten slowly: after a jump a trend is not to be trusted for a while."""
_Z = 1.2816
"""80 % of a normal distribution lie within."""
MIN_LOOKS = 12


@dataclass(frozen=True, slots=True)
class Forecast:
    """The load (1 = at target) at the horizon: `low` and `high` bound 80 %."""

    low: float
    middle: float
    high: float


def observe(trend: Trend, load: float, steps: float) -> Trend:
    """One look's load; looks are equally far apart. `steps`: how many looks ahead forecasts are asked for."""
    if trend.looks == 0:
        return Trend(level=load, looks=1)
    expected = trend.level + _DAMPING * trend.slope
    error = load - expected
    rises = error * error > trend.squared_error
    weight = 1.0 if trend.looks == 1 else _JUMP_WEIGHT if rises else _ERROR_WEIGHT
    squared = trend.squared_error + weight * (error * error - trend.squared_error)
    moved = replace(
        trend,
        level=expected + _LEVEL_WEIGHT * error,
        slope=_DAMPING * trend.slope + _LEVEL_WEIGHT * _SLOPE_WEIGHT * error,
        squared_error=squared,
        looks=trend.looks + 1,
    )
    return _probed(moved, load, steps)


def _probed(trend: Trend, load: float, steps: float) -> Trend:
    """Compares the forecast that is due with what came, and makes the next one; one is under way at a time."""
    if trend.looks < max(trend.probe_due, MIN_LOOKS) or steps <= 0:
        return trend
    missed = (load - trend.probe) ** 2 if trend.probe_due else 0.0
    known = trend.probe_squared_error
    kept = known + (_PROBE_WEIGHT if known else 1.0) * (missed - known)
    return replace(trend, probe=_middle(trend, steps), probe_due=trend.looks + ceil(steps), probe_squared_error=kept)


def _middle(trend: Trend, steps: float) -> float:
    reach: float = _DAMPING * (1 - _DAMPING**steps) / (1 - _DAMPING)
    return max(0.0, trend.level + trend.slope * reach)


def forecast(trend: Trend, steps: float) -> Forecast | None:
    """`steps` looks ahead; None = too few looks, or no horizon."""
    if trend.looks < MIN_LOOKS or steps <= 0:
        return None
    middle = _middle(trend, steps)
    from_steps = trend.squared_error * (1 + steps * _LEVEL_WEIGHT**2)
    width = _Z * sqrt(max(from_steps, trend.probe_squared_error))
    return Forecast(max(0.0, middle - width), middle, middle + width)
