"""The value incident of one series: one per anomaly, whose kind may change as more is seen.

    NORMAL --score >= enter--> SPIKE | DROP --off for a while--> SHIFT | DRIFT --other side--> OSCILLATION | VARIANCE
      ^                            |                                 |                               |
      |<--- quiet long enough -----+---------------------------------+-------------------------------+
      |<--- accept_after_samples: the new behaviour is the normal one now ---------------------------+

A slow residual opens as SHIFT or DRIFT, an activity as OSCILLATION or VARIANCE. While the series flaps
(`flapping`) an incident that is quiet is held open.
"""

from __future__ import annotations

import math

from streams.kit.kernel import kernel
from streams.telemetry import counter, flapping, kinds, shapes, tails
from streams.telemetry.record import RING, SeriesRecord
from streams.telemetry.scratch import ReadingRecord, SettingsRecord
from streams.telemetry.state import (
    ACTIVITY,
    DRIFT,
    DROP,
    JUMP,
    LEVEL,
    NO_TRIGGER,
    NORMAL,
    OSCILLATION,
    SPIKE,
)

NONE, OPENED, CHANGED, RETURNED, ACCEPTED, RECOGNISED, LAPSED = range(7)
"""What a sample did to the incident; the last four close it."""
EXTRA_QUIET = (0, 0, 0, 3, 10, 14, 14)
"""Normal samples to close, on top of `close_after_samples`; by kind: spike and drop 0, shift 3, drift 10, swings 14."""
AGAIN_FROM, AGAIN_QUIET, LONGEST_QUIET = 2, 8, 40
"""More normal samples to close for each time that the series went off again soon after, and at most."""
LEAVE_P = 2.0
SIGMA = 1.25
"""Standard deviations per mean absolute deviation of a Gaussian."""
WANDERS = 2.2
"""Above this ratio of residual to jump scale the level itself moves: a jump is judged against the last few samples."""
SOON_SAMPLES = 32
MOST = 30_000
OPENINGS_MEMORY = 2000.0
ALWAYS_SHARE = 0.05
"""A series that opens incidents on more than this share of its samples has always been like that."""
MIN_LEVEL_SAMPLES = 40
DAILY_SWING = 260.0
"""Deviations per season: until two seasons are known, a slower rise could be the season itself (a swing of +-40)."""
ACTIVITY_SAMPLES = 16
RECURRING = 0.5
"""Added to the entry score of a jump per power of ten of recent openings: what opens often is not rare."""
SLOW_EASE = 1.2
"""Taken off the entry score of the slow mean: it is above a level for many samples at a time, so seldom anew."""
YOUNG, YOUNG_SAMPLES = 1.2, 600.0
REFERENCE_INTERVAL_MS = 300_000.0
"""The sampling interval that `enter_score` is meant for."""


@kernel
def due(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord) -> int:
    """The statistic that opens an incident with this sample, or NO_TRIGGER."""
    highest = m.jump_p if m.jump_p > m.slow_p else m.slow_p
    if (highest < c.enter_score - SLOW_EASE and m.activity_p < c.enter_score) or s.samples < c.min_history_samples:
        return NO_TRIGGER
    if counter.is_climbing(s):
        return NO_TRIGGER
    enter = c.enter_score + _caution(s)
    trigger = NO_TRIGGER
    if m.jump_p >= enter + RECURRING * math.log10(max(_openings(s), 1.0)):
        trigger = JUMP
    elif m.slow_p >= enter - SLOW_EASE:
        trigger = LEVEL
    elif m.activity_p >= enter and s.samples > MIN_LEVEL_SAMPLES:
        _, explained = shapes.level_kind(
            m.window, shapes.recent(s, m.window, ACTIVITY_SAMPLES), kinds.RAMP_SAMPLES, 0.0
        )
        trigger = LEVEL if explained > shapes.CLEARLY else ACTIVITY
    if trigger == LEVEL and not _level_may_open(s, c, m):
        return NO_TRIGGER
    if trigger != NO_TRIGGER and _openings(s) > ALWAYS_SHARE * min(s.samples, OPENINGS_MEMORY) + 1.0:
        return NO_TRIGGER
    return trigger


@kernel
def _caution(s: SeriesRecord) -> float:
    """What is added to the entry score: a young tail is uncertain, and a fast series is tested more often a day."""
    n = s.samples
    often = math.log10(REFERENCE_INTERVAL_MS / max(s.interval_ms, 1.0))
    return YOUNG / (1.0 + n / YOUNG_SAMPLES) + 0.5 * min(max(often, 0.0), 3.0) * n / (n + 1000.0)


@kernel
def _openings(s: SeriesRecord) -> float:
    return s.openings * math.exp((s.opened_sample - s.samples) / OPENINGS_MEMORY)


@kernel
def _level_may_open(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord) -> bool:
    if s.samples < MIN_LEVEL_SAMPLES:
        return False
    if s.last_at - s.first_at >= 2 * c.season_ms:
        return True
    rise_per_ms = abs(m.slow) / m.level_scale * 0.06 / s.interval_ms if s.interval_ms > 0.0 else 0.0
    return rise_per_ms * c.season_ms > DAILY_SWING


