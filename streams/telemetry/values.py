"""Two-sided rank of a value among all that its series had, from a histogram that doubles its range when one falls out.

-log10 of the share of samples that were as far out on the same side. A value beyond all others scores by how far.
"""

from __future__ import annotations

import math

from streams.kit.kernel import kernel
from streams.telemetry.record import BINS, SeriesRecord

WARM_SAMPLES = 100
MOST_SAMPLES = 16_384
"""Where counts are halved: the past fades."""
AT_FIRST = BINS // 2
"""Bins between the first two values that differ."""
OFF_EDGE = 0.382
"""How far the first value is from the edge of its bin: whole multiples of a step never fall on an edge."""
TINY = 1e-100
"""Values closer than this are equal: the width of a bin must not be 0."""
ROUNDING = 1e-12
"""So are those closer than this share of the first, until one differs by more: 0.1 + 0.2 is no change of 0.3."""
BEYOND, BEYOND_RANGES = 2.0, 0.1
"""Score for each tenfold of (1 + distance in tenths of the range seen), on top of the rank."""


@kernel
def learn(s: SeriesRecord, x: float) -> float:
    """-log10 p of the value (0 before WARM_SAMPLES), which is then counted."""
    if s.value_width <= 0.0:
        if abs(x - s.anchor) <= max(TINY, ROUNDING * abs(s.anchor)):
            return 0.0
        _begin(s, x)
    bins = (x - s.anchor) / s.value_width + s.value_offset
    beyond = 0.0
    if bins < s.lowest_bin or bins >= s.highest_bin + 1:
        out = max(bins - (s.highest_bin + 1), s.lowest_bin - bins)
        beyond = BEYOND * math.log10(1.0 + out / (BEYOND_RANGES * (s.highest_bin + 1 - s.lowest_bin)))
        while bins < 0.0 or bins >= BINS:
            _double(s, bins < 0.0)
            bins = (x - s.anchor) / s.value_width + s.value_offset
    own = int(bins)
    p = _rank(s, own) + beyond if s.samples >= WARM_SAMPLES else 0.0
    s.values[own] += 1
    s.value_samples += 1
    s.lowest_bin = min(s.lowest_bin, own)
    s.highest_bin = max(s.highest_bin, own)
    if s.value_samples > MOST_SAMPLES:
        for i in range(BINS):
            s.values[i] //= 2
        _survey(s)
    return p


@kernel
def _begin(s: SeriesRecord, x: float) -> None:
    """The first value that differs: all before it were the anchor."""
    s.value_width = abs(x - s.anchor) / AT_FIRST
    s.value_offset = (AT_FIRST if x < s.anchor else 0) + BINS // 4 + OFF_EDGE
    s.values[int(s.value_offset)] = min(s.samples, MOST_SAMPLES // 2)
    _survey(s)


@kernel
def _double(s: SeriesRecord, downwards: bool) -> None:
    """Bins of twice the width, and as many again empty on one side; what is kept in bins is halved."""
    half = BINS // 2
    if downwards:
        for i in range(BINS - 1, half - 1, -1):
            s.values[i] = s.values[2 * i - BINS] + s.values[2 * i - BINS + 1]
        s.values[:half] = 0
    else:
        for i in range(half):
            s.values[i] = s.values[2 * i] + s.values[2 * i + 1]
        s.values[half:] = 0
    s.value_offset = (s.value_offset + (BINS if downwards else 0)) / 2.0
    s.value_width *= 2.0
    for i in range(len(s.z_scale)):
        s.z_scale[i] *= 0.5
    for i in range(len(s.days)):
        s.days[i] = math.floor(0.5 * s.days[i])
    _survey(s)


@kernel
def _survey(s: SeriesRecord) -> None:
    """How many are counted, and between which bins."""
    s.value_samples, s.lowest_bin, s.highest_bin = 0, BINS - 1, 0
    for i in range(BINS):
        if s.values[i] > 0:
            s.value_samples += int(s.values[i])
            s.lowest_bin = min(s.lowest_bin, i)
            s.highest_bin = i


@kernel
def _rank(s: SeriesRecord, own: int) -> float:
    """-log10 of the share of values as far out, half of the own bin among them."""
    below = 0
    for i in range(s.lowest_bin, own):
        below += int(s.values[i])
    total, out = float(s.value_samples), below + 0.5 * s.values[own]
    return -math.log10((min(out, total - out) + 0.5) / (total + 1.0))
