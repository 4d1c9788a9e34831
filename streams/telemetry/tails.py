"""Tail probability of a statistic against its own past: an exponential tail above a running 98 % quantile.

-log10 P(S > s) = 1.70 + (s - q) / e * log10(e) for s > q; below q a straight line, so that scores stay ordered.
The peaks-over-threshold idea of Siffer et al. 2017 (SPOT) with the shape fixed at 0, which 20 excesses can bear.
"""

from __future__ import annotations

import math

from streams.kit.kernel import kernel

SHARE = 0.98
AT_QUANTILE = -math.log10(1.0 - SHARE)
LOG10_E = 0.4342944819032518
PRIOR_Q, PRIOR_E = 2.9, 0.6
"""Of |z| in mean absolute deviations of a Gaussian: quantile, mean excess above it."""
PRIOR_JUMP_E = 0.7
"""Of the jumps of a series that has moved: until its own tail is known it may be a heavier one."""
PRIOR_PAIR_Q = 1.8
"""Of the smaller of two jumps in a row to one side, white noise: 1.5."""
PRIOR_EXCESSES = 12.0
LARGEST = 300.0
"""-log10 of the smallest double; there is no more to say."""
HEAVY_FROM, HEAVY_GAIN, HEAVIEST = 0.20, 1.7, 0.35
"""Shape of the tail by mean excess / quantile: a Gaussian has .14, Laplace .24, Student's t4 .33, t3 .45."""
CLIP = 3.0
"""An excess counts for at most this many mean excesses, so that an anomaly does not teach the tail to expect it."""

LEANS = 10_000
LEAN_RATE = 0.08
"""Weight of the newest excess."""
LEAST_SHARE = 0.02
"""Of a side on which a series has no excesses."""


@kernel
def side_score(p: float, upwards: bool, lean: int) -> float:
    """What the side of an excess adds to `p`, its -log10 p among excesses of both sides; 0 at equal shares."""
    if p <= AT_QUANTILE:
        return 0.0
    share = 0.5 + 0.5 * lean / LEANS if upwards else 0.5 - 0.5 * lean / LEANS
    return -math.log10(2.0 * (share if share > LEAST_SHARE else LEAST_SHARE))


@kernel
def sided_score(s: float, q: float, e: float, upwards: bool, lean: int) -> float:
    """`shaped_score`, and what the side adds to it."""
    p = shaped_score(s, q, e)
    return p + side_score(p, upwards, lean)


@kernel
def leaned(lean: int, upwards: bool) -> int:
    """`lean` after one more excess."""
    return lean + int(LEAN_RATE * ((LEANS if upwards else -LEANS) - lean))


@kernel
def score(s: float, q: float, e: float) -> float:
    """-log10 of the tail probability; >= 0 for s >= 0."""
    if s > q:
        p = AT_QUANTILE + (s - q) / e * LOG10_E
        return p if p < LARGEST else LARGEST
    return AT_QUANTILE * s / q if s > 0.0 else 0.0


@kernel
def shaped_score(s: float, q: float, e: float) -> float:
    """As `score`, with a generalised Pareto tail where the mean excess says that single samples are heavy-tailed."""
    shape = HEAVY_GAIN * (e / q - HEAVY_FROM)
    if s <= q or shape < 0.01:
        return score(s, q, e)
    if shape > HEAVIEST:
        shape = HEAVIEST
    p = AT_QUANTILE + math.log1p(shape * (s - q) / (e * (1.0 - shape))) / shape * LOG10_E
    return p if p < LARGEST else LARGEST


@kernel
def learned(s: float, q: float, e: float, samples: int, pace: float) -> tuple[float, float]:
    """Quantile and mean excess after one more statistic; `pace` is 1 where successive statistics are independent."""
    step = pace * (0.008 + 1.0 / (samples + 30.0))
    if s <= q:
        q -= step * (1.0 - SHARE) * q
        return (q if q > 0.5 else 0.5), e
    excess = s - q
    if excess > CLIP * e:
        excess = CLIP * e
    rate = pace / (PRIOR_EXCESSES + (1.0 - SHARE) * samples)
    e += (rate if rate > 0.02 * pace else 0.02 * pace) * (excess - e)
    return q + step * SHARE * (q if q > 1.0 else 1.0), (e if e > 0.1 else 0.1)
