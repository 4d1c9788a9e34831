"""What a budget's scope will spend an hour at the forecast's time ahead, and whether that is over the budget."""

from __future__ import annotations

from schemas.periods import HOUR_MS, parse
from schemas.records import Budget
from streams.kit.world import World
from streams.optimisation.limits import known, spending
from streams.optimisation.settings import OptimisationSettings
from streams.optimisation.situation import Situation
from streams.policy.modes import budgets_of, utc


def foreseen(s: Situation, world: World, settings: OptimisationSettings) -> str | None:
    """The first budget of the asset that its forecast load goes beyond, within which 80 % bounds; None = none does.

    The asset gets the units that the load asks for, all else in the scope is taken to cost what it does now. A cap
    still holds what is added: this only says so beforehand.
    """
    if s.hold is None or not s.unit_cost:
        return None
    low, high = (max(0.0, ahead - 1) * s.units * s.unit_cost for ahead in (s.hold.low, s.hold.high))
    for budget in budgets_of(world, known(s)):
        now, limit = spending(world, budget.scope, s), budget.limit_usd_per_hour
        if now + high > limit:
            sure = "will be" if now + low > limit else "may be"
            return (
                f"budget {budget.scope} of {limit:.2f} USD/h {sure} exceeded within {settings.forecast_horizon_s} s: "
                f"{now:.2f} now, {now + low:.2f} to {now + high:.2f} by the forecast (80 %)"
                f"{_until_its_end(budget, s.at, now + low, now + high)}"
            )
    return None


def _until_its_end(budget: Budget, at: int, low: float, high: float) -> str:
    """What that comes to by the end of the budget's period, if it stays so; nothing of a budget without one."""
    if budget.period is None:
        return ""
    _, end = parse(budget.period, budget.anchor_at).bounds(at)
    hours = (end - at) / HOUR_MS
    return (
        f", which is {low * hours:,.2f} to {high * hours:,.2f} USD from now to the end of its period at {utc(end)}, "
        f"where it has {budget.limit_usd_per_hour * hours:,.2f} on average"
    )
