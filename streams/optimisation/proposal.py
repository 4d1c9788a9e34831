"""Which one action would help an asset, if any: from load, promises, forecast. Limits and permissions come after.

             a promise is broken, or load > 1 + tolerance         load < 1 - tolerance, nothing broken
                    |                                                    |
     load high -> scale_out   load low -> rebalance          units >= 2 -> scale_in   else right_size

`standing` is the action that is published now: it is left at half the tolerance at which it is entered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from schemas.records import RecommendedAction
from streams.optimisation.figures import long_percentile
from streams.optimisation.floors import floors_of
from streams.optimisation.metrics import Metric
from streams.optimisation.settings import OptimisationSettings
from streams.optimisation.situation import Forecast, Situation
from streams.optimisation.state import AssetRow

_BUSY = 0.85
"""Load from which slowness is put down to too little capacity rather than to something else."""
DOWN = frozenset({RecommendedAction.SCALE_IN, RecommendedAction.RIGHT_SIZE})


@dataclass(frozen=True, slots=True)
class Proposal:
    """`because` are the metrics that decide; `notes` what was limited; `destination_id` only of a rebalance.

    `budget`: the budget record that limited it or held it back, `id@version`; of several the last. `foreseen`: which
    budget the forecast goes beyond (`spending.py`).
    """

    action: RecommendedAction
    to_units: float
    because: tuple[Metric, ...]
    why: str
    urgent: bool = False
    notes: tuple[str, ...] = ()
    destination_id: str | None = None
    budget: str | None = None
    foreseen: str | None = None

    def bound_by(self, budget: str) -> Proposal:
        return replace(self, budget=budget)

    def limited(self, to_units: float, note: str) -> Proposal:
        return replace(self, to_units=to_units, notes=(*self.notes, note))


def propose(
    s: Situation, row: AssetRow, settings: OptimisationSettings, standing: RecommendedAction | None
) -> Proposal | None:
    slow = s.latency_ratio is not None and s.latency_ratio > 1 + _tolerance_up(settings, standing)
    acts = slow and s.still_slow and not s.settling
    failing = s.burn_rate is not None and s.burn_rate >= settings.burn_rate_act
    return (
        _scale_out(s, row, settings, standing, acts, failing)
        or (_rebalance(s, acts, failing) if acts or failing else None)
        or _shrink(s, row, settings, standing, slow)
    )


def wish(s: Situation) -> float:
    """Units that would put the load at its target, by load alone; what is not known is wished as it is."""
    loads = [load.high for load in s.loads if load.metric is not Metric.QUEUE_DEPTH]
    return s.units * max(loads) if loads else s.units


def _tolerance_up(settings: OptimisationSettings, standing: RecommendedAction | None) -> float:
    return settings.tolerance_up / (2 if standing is RecommendedAction.SCALE_OUT else 1)


def _scale_out(
    s: Situation,
    row: AssetRow,
    settings: OptimisationSettings,
    standing: RecommendedAction | None,
    slow: bool,
    failing: bool,
) -> Proposal | None:
    load = s.load
    now = _stabilised_up(s, row, settings, load.now) if load is not None else None
    ahead = s.lead.middle if s.lead is not None else 0.0
    broken = tuple(
        m for m, yes in ((Metric.LATENCY_MS, slow), (Metric.ERROR_RATE, failing)) if yes
    )  # fmt: skip
    if load is not None and now is not None and max(now, ahead) > 1 + _tolerance_up(settings, standing):
        why = load.said if now >= ahead else f"load is forecast to reach {ahead:.2f} of target{_season(s.lead)}"
        to_units = math.ceil(round(s.units * max(now, ahead), 6))
        return _out(s, settings, to_units, (load.metric, *broken), _also(s, why, slow, failing), urgent=now >= ahead)
    if load is not None and now is not None and broken and now >= _BUSY:
        return _out(s, settings, _one_more(s), (load.metric, *broken), _also(s, load.said, slow, failing), urgent=True)
    if slow and load is None:
        to_units = math.ceil(s.units * min(2.0, s.latency_ratio or 1.0))
        return _out(s, settings, to_units, broken, _also(s, "usage is not reported", slow, failing), urgent=False)
    return None


def _season(ahead: Forecast | None) -> str:
    return f" by its season of {ahead.season_min} min" if ahead is not None and ahead.season_min else ""


def _one_more(s: Situation) -> int:
    return math.floor(s.units) + 1


def _out(
    s: Situation, settings: OptimisationSettings, to_units: int, because: tuple[Metric, ...], why: str, urgent: bool
) -> Proposal:
    proposal = Proposal(RecommendedAction.SCALE_OUT, float(max(to_units, _one_more(s))), because, why, urgent)
    most = math.floor(s.units + max(4.0, s.units * settings.step_up_share))
    if proposal.to_units > most:
        return proposal.limited(float(most), f"this step is held to {most}, {proposal.to_units:g} are asked for")
    return proposal


def _stabilised_up(s: Situation, row: AssetRow, settings: OptimisationSettings, now: float) -> float:
    """The lowest load of the stabilisation window, as HPA does for scaling up; 0 s = the load now."""
    since = s.at - settings.stabilisation_up_s * 1000
    return min([now, *(units / s.units for at, units in row.wishes if at > since)]) if since < s.at else now


def _also(s: Situation, why: str, slow: bool, failing: bool) -> str:
    parts = [why]
    if slow and s.latency_ratio is not None:
        p95 = s.figures[Metric.LATENCY_MS].percentile(0.95)
        parts.append(f"latency p95 {p95:.0f} ms is over its {s.latency_slo_ms:.0f} ms")
    if failing and s.burn_rate is not None:
        errors = s.figures[Metric.ERROR_RATE].recent
        parts.append(f"an error rate of {errors:.3f} burns the error budget {s.burn_rate:.1f} times too fast")
    return ", ".join(parts)


def _rebalance(s: Situation, slow: bool, failing: bool) -> Proposal:
    """A broken promise that more capacity would not mend: the load is low, or only errors tell."""
    because = tuple(m for m, yes in ((Metric.LATENCY_MS, slow), (Metric.ERROR_RATE, failing)) if yes)
    load = s.load
    said = f"{load.said}, so capacity is not the cause" if load is not None else "usage is not reported"
    return Proposal(RecommendedAction.REBALANCE, s.units, because, _also(s, said, slow, failing))


def _shrink(
    s: Situation,
    row: AssetRow,
    settings: OptimisationSettings,
    standing: RecommendedAction | None,
    slow: bool,
) -> Proposal | None:
    high = s.high
    if not s.has_usage or high is None or slow or (s.latency_ratio or 0.0) > 1:
        return None
    if s.burn_rate is not None and s.burn_rate > settings.burn_rate_veto:
        return None
    floors = floors_of(s, row, settings)
    expected = max(floors.window, floors.forecast) / s.units
    wanted = max(floors.window, floors.forecast, floors.stabilisation)
    usage = tuple(m for m in (Metric.SATURATION, Metric.UTILIZATION) if m in s.figures)
    if s.units < 2:
        return _right_size(s, row, settings, usage) if expected < 1 else None
    limit = 1 - settings.tolerance_down / (2 if standing in DOWN else 1)
    return _scale_in(s, wanted, usage) if wanted < limit * s.units else None


def _scale_in(s: Situation, wanted: float, usage: tuple[Metric, ...]) -> Proposal | None:
    to_units = max(1.0, float(math.ceil(round(wanted, 6))))
    if to_units >= s.units:
        return None
    return Proposal(RecommendedAction.SCALE_IN, to_units, usage, _slack(s))


def _right_size(
    s: Situation, row: AssetRow, settings: OptimisationSettings, usage: tuple[Metric, ...]
) -> Proposal | None:
    """VPA: the percentile of the load plus a margin, when the size lies outside p50-p95 or is old enough."""
    margin = 1 + settings.right_size_margin
    targets = {Metric.SATURATION: settings.target_saturation, Metric.UTILIZATION: settings.target_utilization}

    def load(share: float) -> float:
        return max(long_percentile(row.series[m], share, s.figures[m].greatest) / targets[m] for m in usage)

    to_units = max(settings.min_units, round(s.units * load(settings.right_size_percentile) * margin, 3))
    if to_units >= s.units or (s.units - to_units) / s.units < settings.right_size_min_change:
        return None
    outside = not load(0.5) * margin <= 1 <= load(0.95) * margin
    since_at = row.sized_at or min(row.series[m].first_at for m in usage)
    if not outside and s.at - since_at < settings.right_size_every_h * 3_600_000:
        return None
    return Proposal(RecommendedAction.RIGHT_SIZE, to_units, usage, _slack(s))


def _slack(s: Situation) -> str:
    return ", ".join(
        f"{load.metric.name.lower()} p95 is {s.figures[load.metric].percentile(0.95):.2f}"
        for load in s.loads
        if load.metric in (Metric.SATURATION, Metric.UTILIZATION)
    )