@kernel
def open_as(s: SeriesRecord, trigger: int, m: ReadingRecord) -> None:
    """Freezes the baseline as it was before the sample; the ring already holds the sample."""
    soon = s.openings > 0.0 and s.samples - (s.opened_sample + s.age - 1) < SOON_SAMPLES
    s.reopened = min(s.reopened + 1, MOST) if soon else 0
    s.openings = _openings(s) + 1.0
    s.opened_sample = s.samples
    s.started_at = s.last_at
    s.trigger = trigger
    s.age = 1
    s.quiet = 0
    s.flips = 0
    s.worst = 0.0
    s.severity = 0
    s.level_scale = m.level_scale
    s.sigma = SIGMA * math.sqrt(m.jump_scale * max(m.jump_scale, m.level_scale))
    s.reference = s.fast if trigger == JUMP and m.level_scale > WANDERS * m.jump_scale else 0.0
    s.direction = 1 if (m.jump if trigger == JUMP else m.slow) > 0 else -1
    s.last_sign = s.direction
    w = m.window
    if trigger == LEVEL:
        s.kind, _ = shapes.level_kind(w, shapes.recent(s, w, RING), kinds.RAMP_SAMPLES, kinds.favour(s, kinds.CREPT))
    elif trigger == ACTIVITY:
        s.kind = shapes.swing_kind(w, shapes.recent(s, w, ACTIVITY_SAMPLES), NORMAL)
    elif s.reopened >= 3:
        s.kind = shapes.swing_kind(w, shapes.recent(s, w, 48), NORMAL)
    else:
        s.kind = SPIKE if s.direction > 0 else DROP


@kernel
def follow(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord) -> int:
    """One more sample of an open incident."""
    s.age += 1
    v = (m.residual - s.reference) / s.sigma
    off = abs(v) > c.leave_z
    sign = 1 if v > 0 else -1
    if off and sign != s.last_sign:
        s.flips = min(s.flips + 1, MOST)
        s.last_sign = sign
    calm = not off
    if s.kind == DRIFT:
        calm = calm and m.slow_p < LEAVE_P
    elif s.kind >= OSCILLATION:
        calm = calm and m.activity_p < LEAVE_P
    s.quiet = min(s.quiet + 1, MOST) if calm else 0
    quiet = is_quiet(s, c)
    flapping.note_state(s, not quiet)
    if quiet:
        return NONE if flapping.holds(s, c) else RETURNED
    if s.age >= c.accept_after_samples:
        return ACCEPTED
    if off or (s.trigger == LEVEL and s.quiet == 0):
        return _reclassify(s, c, m)
    return NONE


@kernel
def is_quiet(s: SeriesRecord, c: SettingsRecord) -> bool:
    return s.quiet >= c.close_after_samples + EXTRA_QUIET[s.kind] + min(
        AGAIN_QUIET * max(s.reopened - AGAIN_FROM, 0), LONGEST_QUIET
    )


@kernel
def _reclassify(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord) -> int:
    if s.age >= 24 and (s.age % 4 or s.age >= 120):
        return NONE
    kind, direction = kinds.seen(s, c, m)
    if kind == s.kind:
        return NONE
    s.kind = kind
    s.direction = direction
    return CHANGED


@kernel
def deviation_score(s: SeriesRecord, m: ReadingRecord) -> float:
    """-log10 p of how far the series is from its frozen baseline, by the statistic that opened the incident."""
    if s.trigger == LEVEL:
        return m.slow_p
    if s.trigger == ACTIVITY:
        return m.activity_p
    if s.age == 1:
        return m.jump_p
    away = m.residual - s.reference
    return max(m.jump_p, tails.sided_score(abs(away) / m.jump_scale, s.jump_q, s.jump_e, away > 0.0, s.lean))


@kernel
def close(s: SeriesRecord, residual: float) -> None:
    """Back to normal: the statistics start from the level where the series is now."""
    s.fast = 0.5 * (residual + s.reference)
    s.kind = NORMAL
    s.flapping = 0
    s.slow = 0.0
    s.activity = s.jump_scale


@kernel
def accept(s: SeriesRecord, m: ReadingRecord) -> None:
    """The baseline moves to what the series does now; scales grow if it swings more, and tails start anew."""
    moved, scale = s.fast, s.level_scale
    if s.kind >= OSCILLATION:
        w = m.window
        middle = shapes.mean(w, shapes.recent(s, w, RING))
        moved = middle * s.level_scale
        spread = step = 0.0
        for i in range(RING):
            spread += abs(w[i] - middle) / RING
            step += abs(w[i] - w[i - 1]) / (RING - 1) if i > 0 else 0.0
        s.jump_scale = max(s.jump_scale, step * s.level_scale)
        s.level_scale = max(s.level_scale, spread * s.level_scale)
    shapes.measure_anew(s, moved, scale)
    s.level += moved
    s.offset += moved
    s.reference = 0.0
    forget_tails(s)
    close(s, s.fast - moved)


@kernel
def forget_tails(s: SeriesRecord) -> None:
    s.jump_q = tails.PRIOR_Q
    s.jump_e = tails.PRIOR_JUMP_E if s.change > 0.0 else tails.PRIOR_E
    s.pair_q = tails.PRIOR_PAIR_Q
    s.lean = 0
    s.slow_q = tails.PRIOR_Q
    s.slow_e = tails.PRIOR_E
    s.activity_q = tails.PRIOR_Q
    s.activity_e = tails.PRIOR_E
