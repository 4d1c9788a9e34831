"""The value incident of one series: one per anomaly, whose kind may change as more is seen.

    NORMAL --score >= enter--> SPIKE | DROP --off for a while--> SHIFT | DRIFT --other side--> OSCILLATION | VARIANCE
      ^                            |                                 |                               |
      |<--- quiet long enough -----+---------------------------------+-------------------------------+
      |<--- accept_after_samples: the new behaviour is the normal one now ---------------------------+

A slow residual opens as SHIFT or DRIFT, an activity as OSCILLATION or VARIANCE. While the series flaps (weighted share
of state changes in the last 20 samples) an incident that is quiet is held open.
"""

from __future__ import annotations

import math

import numpy as np

from streams.telemetry import shapes, tails
from streams.telemetry.reading import Reading
from streams.telemetry.settings import TelemetrySettings
from streams.telemetry.state import (
    ACTIVITY,
    DRIFT,
    DROP,
    JUMP,
    LEVEL,
    NORMAL,
    OSCILLATION,
    RING,
    SHIFT,
    SPIKE,
    VARIANCE,
    SeriesState,
)

NONE, OPENED, CHANGED, RETURNED, ACCEPTED = range(5)
"""What a sample did to the incident; the last two close it."""
EXTRA_QUIET = {SPIKE: 0, DROP: 0, SHIFT: 3, DRIFT: 10, OSCILLATION: 14, VARIANCE: 14}
"""Normal samples to close, on top of `close_after_samples`."""
LEAVE_P = 2.0
SIGMA = 1.25
"""Standard deviations per mean absolute deviation of a Gaussian."""
WANDERS = 2.2
"""Above this ratio of residual to jump scale the level itself moves: a jump is judged against the last few samples."""
SOON_SAMPLES = 32
OPENINGS_MEMORY = 2000.0
ALWAYS_SHARE = 0.05
"""A series that opens incidents on more than this share of its samples has always been like that."""
MIN_LEVEL_SAMPLES = 40
DAILY_SWING = 260.0
"""Deviations per season: until two seasons are known, a slower rise could be the season itself (a swing of +-40)."""
MEMORY_OF_KIND = 40
ACTIVITY_SAMPLES = 16
BEFORE_ONSET = 12
"""Samples before the onset that show whether the level jumped or had been climbing."""
YOUNG = 1.0
REFERENCE_INTERVAL_MS = 300_000.0
"""The sampling interval that `enter_score` is meant for."""
HISTORY_BITS = 21
HISTORY_MASK = (1 << HISTORY_BITS) - 1


def due(s: SeriesState, c: TelemetrySettings, m: Reading) -> int | None:
    """The statistic that opens an incident with this sample, if any."""
    highest = m.jump_p if m.jump_p > m.slow_p else m.slow_p
    if (highest < c.enter_score and m.activity_p < c.enter_score) or s.samples < c.min_history_samples:
        return None
    enter = c.enter_score + _caution(s)
    trigger = None
    if m.jump_p >= enter:
        trigger = JUMP
    elif m.slow_p >= enter:
        trigger = LEVEL
    elif m.activity_p >= enter and s.samples > MIN_LEVEL_SAMPLES:
        explained = shapes.level_kind(shapes.recent(s, ACTIVITY_SAMPLES))[1]
        trigger = LEVEL if explained > shapes.CLEARLY else ACTIVITY
    if trigger == LEVEL and not _level_may_open(s, c, m):
        return None
    if trigger is None or _openings(s) > ALWAYS_SHARE * min(s.samples, OPENINGS_MEMORY) + 1.0:
        return None
    return trigger


def _caution(s: SeriesState) -> float:
    """What is added to the entry score: a young tail is uncertain, and a fast series is tested more often a day."""
    n = s.samples
    often = math.log10(REFERENCE_INTERVAL_MS / max(s.interval_ms, 1.0))
    return YOUNG / (1.0 + n / 300.0) + 0.5 * min(max(often, 0.0), 3.0) * n / (n + 1000.0)


def _openings(s: SeriesState) -> float:
    return s.openings * math.exp((s.opened_sample - s.samples) / OPENINGS_MEMORY)


def _level_may_open(s: SeriesState, c: TelemetrySettings, m: Reading) -> bool:
    if s.samples < MIN_LEVEL_SAMPLES:
        return False
    if s.last_at - s.first_at >= 2000.0 * c.season_s:
        return True
    rise_per_ms = abs(m.slow) / m.level_scale * 0.06 / s.interval_ms if s.interval_ms > 0.0 else 0.0
    return rise_per_ms * 1000.0 * c.season_s > DAILY_SWING


def open_as(s: SeriesState, trigger: int, m: Reading) -> None:
    """Freezes the baseline as it was before the sample; the ring already holds the sample."""
    soon = s.closed_sample > 0 and s.samples - s.closed_sample < SOON_SAMPLES
    s.reopened = s.reopened + 1 if soon else 0
    s.openings, s.opened_sample = _openings(s) + 1.0, s.samples
    s.trigger, s.age, s.quiet, s.flips, s.worst, s.severity = trigger, 1, 0, 0, 0.0, 0
    s.started_at = s.last_at
    s.level_scale = m.level_scale
    s.sigma = SIGMA * math.sqrt(m.jump_scale * max(m.jump_scale, m.level_scale))
    s.reference = s.fast if trigger == JUMP and m.level_scale > WANDERS * m.jump_scale else 0.0
    s.last_sign = s.direction = 1 if (m.jump if trigger == JUMP else m.slow) > 0 else -1
    if trigger == LEVEL:
        s.kind = shapes.level_kind(shapes.recent(s, RING))[0]
    elif trigger == ACTIVITY:
        s.kind = shapes.swing_kind(shapes.recent(s, ACTIVITY_SAMPLES))
    elif s.reopened >= 3:
        s.kind = shapes.swing_kind(shapes.recent(s, 48))
    else:
        s.kind = SPIKE if s.direction > 0 else DROP


