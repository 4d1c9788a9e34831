"""The compiled loops of a decision: one pass over a column where numpy would take six, each with an array of its own.

The arithmetic is what `scoring` says, in the order of its formula, so the bytes do not depend on who computes it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streams.kit.kernel import kernel

NEUTRAL = 0.5
HALVINGS = 50
LEAST_OUTCOMES = 0.01
"""Fewer outcomes than this, decayed, are forgotten."""
LEAST_LEAD = 2e-9
"""Two of the last digit of a score (`scoring.SCORE_DIGITS`)."""
Floats = npt.NDArray[np.float64]


@kernel
def term(losses: Floats, own: Floats, relative: bool, floor: float, unknown_is_worst: bool) -> Floats:
    """1 - (x - lowest) / max(highest - lowest, floor); `relative`: the floor is a share of the highest of `own`.

    NaN = not known: the worst of the others or 0.5; all 0.5 where nothing is known.
    """
    rows = len(losses)
    out = np.empty(rows, np.float64)
    lowest, highest, highest_own = np.inf, -np.inf, -np.inf
    for i in range(rows):
        if losses[i] < lowest:  # NaN is neither below nor above
            lowest = losses[i]
        if losses[i] > highest:
            highest = losses[i]
        if own[i] > highest_own:
            highest_own = own[i]
    if lowest > highest:
        out[:] = NEUTRAL
        return out
    least = floor * highest_own if relative else floor
    spread = max(highest - lowest, least)
    worst = 1.0 - (highest - lowest) / spread if spread > 0 else 1.0
    unknown = worst if unknown_is_worst else NEUTRAL
    for i in range(rows):
        if np.isnan(losses[i]):
            out[i] = unknown
        else:
            apart = losses[i] - lowest
            out[i] = 1.0 - (apart / spread if spread > 0 else apart)
    return out


@kernel
def best(score: Floats, ties: npt.NDArray[np.uint64], among: npt.NDArray[np.bool_]) -> int:
    """The row with the highest score where `among` is True, of equal ones that with the least hash; -1 = none."""
    found = -1
    for i in range(len(score)):
        if not among[i]:
            continue
        if found < 0 or score[i] > score[found] or (score[i] == score[found] and ties[i] < ties[found]):
            found = i
    return found


@kernel
def others(losses: Floats, own: Floats, but: int) -> tuple[float, float, float]:
    """Lowest and highest loss, and highest of `own`, of all rows but one; NaN does not count."""
    lowest, highest, highest_own = np.inf, -np.inf, -np.inf
    for i in range(len(losses)):
        if i == but:
            continue
        if losses[i] < lowest:
            lowest = losses[i]
        if losses[i] > highest:
            highest = losses[i]
        if own[i] > highest_own:
            highest_own = own[i]
    return lowest, highest, highest_own


@kernel
def _wins(
    x: float, rest: float, share: float, winner: float, lowest: float, highest: float, highest_own: float,
    relative: bool, floor: float, worst_counts: bool, fixed: float,
) -> bool:  # fmt: skip
    """Would the loser win if its loss were `x`?"""
    least, most = min(lowest, x), max(highest, x)
    spread = max(most - least, floor * max(highest_own, x - fixed) if relative else floor)
    if spread <= 0:
        return rest < -LEAST_LEAD
    worst = 1.0 - (most - least) / spread if worst_counts else NEUTRAL
    of_winner = worst if np.isnan(winner) else 1.0 - (winner - least) / spread
    of_loser = 1.0 - (x - least) / spread
    return rest + share * (of_winner - of_loser) < -LEAST_LEAD


@kernel
def least_change(
    rest: float, share: float, winner: float, lowest: float, highest: float, highest_own: float,
    relative: bool, floor: float, worst_counts: bool, fixed: float, now: float,
) -> float:  # fmt: skip
    """The highest loss of the loser with which it wins, between `fixed` and `now`; -1 = none does.

    `rest`: the winner's lead in all other terms together, as a part of the score.
    """
    if now <= fixed or not _wins(
        fixed, rest, share, winner, lowest, highest, highest_own, relative, floor, worst_counts, fixed
    ):
        return -1.0
    low, high = fixed, now
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _wins(middle, rest, share, winner, lowest, highest, highest_own, relative, floor, worst_counts, fixed):
            low = middle
        else:
            high = middle
    return low


@kernel
def kept(age_ms: float, half_life_ms: float) -> float:
    """What is left of a count after that time, 0-1."""
    return float(2.0 ** (-max(age_ms, 0.0) / half_life_ms))


@kernel
def learn(
    failure: Floats, outcomes: Floats, places: npt.NDArray[np.intp], start: int, counts: Floats, at: float,
    half_life_ms: float, prior_outcomes: float,
) -> None:  # fmt: skip
    """Writes the posterior failure share and the outcomes that count where there are any; see `learned`.

    `places[k]`: the slot of row k of `counts`, -1 = not registered. Where nothing is declared the prior is 0.5, and at
    least one outcome has to count.
    """
    for k in range(len(places)):
        i = places[k] - start
        if places[k] < 0 or i < 0 or i >= len(failure):
            continue
        left = kept(at - counts[k, 2], half_life_ms)
        failures = counts[k, 1] * left
        count = counts[k, 0] * left + failures
        declared = not np.isnan(failure[i])
        if count < (LEAST_OUTCOMES if declared else 1.0):
            continue
        prior = failure[i] if declared else NEUTRAL
        failure[i] = (prior_outcomes * prior + failures) / (prior_outcomes + count)
        outcomes[i] = count


def warm_up() -> None:
    """Compiles: about a second after an installation, read from disk later. Not in the middle of a fetch."""
    one = np.ones(1)
    term(one, one, True, 0.0, True)
    least_change(0.0, 1.0, 1.0, *others(one, one, 0), True, 0.1, True, 0.0, 1.0)
    best(one, np.ones(1, np.uint64), np.ones(1, np.bool_))
    kept(1.0, 1.0)
    learn(one.copy(), one.copy(), np.zeros(1, np.intp), 0, np.ones((1, 3)), 1.0, 1.0, 1.0)
