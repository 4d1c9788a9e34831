"""The kind of an open incident by all that was seen since its onset."""

from __future__ import annotations

import math

from streams.kit.kernel import kernel
from streams.telemetry import baseline, shapes
from streams.telemetry.record import RING, SeriesRecord
from streams.telemetry.scratch import ReadingRecord, SettingsRecord, Window
from streams.telemetry.state import ACTIVITY, DRIFT, DROP, JUMP, LEVEL, OSCILLATION, SHIFT, SPIKE

MEMORY_OF_KIND = 40
BEFORE_ONSET = 12
"""Samples before the onset that show whether the level jumped or had been climbing."""
RAMP_SAMPLES = 8
"""Least length of a ramp, where a step that noise bends would be taken for one."""
CREPT, JUMPED = 8.0, -2.0
"""Log odds of a ramp against a step before the shapes are seen: where no jump opened the incident, where one did."""
VARIANCE_PER_MAD2 = math.pi / 2.0
FADING_SAMPLES = 12
STRAYS = 2
"""A level that moves slowly is near its old one for long: so many changes of side are noise."""


@kernel
def favour(s: SeriesRecord, log_odds: float) -> float:
    """What odds are worth in squared deviations: two log-likelihoods differ by the energy over twice the variance.

    Persistent noise has fewer independent samples, (1 - phi) / (1 + phi) of all.
    """
    phi = baseline.persistence(s)
    return 2.0 * VARIANCE_PER_MAD2 * log_odds * (1.0 + phi) / (1.0 - phi)


@kernel
def _fades(s: SeriesRecord, w: Window, start: int) -> bool:
    """Has the jump sunk so far as persistent noise does by itself? Then it is no new level yet."""
    if s.age > FADING_SAMPLES:
        return False
    left = baseline.persistence(s) ** (s.age - 2)
    half_way = 0.5 * (1.0 + left) * abs(w[RING - min(s.age, RING)])
    return bool(abs(shapes.mean(w, RING - 3)) < half_way)


@kernel
def seen(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord) -> tuple[int, int]:
    """Kind and direction by all that was seen since the onset."""
    kind, w = s.kind, m.window
    n = min(s.age, RING)
    if (kind in (SPIKE, DROP) and s.age < c.shift_after_samples) or n < 4:
        return kind, s.direction
    start = _since_onset(s, m, n)
    if kind in (SPIKE, DROP) and not s.flips and _fades(s, w, start):
        return kind, s.direction
    if s.flips > (STRAYS if s.trigger == LEVEL else 0) or s.flapping or s.trigger == ACTIVITY or kind >= OSCILLATION:
        if n < 6 or (kind in (SHIFT, DRIFT) and shapes.level_kind(w, start, RAMP_SAMPLES, 0.0)[1] > shapes.CLEARLY):
            return kind, s.direction
        return shapes.swing_kind(w, start, kind), 0
    if kind in (SHIFT, DRIFT) and s.age > MEMORY_OF_KIND:
        return kind, s.direction
    side = 1 if shapes.mean(w, max(RING - 8, start)) > 0 else -1
    if s.trigger != JUMP:
        return shapes.level_kind(w, shapes.recent(s, w, RING), RAMP_SAMPLES, favour(s, CREPT))[0], side
    if s.age > MEMORY_OF_KIND:
        return SHIFT, side
    if s.reference == 0.0:
        start = shapes.recent(s, w, min(n + BEFORE_ONSET, RING))
    return shapes.level_kind(w, start, 4, favour(s, JUMPED))[0], side


@kernel
def _since_onset(s: SeriesRecord, m: ReadingRecord, n: int) -> int:
    """The last `n` residuals against the frozen baseline, in its standard deviations; without the first of a jump."""
    w = m.window
    start = shapes.recent(s, w, n)
    for i in range(start, RING):
        w[i] = w[i] * (s.level_scale / s.sigma) - s.reference / s.sigma
    return start + 1 if s.trigger == JUMP and n > 8 else start
