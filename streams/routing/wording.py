"""Figures in words: how each kind of value is written in reasons, always with its unit."""

from __future__ import annotations

import math
from collections.abc import Callable

Say = Callable[[float], str]


def usd_per_hour(value: float) -> str:
    return f"{value:,.2f} USD/h"


def milliseconds(value: float) -> str:
    return f"{value:,.0f} ms" if abs(value) >= 10 else f"{value:.3g} ms"


def reliability(failure_share: float) -> str:
    return f"reliability {1.0 - failure_share:.5g}"


def carbon(value: float) -> str:
    return f"{value:,.0f} gCO2eq/kWh"


def saturation(value: float) -> str:
    return f"saturation {value:.2f}"


def seconds(value: float) -> str:
    return f"{value:,.1f} s" if value < 100 else f"{value:,.0f} s"


def listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names)


def is_known(value: float) -> bool:
    return not math.isnan(value)
