"""How far out in its own past a statistic is: -log10 of the probability of one as large.

The mean of two estimates. An exponential tail above a running 98 % quantile (as `tails`) extrapolates, but takes a
series whose spikes recur for one that had hardly any. The rank among all large ones, counted by half octaves, knows
recurrence, but calls everything that is larger than all before the same. What came first is scored by what it is, what
came often by how often.
"""

from __future__ import annotations

import math

from streams.kit.kernel import kernel
from streams.telemetry import counts, tails
from streams.telemetry.record import OCTAVES, STATISTICS, SeriesRecord

STEP, LOCAL, TREND, DAY = range(STATISTICS)
RATE = 0.005
SETTLED_SAMPLES = 1_000
SETTLED_EXCESS_RATE = RATE / (1.0 - tails.SHARE) * 0.5
WARM_SAMPLES = 50
LARGEST_Z = 1e9
COUNTED_Z = 1.93
"""Statistics from here on are counted; no ratio of small whole numbers, so that none falls on the edge of a count."""
MOST_SAMPLES = 8_192
"""Where counts and samples are halved: the past fades."""


@kernel
def count_sample(s: SeriesRecord) -> None:
    """Before the statistics of a sample are learned."""
    s.excess_samples += 1
    if s.excess_samples >= MOST_SAMPLES:
        s.excess_samples //= 2
        for i in range(STATISTICS * OCTAVES):
            s.excesses[i] = counts.code_of(float(int(counts.value_of(s.excesses[i]) / 2.0)))


@kernel
def learn(s: SeriesRecord, j: int, d: float, rate: float) -> float:
    """-log10 p of a distance in bins of `values`, whose mean is then learned at `rate`."""
    scale = float(s.z_scale[j])
    z = min(d / scale, LARGEST_Z) if scale > 0.0 else 0.0
    s.z_scale[j] = scale + rate * (d - scale)
    p = _exponential(s, j, z) + (_ranked(s, j, z) if z >= COUNTED_Z else 0.0)
    return 0.5 * p


@kernel
def _exponential(s: SeriesRecord, j: int, z: float) -> float:
    n, q, e, p = s.samples, float(s.z_q[j]), float(s.z_e[j]), 0.0
    step = 3.0 * RATE
    if n <= SETTLED_SAMPLES:
        step = max((n + 1.0) ** -0.7, step)
    if z > q:
        if n > WARM_SAMPLES and e > 0.0:
            p = min(tails.AT_QUANTILE + (z - q) / e * tails.LOG10_E, tails.LARGEST)
        q += step * tails.SHARE
    else:
        q = max(q - step * (1.0 - tails.SHARE), 0.0)
    if z > q:
        rate = SETTLED_EXCESS_RATE
        if n <= SETTLED_SAMPLES:
            rate = max(1.0 / (1.0 + (1.0 - tails.SHARE) * n), rate)
        s.z_e[j] = e + rate * (z - q - e)
    s.z_q[j] = q
    return p


@kernel
def _ranked(s: SeriesRecord, j: int, z: float) -> float:
    """-log10 of the share of samples whose statistic was as large."""
    first = j * OCTAVES
    own = first + min(int(2.0 * math.log2(z / COUNTED_Z)), OCTAVES - 1)
    larger = 0.5 * counts.value_of(s.excesses[own])
    for i in range(own + 1, first + OCTAVES):
        larger += counts.value_of(s.excesses[i])
    s.excesses[own] = counts.raised(s.excesses[own], s.samples)
    return max(-math.log10((larger + 0.5) / (s.excess_samples + 1.0)), 0.0)
