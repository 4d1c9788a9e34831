"""What would have changed a decision: the nearest one, as a sentence with a figure.

For the first loser that is eligible: the least relative change of one of its figures that makes it win, found by
bisection over the same terms (they are monotone). For one that is not eligible: what its filters ask for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from streams.routing import kernels, wording
from streams.routing.figures import Figures
from streams.routing.scoring import Scores, Weights, floor_of, relative_floor
from streams.routing.settings import TERMS, RoutingSettings


@dataclass(frozen=True, slots=True)
class Rivalry:
    """The decided case: `winner` and `loser` are rows of the scores."""

    scores: Scores
    now: Figures
    weights: Weights
    settings: RoutingSettings
    winner: int
    loser: int


def winning_change(case: Rivalry) -> str | None:
    """E.g. "below 11.20 USD/h (now 18.00 USD/h)"; None when no single figure would do."""
    changes = [change for term in TERMS if case.weights.shares[term] > 0 for change in _change(case, term)]
    return min(changes, key=lambda c: c[0])[1] if changes else None


def _change(case: Rivalry, term: str) -> list[tuple[float, str]]:
    """[(relative change, words)] for this term, or []. What cannot change (moving the data) stays as it is."""
    value = float(case.scores.losses[term][case.loser])
    if not wording.is_known(value):
        return []
    fixed = _fixed(case, term)
    needed = kernels.least_change(*_rivals(case, term), fixed, value)
    if needed < 0:
        return []
    words = _words(term, needed - fixed, value - fixed)
    return [((value - needed) / (value - fixed), words)] if words is not None else []


def _fixed(case: Rivalry, term: str) -> float:
    """The part of a loss that comes from moving the data: USD per hour, ms."""
    transfer = case.now.transfer
    if not transfer.moves[case.scores.index[case.loser]]:
        return 0.0
    return {"cost": transfer.usd_per_hour, "latency": transfer.seconds * 1000}.get(term, 0.0)


def _rivals(case: Rivalry, term: str) -> tuple[float, float, float, float, float, float, bool, float, bool]:
    """What `kernels.least_change` needs to know of this term; the other terms do not depend on it."""
    losses = case.scores.losses[term]
    lead = float(case.scores.score[case.winner] - case.scores.score[case.loser])
    share = case.weights.shares[term]
    now_apart = float(case.scores.terms[term][case.winner] - case.scores.terms[term][case.loser])
    lowest, highest, highest_own = kernels.others(losses, case.scores.own[term], case.loser)
    relative = relative_floor(term)
    floor = case.settings.spread_floor_share if relative else floor_of(term, 0.0, case.settings)
    worst = case.settings.unknown_term == "worst"
    rest, winner = lead - share * now_apart, float(losses[case.winner])
    return rest, share, winner, lowest, highest, highest_own, relative, floor, worst


def _words(term: str, needed: float, now: float) -> str | None:
    """Rounded towards the change, so that what is printed would win; None if that leaves nothing to print."""
    if term == "reliability":
        digits = max(3, 2 - math.floor(math.log10(max(needed, 1e-9))))
        return f"above reliability {math.ceil((1 - needed) * 10**digits) / 10**digits:.{digits}f} (now {1 - now:.5g})"
    step, unit = {"cost": (0.01, "USD/h"), "latency": (1.0, "ms"), "carbon": (1.0, "gCO2eq/kWh")}.get(
        term, (0.01, "saturation")
    )
    if needed < step:
        step = 10.0 ** math.floor(math.log10(needed)) if needed > 1e-9 else 0.0
    if step == 0.0:
        return None
    digits = max(0, -math.floor(math.log10(step) + 0.5))
    rounded = math.floor(needed / step) * step
    return f"below {rounded:,.{digits}f} {unit} (now {now:,.{digits}f})"
