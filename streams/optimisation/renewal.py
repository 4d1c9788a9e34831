"""When what stands is said again: what asks for it to be told, and the last moment before its life is over.

said at                        2/3                    renewed         valid_until
  |-----------------------------|-----------------------|----------------|
   another number of units, after the cooldown                 lead
   (more units: at once)        | saving or risk changed |
"""

from __future__ import annotations

from dataclasses import replace

from schemas.records import RecommendedAction
from streams.optimisation.proposal import Proposal
from streams.optimisation.settings import OptimisationSettings
from streams.optimisation.situation import Situation
from streams.optimisation.state import Published

_MOVED_SHARE = 0.1
"""Units, saving: a change of less than this share of what stands is no news; risk: of less than this."""
_CENT_USD_PER_HOUR = 0.01


def renew_at(standing: Published, settings: OptimisationSettings) -> int:
    """When it is said again although nothing changed (ms): on the grid of the looks, if that is finer than its life.

    The lead is a tenth of its life, two looks at least and a third at most: time for the record to reach its readers.
    """
    ttl_ms, every_ms = settings.ttl_s * 1000, settings.look_every_s * 1000
    lead_ms = min(ttl_ms // 3, max(ttl_ms // 10, 2 * every_ms))
    at = standing.valid_until - lead_ms
    return at // every_ms * every_ms if every_ms <= lead_ms else at


def is_news(standing: Published, p: Proposal, s: Situation, settings: OptimisationSettings) -> bool:
    """Whether it is to be said again that `p` is called for, which is the action that stands."""
    if s.at >= renew_at(standing, settings):
        return True
    if p.action is RecommendedAction.SCALE_OUT and p.to_units > standing.to_units * (1 + settings.tolerance_up):
        return True
    since_ms = s.at - standing.at
    if _moved(standing.to_units, p.to_units, 0.01) and since_ms >= settings.cooldown_s * 1000:
        return True
    return since_ms >= settings.ttl_s * 2000 // 3 and _rated_otherwise(standing, p, s)


def steadied(standing: Published | None, p: Proposal) -> Proposal:
    """A scale-out that needs hardly fewer units than stand keeps them: a load that swings is one number, not two."""
    if standing is None or p.action is not RecommendedAction.SCALE_OUT or p.notes:
        return p
    fewer = p.to_units < standing.to_units and not _moved(standing.to_units, p.to_units, 0.01)
    return replace(p, to_units=standing.to_units) if fewer else p


def saving_of(p: Proposal, s: Situation) -> float | None:
    """USD per hour, negative for what costs more; None = the cost is not known."""
    return None if s.unit_cost is None else round((s.units - p.to_units) * s.unit_cost, 6)


def _rated_otherwise(standing: Published, p: Proposal, s: Situation) -> bool:
    if _moved(standing.saving_usd_per_hour, saving_of(p, s) or 0.0, _CENT_USD_PER_HOUR):
        return True
    return abs(s.risk_with(p.to_units) - standing.slo_risk) >= _MOVED_SHARE


def _moved(before: float, after: float, least: float) -> bool:
    return abs(after - before) >= max(_MOVED_SHARE * abs(before), least)
