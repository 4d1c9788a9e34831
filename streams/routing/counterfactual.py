"""What would have changed a decision: the nearest one, as a sentence with a figure.

For the first loser that is eligible: the least relative change of one of its figures that makes it win, found by
bisection over the same terms (they are monotone). For one that is not eligible: what its filters ask for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.routing import wording
from streams.routing.figures import Figures
from streams.routing.scoring import SCORE_DIGITS, Scores, Weights, floor_of
from streams.routing.settings import TERMS, RoutingSettings

_HALVINGS: Final = 50
_LEAST_LEAD: Final = 2 * 10.0**-SCORE_DIGITS


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
    wins = _wins(case, term)
    if value <= fixed or not wins(fixed):
        return []
    low, high = fixed, value
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if wins(middle) else (low, middle)
    words = _words(term, low - fixed, value - fixed)
    return [((value - low) / (value - fixed), words)] if words is not None else []


def _fixed(case: Rivalry, term: str) -> float:
    """The part of a loss that comes from moving the data: USD per hour, ms."""
    transfer = case.now.transfer
    if not transfer.moves[case.scores.index[case.loser]]:
        return 0.0
    return {"cost": transfer.usd_per_hour, "latency": transfer.seconds * 1000}.get(term, 0.0)


def _wins(case: Rivalry, term: str) -> Callable[[float], bool]:
    """Would the loser win if this loss were `x`? The other terms do not depend on it."""
    losses = case.scores.losses[term]
    others = np.ones(len(losses), np.bool_)
    others[case.loser] = False
    lead = float(case.scores.score[case.winner] - case.scores.score[case.loser])
    share = case.weights.shares[term]
    now_apart = float(case.scores.terms[term][case.winner] - case.scores.terms[term][case.loser])
    rest = lead - share * now_apart
    lowest = float(np.fmin.reduce(losses, where=others, initial=np.inf))
    highest = float(np.fmax.reduce(losses, where=others, initial=-np.inf))
    highest_own = float(np.fmax.reduce(case.scores.own[term], where=others, initial=-np.inf))
    fixed = _fixed(case, term)
    winner = float(losses[case.winner])

    def wins(x: float) -> bool:
        least, most = min(lowest, x), max(highest, x)
        spread = max(most - least, floor_of(term, max(highest_own, x - fixed), case.settings))
        if spread <= 0:
            return rest < -_LEAST_LEAD
        worst = 1.0 - (most - least) / spread if case.settings.unknown_term == "worst" else 0.5
        of_winner = 1.0 - (winner - least) / spread if wording.is_known(winner) else worst
        of_loser = 1.0 - (x - least) / spread
        return rest + share * (of_winner - of_loser) < -_LEAST_LEAD

    return wins


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
