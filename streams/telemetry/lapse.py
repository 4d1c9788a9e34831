"""A season that explains nothing any more is given up, also while an incident is open.

An open incident stops what is learned, so a season that the series has left would be judged by the few samples that
happen to fit it, and would keep an incident open for as long as it stands. Here it is judged by all of them: once in a
ring of residuals, does the series swing less about its mean with the season taken out than with it left in? A level
that moved is the same to both. Rings that say no, less those that say yes, end the season when they fill
`TRIAL_PERIODS` periods. Only a series with an open incident, or one already in doubt, is looked at. Where a
ring is a small part of a period, noise hides the season in it, and it is given up late or not at all.
"""

from __future__ import annotations

import math

from streams.kit.kernel import kernel
from streams.telemetry import baseline, incident, season, shapes
from streams.telemetry.record import RING, SeriesRecord
from streams.telemetry.scratch import ReadingRecord, SettingsRecord
from streams.telemetry.state import NORMAL

IN_USE = 1
"""`seasonal` of a season without doubts; each ring that speaks against it adds 1."""
LEAST_RINGS, MOST_RINGS = 4, 100
"""Rings that must speak against a season; where its periods hold more rings than that, only every so many are asked."""


@kernel
def is_due(s: SeriesRecord) -> bool:
    """After a sample: is it time to ask the ring?"""
    if s.samples % RING or not s.seasonal or (s.kind == NORMAL and s.seasonal == IN_USE):
        return False
    return s.samples // RING % _stride(s) == 0


@kernel
def weigh(s: SeriesRecord, m: ReadingRecord, at: int) -> bool:
    """Counts what the ring says; True if the season has now failed."""
    with_it, without, known = _swings(s, m, at)
    if known <= RING // 2:
        return False
    if with_it >= without:
        s.seasonal += 1
    elif s.seasonal > IN_USE:
        s.seasonal -= 1
    return s.seasonal - IN_USE >= max(math.ceil(_rings(s) / _stride(s)), LEAST_RINGS)


@kernel
def give_up(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, at: int) -> None:
    """The level predicts again, an open incident ends, and the search for a period begins anew.

    Follows `weigh`. `m.period_ms` is the period that was given up. The scales become those of a series that has its
    season in it: with those of what the season had left, the next swing would open an incident, and hide a new period.
    """
    m.period_ms = float(s.season_ms)
    s.jump_scale = max(s.jump_scale, _jump(m) * m.level_scale)
    incident.forget_tails(s)
    if s.kind != NORMAL:
        incident.close(s, m.flat)
    season.leave(s, m.flat)
    s.slow_scale = s.flat_error  # a slow mean follows most of a swing
    s.activity = s.jump_scale
    season.start(s, c.season_ms, at)


@kernel
def _jump(m: ReadingRecord) -> float:
    """Mean distance from the last few samples, the season left in (`m.lags` of `_swings`)."""
    fast, total, known = m.lags[0], 0.0, 0
    for i in range(1, RING):
        jump = m.lags[i] - fast
        if math.isnan(jump):
            fast = m.lags[i] if math.isnan(fast) else fast
            continue
        total += abs(jump)
        known += 1
        fast += baseline.FAST * jump
    return total / known if known else 0.0


@kernel
def _rings(s: SeriesRecord) -> float:
    """As many as fill the periods of a trial."""
    return season.TRIAL_PERIODS * s.season_ms / (max(s.interval_ms, 1.0) * RING)


@kernel
def _stride(s: SeriesRecord) -> int:
    return int(_rings(s) / MOST_RINGS) + 1


@kernel
def _swings(s: SeriesRecord, m: ReadingRecord, at: int) -> tuple[float, float, int]:
    """Mean distance from the mean over the ring, the season taken out and left in, in mean absolute deviations.

    Samples are taken to be the usual interval apart: where some are missing, the season that is left in comes out of
    phase, which speaks for the season rather than against it.
    """
    shapes.recent(s, m.window, RING)
    residual = level = 0.0
    known = 0
    for i in range(RING):
        expected = season.expected(s, at - int((RING - 1 - i) * s.interval_ms))
        m.lags[i] = m.window[i] + (expected - s.offset) / m.level_scale
        if not math.isnan(expected):
            known += 1
            residual += m.window[i]
            level += m.lags[i]
    if known == 0:
        return 0.0, 0.0, 0
    with_it = without = 0.0
    for i in range(RING):
        if not math.isnan(m.lags[i]):
            with_it += abs(m.window[i] - residual / known)
            without += abs(m.lags[i] - level / known)
    return with_it, without, known
