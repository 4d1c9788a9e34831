"""Is a series a running total? Then its rate per second is judged, not its reading. Kernels, and what names declare.

    UNTOLD | MAYBE --rises only--> FIRST --next reading--> COUNTER
    declared:      WAITING --first reading--> FIRST              |
    UNTOLD | MAYBE --a part of it falls--> GAUGE <--falls often--+

A total only rises, until it begins anew (a restart, or a wrap: they look alike, so the interval of a fall has no rate).
A fall that leaves more than half is no new beginning: a series that does so is a gauge, whatever its name says. One
whose nature changes begins anew, as its readings until then mean nothing for what is judged from then on.
"""

from __future__ import annotations

from streams.kit.kernel import kernel
from streams.kit.metric_names import CANONICAL_UNITS
from streams.telemetry import stamps
from streams.telemetry.record import SeriesRecord

UNTOLD, MAYBE, WAITING, FIRST, COUNTER, GAUGE = range(6)
"""Nothing is known; its name allows both; it is declared and has no reading yet; one reading; rates; levels."""
SHOWN_RISES, HINTED_RISES = 100, 12
"""Rises (a restart halves them) that make a counter of a series with no declared kind; of one whose name allows it."""
SUSPECT_RISES = 8
"""From so many on it is not known whether a series that has never fallen rises or counts: nothing opens meanwhile."""
LEFT_SHARE = 0.5
DOUBT, MOST_DOUBT = 32, 80
"""A fall in part weighs as much as so many readings without one; beyond the second figure no counter is left."""
HALF_COUNT = 0.5
"""Least deviation that a rate of whole numbers is measured against, in counts an interval: one more or less is none."""
RATE, NO_RATE, LEVEL_AGAIN = range(3)
"""What the next reading of a counter gives: a rate; none, as it fell; the first level of what is no counter."""
MOST_SAMPLES = 1 << 30
"""Where the count of samples is halved, so that four bytes hold it for ever."""
STRONG = ("_total",)
WEAK = ("_count", "_sum", "_bucket", ".total", ".count")
TOTAL_UNITS = frozenset({"total", "counter"})


def declared(metric: str, unit: str) -> int:
    """What canonical name and unit say. Attributes in braces are no part of the name."""
    name = metric.partition("{")[0].lower()
    if name.endswith(STRONG) or unit.lower() in TOTAL_UNITS:
        return WAITING
    if name.endswith(WEAK):
        return MAYBE
    return GAUGE if name in CANONICAL_UNITS or name.endswith(("_per_s", "_mean")) else UNTOLD


def unit_per_second(unit: str) -> str:
    """Of the rate of a total in `unit`."""
    return "1/s" if unit.lower() in TOTAL_UNITS or unit in ("", "1") else f"{unit}/s"


@kernel
def weigh_level(s: SeriesRecord, x: float) -> bool:
    """Of a series that is not decided: does this reading, with those before it, make it a counter?"""
    if x < s.last_value:
        s.evidence //= 2
        if x < 0.0 or x > LEFT_SHARE * s.last_value:
            s.nature = GAUGE
    elif x > s.last_value:
        s.evidence = min(s.evidence + 1, SHOWN_RISES)
        if s.nature == MAYBE:
            return bool(s.evidence >= HINTED_RISES)
        return bool(s.evidence >= SHOWN_RISES and s.samples <= 2 * SHOWN_RISES)
    return False


@kernel
def is_climbing(s: SeriesRecord) -> bool:
    """Has it risen only, so that it may turn out to count?"""
    return bool(s.nature <= MAYBE and s.evidence >= SUSPECT_RISES and 4 * s.evidence >= s.samples)


@kernel
def weigh_total(s: SeriesRecord, x: float) -> int:
    """Of a counter with a reading before: `RATE`, `NO_RATE`, or `LEVEL_AGAIN` if it falls too often to be one."""
    if x >= s.total:
        s.evidence = max(s.evidence - 1, 0)
        return RATE
    if x < 0.0 or x > LEFT_SHARE * s.total:
        s.evidence = min(s.evidence + DOUBT, MOST_DOUBT + 1)
        if s.evidence > MOST_DOUBT:
            return LEVEL_AGAIN
    return NO_RATE


@kernel
def least_deviation(s: SeriesRecord, x: float, seconds: float) -> float:
    """Per second."""
    if x % 1.0 == 0.0 and s.total % 1.0 == 0.0:
        return HALF_COUNT / seconds
    return 0.0


@kernel
def begin_anew(s: SeriesRecord, at: int, x: float, nature: int) -> None:
    """Forgets all that was learned; keeps the times, the cause, and the onset and grade of an incident to be closed."""
    s.nature, s.evidence, s.total, s.samples, s.kind, s.flapping, s.seasonal = nature, 0, x, 1, 0, 0, 0
    s.first_at, s.last_value, s.level, s.offset = at, x, x, x
    s.season_ms = s.season_at = s.step_at = s.step_ms = s.step_count = s.season_samples = s.days_known = 0
    s.opened_sample = s.age = s.quiet = s.state_bits = 0
    s.step_anchor = s.anchor = s.local_level = s.trend_fast = s.trend_slow = s.value_width = 0.0
    s.flat_error = s.season_error = s.other_error = s.activity_scale = s.fast = s.slow = s.activity = 0.0
    s.change = s.jump_scale = s.level_scale = s.slow_scale = s.step_sum = s.quantum = 0.0
    s.jump_q = s.jump_e = s.pair_q = s.slow_q = s.slow_e = s.activity_q = s.activity_e = 0.0
    s.reference = s.sigma = s.openings = s.candidate_ms = s.candidate_span_ms = s.value_offset = s.peak = 0.0
    s.value_samples = s.excess_samples = s.doubt = s.flips = s.reopened = s.lean = 0
    s.lowest_bin = s.highest_bin = s.steps = s.buckets = s.last_sign = 0
    s.z_scale[:] = 0.0
    s.z_q[:] = 0.0
    s.z_e[:] = 0.0
    s.season[:] = 0.0
    s.days[:] = 0
    s.values[:] = 0
    s.ring[:] = 0
    s.excesses[:] = 0
    s.visits[:] = 0
    s.history[:] = 0


@kernel
def note_time(s: SeriesRecord, at: int, gap: int) -> None:
    """The usual interval and the remembered times, with one more sample `gap` ms after the last."""
    n = s.samples
    if n >= MOST_SAMPLES:
        n = s.samples = n - MOST_SAMPLES // 2
        s.opened_sample -= MOST_SAMPLES // 2
    if n < 10:
        s.interval_ms += (gap - s.interval_ms) / n
    else:
        s.interval_ms += 0.1 * (min(float(gap), 3.0 * s.interval_ms) - s.interval_ms)
    stamps.remember(s, at)
    s.last_at = at