def follow(s: SeriesState, c: TelemetrySettings, m: Reading) -> int:
    """One more sample of an open incident."""
    s.age += 1
    v = (m.residual - s.reference) / s.sigma
    off = abs(v) > c.leave_z
    sign = 1 if v > 0 else -1
    if off and sign != s.last_sign:
        s.flips, s.last_sign = s.flips + 1, sign
    calm = not off
    if s.kind == DRIFT:
        calm = calm and m.slow_p < LEAVE_P
    elif s.kind >= OSCILLATION:
        calm = calm and m.activity_p < LEAVE_P
    s.quiet = s.quiet + 1 if calm else 0
    note_state(s, c)
    if is_quiet(s, c):
        return NONE if held_by_flapping(s, c) else RETURNED
    if s.age >= c.accept_after_samples:
        return ACCEPTED
    if off or (s.trigger == LEVEL and not s.quiet):
        return _reclassify(s, c)
    return NONE


def is_quiet(s: SeriesState, c: TelemetrySettings) -> bool:
    return s.quiet >= c.close_after_samples + EXTRA_QUIET[s.kind]


def _reclassify(s: SeriesState, c: TelemetrySettings) -> int:
    if s.age >= 24 and (s.age % 4 or s.age >= 120):
        return NONE
    kind, direction = _seen(s, c)
    if kind == s.kind:
        return NONE
    s.kind, s.direction = kind, direction
    return CHANGED


def _seen(s: SeriesState, c: TelemetrySettings) -> tuple[int, int]:
    """Kind and direction by all that was seen since the onset."""
    kind = s.kind
    n = min(s.age, RING)
    if (kind in (SPIKE, DROP) and s.age < c.shift_after_samples) or n < 4:
        return kind, s.direction
    v = shapes.recent(s, n) * (s.level_scale / s.sigma) - s.reference / s.sigma
    if s.trigger == JUMP and n > 8:
        v = v[1:]
    if s.flips or s.flapping or s.trigger == ACTIVITY or kind >= OSCILLATION:
        if n < 6 or (kind in (SHIFT, DRIFT) and shapes.level_kind(v)[1] > shapes.CLEARLY):
            return kind, s.direction
        return shapes.swing_kind(v, kind), 0
    if kind == DRIFT or (kind == SHIFT and s.age > MEMORY_OF_KIND):
        return kind, s.direction
    side = 1 if float(np.mean(v[-8:])) > 0 else -1
    if s.trigger == JUMP:
        if s.age > MEMORY_OF_KIND:
            return SHIFT, side
        before = BEFORE_ONSET if s.reference == 0.0 else 0
        return shapes.level_kind(shapes.recent(s, min(n + before, RING)) if before else v, 4)[0], side
    return shapes.level_kind(shapes.recent(s, RING))[0], side


def deviation_score(s: SeriesState, m: Reading) -> float:
    """-log10 p of how far the series is from its frozen baseline, by the statistic that opened the incident."""
    if s.trigger == LEVEL:
        return m.slow_p
    if s.trigger == ACTIVITY:
        return m.activity_p
    return (
        max(m.jump_p, tails.score(abs(m.residual - s.reference) / m.jump_scale, s.jump_q, s.jump_e))
        if s.age > 1
        else m.jump_p
    )


def close(s: SeriesState, residual: float) -> None:
    """Back to normal: the statistics start from the level where the series is now."""
    s.fast = 0.5 * (residual + s.reference)
    s.kind, s.flapping, s.closed_sample = NORMAL, 0, s.samples
    s.slow, s.activity = 0.0, s.jump_scale


def accept(s: SeriesState) -> None:
    """The baseline moves to what the series does now; scales grow if it swings more, and tails start anew."""
    y = shapes.recent(s, RING) * s.level_scale
    moved = float(np.mean(y)) if s.kind >= OSCILLATION else s.fast
    spread = float(np.mean(np.abs(y - np.mean(y)))) if s.kind >= OSCILLATION else 0.0
    s.level += moved
    s.offset += moved
    s.reference = 0.0
    s.level_scale = max(s.level_scale, spread)
    s.jump_scale = max(s.jump_scale, float(np.mean(np.abs(np.diff(y)))) if spread else 0.0)
    s.jump_q = s.slow_q = s.activity_q = tails.PRIOR_Q
    s.jump_e = s.slow_e = s.activity_e = tails.PRIOR_E
    close(s, s.fast - moved)


def note_state(s: SeriesState, c: TelemetrySettings) -> None:
    """Keeps the last 21 raw states (1 = abnormal), newest in bit 0."""
    raw = 1 if s.kind != NORMAL and not is_quiet(s, c) else 0
    s.state_bits = (s.state_bits << 1 | raw) & HISTORY_MASK


def flaps(s: SeriesState) -> int:
    """State changes among the last 20 samples."""
    return ((s.state_bits ^ s.state_bits >> 1) & (1 << HISTORY_BITS - 1) - 1).bit_count()


def held_by_flapping(s: SeriesState, c: TelemetrySettings) -> bool:
    """Weighted as Icinga 2 does: the newest change counts 1.2, the oldest 0.8."""
    changes = s.state_bits ^ s.state_bits >> 1
    last = HISTORY_BITS - 2
    share = sum(1.2 - 0.4 * i / last for i in range(HISTORY_BITS - 1) if changes >> i & 1) / (HISTORY_BITS - 1)
    s.flapping = 1 if share > (c.flap_off_share if s.flapping else c.flap_on_share) else 0
    return bool(s.flapping)
