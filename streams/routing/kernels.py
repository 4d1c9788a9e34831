"""The compiled loops of a decision: one pass over a column where numpy would take six, each with an array of its own.

The arithmetic is what `scoring` says, in the order of its formula, so the bytes do not depend on who computes it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streams.kit.kernel import kernel

NEUTRAL = 0.5
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


def warm_up() -> None:
    """Compiles: about a second after an installation, read from disk later. Not in the middle of a fetch."""
    one = np.ones(1)
    term(one, one, True, 0.0, True)
    best(one, np.ones(1, np.uint64), np.ones(1, np.bool_))
