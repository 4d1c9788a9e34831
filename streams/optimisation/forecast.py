"""A damped Holt forecast of the load, with an interval. It may raise the floor, never lower it [Mimir].

Holt 1957, damped by Gardner and McKenzie 1985. The interval grows with the root of the horizon from the one-step
errors that the forecast itself made; nothing is said before enough of them are known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from streams.optimisation.state import Trend

_LEVEL_WEIGHT, _SLOPE_WEIGHT, _ERROR_WEIGHT, _DAMPING = 0.3, 0.1, 0.1, 0.95
_Z = 1.2816
"""80 % of a normal distribution lie within."""
MIN_LOOKS = 12


@dataclass(frozen=True, slots=True)
class Forecast:
    """The load (1 = at target) at the horizon: `low` and `high` bound 80 %."""

    low: float
    middle: float
    high: float


def observe(trend: Trend, load: float) -> Trend:
    """One look's load; looks are equally far apart."""
    if trend.looks == 0:
        return Trend(level=load, looks=1)
    expected = trend.level + _DAMPING * trend.slope
    error = load - expected
    level = expected + _LEVEL_WEIGHT * error
    slope = _DAMPING * trend.slope + _LEVEL_WEIGHT * _SLOPE_WEIGHT * error
    squared = trend.squared_error + (_ERROR_WEIGHT if trend.looks > 1 else 1.0) * (error * error - trend.squared_error)
    return Trend(level, slope, squared, trend.looks + 1)


def forecast(trend: Trend, steps: float) -> Forecast | None:
    """`steps` looks ahead; None = too few looks, or no horizon."""
    if trend.looks < MIN_LOOKS or steps <= 0:
        return None
    reach = _DAMPING * (1 - _DAMPING**steps) / (1 - _DAMPING)
    middle = max(0.0, trend.level + trend.slope * reach)
    width = _Z * math.sqrt(trend.squared_error * (1 + steps * _LEVEL_WEIGHT**2))
    return Forecast(max(0.0, middle - width), middle, middle + width)
