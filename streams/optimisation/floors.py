"""What a cut does not go below: what came in last, the window, earlier wishes, the forecast. The highest binds."""

from __future__ import annotations

from dataclasses import dataclass

from streams.optimisation.settings import OptimisationSettings
from streams.optimisation.situation import Situation
from streams.optimisation.state import AssetRow


@dataclass(frozen=True, slots=True)
class Floors:
    """Units, not whole, that each rule asks for: `newest` the work that came in last, `window` its p95 in the window,
    `stabilisation` the highest wish of `stabilisation_down_s`, `forecast` the upper 80 % bounds; 0 = not known."""

    newest: float
    window: float
    stabilisation: float
    forecast: float


def floors_of(s: Situation, row: AssetRow, settings: OptimisationSettings) -> Floors:
    since = s.at - settings.stabilisation_down_s * 1000
    used = s.used
    return Floors(
        newest=used.staffing.units(used.work) if used is not None else 0.0,
        window=s.units * (s.high or 0.0),
        stabilisation=max((units for at, units in row.wishes if at > since), default=0.0),
        forecast=s.units * max((ahead.high for ahead in (s.lead, s.hold) if ahead is not None), default=0.0),
    )
