"""What load to expect at two times ahead: a damped trend, the asset's own season and mean, and bounds from own misses.

`lead`: until what is added now helps (`settle_s`); `hold`: until what is cut now could be missed
(`forecast_horizon_s`). Forecasts are made of the work (units kept busy), which does not depend on how many units there
are. They may raise the floor, never lower it [Mimir]. Trend: Holt 1957, damped by Gardner and McKenzie 1985.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from streams.optimisation import outlook
from streams.optimisation.history import SLOT_MS, remember, season_ahead
from streams.optimisation.loads import Load
from streams.optimisation.settings import OptimisationSettings
from streams.optimisation.situation import Forecast, Situation
from streams.optimisation.state import AssetRow, Outlook, Trend

_LEVEL_WEIGHT, _SLOPE_WEIGHT, _DAMPING = 0.4, 0.2, 0.98


def observe(trend: Trend, work: float) -> Trend:
    """One look's work; looks are equally far apart."""
    if trend.looks == 0:
        return Trend(level=work, looks=1)
    expected = trend.level + _DAMPING * trend.slope
    error = work - expected
    slope = _DAMPING * trend.slope + _LEVEL_WEIGHT * _SLOPE_WEIGHT * error
    return Trend(expected + _LEVEL_WEIGHT * error, slope, trend.looks + 1)


def trended(trend: Trend, steps: float) -> float:
    reach: float = _DAMPING * (1 - _DAMPING**steps) / (1 - _DAMPING)
    return max(0.0, trend.level + trend.slope * reach)


@dataclass(frozen=True, slots=True)
class Forecaster:
    settings: OptimisationSettings

    def learn(self, row: AssetRow, work: float, at: int) -> None:
        """One look's work at `at` ms; changes `row` in place."""
        if self.settings.forecast_horizon_s <= 0:
            return
        row.past = remember(row.past, at, work)
        row.trend = observe(row.trend, work)
        row.lead = self._checked(row, row.lead, work, at, self.lead_ms)
        row.hold = self._checked(row, row.hold, work, at, self.hold_ms)

    def expecting(self, s: Situation, row: AssetRow) -> Situation:
        """The situation with what is to be expected, or why that is not known."""
        used = s.used
        if used is None or self.settings.forecast_horizon_s <= 0:
            return s
        lead = self._load_at(s, used, row, row.lead, self.lead_ms) if not s.settling else None
        said = outlook.distrusted(row.hold)
        return replace(s, lead=lead, hold=self._load_at(s, used, row, row.hold, self.hold_ms), no_forecast=said)

    @property
    def lead_ms(self) -> int:
        return 1000 * min(self.settings.settle_s or self.settings.look_every_s, self.settings.forecast_horizon_s)

    @property
    def hold_ms(self) -> int:
        return 1000 * self.settings.forecast_horizon_s

    def _checked(self, row: AssetRow, known: Outlook, work: float, at: int, ahead_ms: int) -> Outlook:
        known = outlook.outcomes(known, at, work, ahead_ms)
        trend, season = self._told(row, at, ahead_ms)
        return outlook.asked(known, at, work, trend, season, ahead_ms)

    def _told(self, row: AssetRow, at: int, ahead_ms: int) -> tuple[float, float]:
        """Work by the trend and by the season; without a season by the trend twice."""
        longest = max((s.newest_at - s.first_at) / 1000 / max(1, s.count - 1) for s in row.series.values())
        trend = trended(row.trend, ahead_ms / 1000 / max(self.settings.look_every_s, longest))
        season = season_ahead(row.past, at + ahead_ms)
        return trend, trend if season is None else season

    def work_ahead(self, row: AssetRow, known: Outlook, at: int, ahead_ms: int) -> outlook.Bounds | None:
        """Work (units kept busy) `ahead_ms` after `at`; None = cold start."""
        return outlook.bounds(known, *self._told(row, at, ahead_ms))

    def _load_at(self, s: Situation, used: Load, row: AssetRow, known: Outlook, ahead_ms: int) -> Forecast | None:
        found = self.work_ahead(row, known, s.at, ahead_ms)
        if found is None or outlook.distrusted(known) is not None:
            return None
        low95, low, middle, high, high95 = (used.staffing.units(work) / s.units for work in found)
        return Forecast(low95, low, middle, high, high95, row.past.period * SLOT_MS // 60_000)
