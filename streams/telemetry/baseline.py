"""What the scales say: their floor, so that a constant or coarse series is not measured against zero; persistence."""

from __future__ import annotations

from streams.kit.kernel import kernel
from streams.telemetry.record import SeriesRecord

CONSTANT_FLOOR = 0.005
"""Share of the value that counts as one deviation while a series has never changed: no other scale is known."""
STEP_FLOOR = 0.5
"""Share of the usual size of the series' own steps."""
TINY = 1e-36
"""Single precision holds it, and its quotients with what is as small."""
FAST = 0.3
"""EW rate per sample of the local level, which a jump is measured from."""
WHITE = 2.0 / (2.0 - FAST)
"""Variance of a jump over that of the residual for white noise."""


@kernel
def persistence(s: SeriesRecord) -> float:
    """Lag-1 autocorrelation of the residuals as an AR(1), 0-0.95, from how much of them a jump is.

    A jump is measured from an EW mean with rate a = 0.3, so J = (jump / residual scale)^2 of an AR(1) with phi is
    (2 / (2 - a)) (1 - phi) / (1 - (1 - a) phi).
    """
    if s.level_scale <= 0.0:
        return 0.0
    share = (s.jump_scale / s.level_scale) ** 2
    if share >= WHITE:
        return 0.0
    return min((WHITE - share) / (WHITE - (1.0 - FAST) * share), 0.95)


@kernel
def floor_of(s: SeriesRecord, scale_floor: float) -> float:
    """Least scale that a deviation is measured against; > 0."""
    floor = STEP_FLOOR * s.change if s.change > 0.0 else CONSTANT_FLOOR * abs(s.level)
    if floor < scale_floor:
        floor = scale_floor
    return floor if floor > TINY else TINY
