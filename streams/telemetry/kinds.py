"""The kind of an open incident by all that was seen since its onset."""

from __future__ import annotations

from streams.kit.kernel import kernel
from streams.telemetry import shapes
from streams.telemetry.record import RING, ReadingRecord, SeriesRecord, SettingsRecord
from streams.telemetry.state import ACTIVITY, DRIFT, DROP, JUMP, OSCILLATION, SHIFT, SPIKE

MEMORY_OF_KIND = 40
BEFORE_ONSET = 12
"""Samples before the onset that show whether the level jumped or had been climbing."""
RAMP_SAMPLES = 8
"""Least length of a ramp, where a step that noise bends would be taken for one."""


@kernel
def seen(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord) -> tuple[int, int]:
    """Kind and direction by all that was seen since the onset."""
    kind, w = s.kind, m.window
    n = min(s.age, RING)
    if (kind in (SPIKE, DROP) and s.age < c.shift_after_samples) or n < 4:
        return kind, s.direction
    start = _since_onset(s, m, n)
    if s.flips or s.flapping or s.trigger == ACTIVITY or kind >= OSCILLATION:
        if n < 6 or (kind in (SHIFT, DRIFT) and shapes.level_kind(w, start, RAMP_SAMPLES)[1] > shapes.CLEARLY):
            return kind, s.direction
        return shapes.swing_kind(w, start, kind), 0
    if kind == DRIFT or (kind == SHIFT and s.age > MEMORY_OF_KIND):
        return kind, s.direction
    side = 1 if shapes.mean(w, max(RING - 8, start)) > 0 else -1
    if s.trigger != JUMP:
        return shapes.level_kind(w, shapes.recent(s, w, RING), RAMP_SAMPLES)[0], side
    if s.age > MEMORY_OF_KIND:
        return SHIFT, side
    if s.reference == 0.0:
        start = shapes.recent(s, w, min(n + BEFORE_ONSET, RING))
    return shapes.level_kind(w, start, 4)[0], side


@kernel
def _since_onset(s: SeriesRecord, m: ReadingRecord, n: int) -> int:
    """The last `n` residuals against the frozen baseline, in its standard deviations; without the first of a jump."""
    w = m.window
    start = shapes.recent(s, w, n)
    for i in range(start, RING):
        w[i] = w[i] * (s.level_scale / s.sigma) - s.reference / s.sigma
    return start + 1 if s.trigger == JUMP and n > 8 else start
