"""The figures that speak for an incident's record, worked out when there is one to write."""

from __future__ import annotations

from streams.kit.kernel import kernel
from streams.telemetry import flapping, shapes, tails
from streams.telemetry.record import RING, SeriesRecord
from streams.telemetry.scratch import ReadingRecord, SettingsRecord
from streams.telemetry.state import DRIFT, JUMP

LOCAL_SAMPLES = 8


@kernel
def weigh(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, kind: int, x: float) -> None:
    """Fills the evidence in `m`, which holds the reading of `x`, the newest sample; `kind` is what it is said to be."""
    samples = LOCAL_SAMPLES
    if kind == DRIFT:
        shapes.recent(s, m.window, RING)
        samples = shapes.ramp_samples(m.window, LOCAL_SAMPLES)
    m.slope_per_s, m.slope_t = shapes.slope(s, m.window, samples)
    enter = max(c.enter_score - tails.AT_QUANTILE, 0.0)
    m.expected = x - m.residual + (s.reference if s.trigger == JUMP else 0.0)
    m.half_band = (s.jump_q + enter / tails.LOG10_E * s.jump_e) * m.jump_scale
    m.flaps = flapping.flaps(s)
