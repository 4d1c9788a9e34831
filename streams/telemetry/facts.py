"""What the compiled loop hands out about a change of a value incident: enough to write its record."""

from __future__ import annotations

from typing import Annotated, get_type_hints

import numpy as np
from numpy.typing import NDArray

from streams.kit.kernel import kernel
from streams.telemetry.evidence import weigh
from streams.telemetry.record import SeriesRecord
from streams.telemetry.scratch import ReadingRecord, SettingsRecord
from streams.telemetry.state import NORMAL

Long = Annotated[int, "<i8"]
Double = Annotated[float, "<f8"]


class Facts:
    """One change, caused by row `row` of the columns at hand. Statistics in the metric's unit or dimensionless."""

    slot: Long
    row: Long
    change: Long
    """`incident.OPENED`, ..."""
    kind: Long
    """Of the incident; of the one that this closes."""
    at: Long
    started_at: Long
    samples: Long
    age: Long
    quiet: Long
    severity: Long
    direction: Long
    trigger: Long
    nature: Long
    """A code of `counter`."""
    seasonal: Long
    season_ms: Long
    """0 = not seasonal."""
    flaps: Long
    late_dropped: Long
    value: Double
    worst: Double
    expected: Double
    half_band: Double
    slope_per_s: Double
    slope_t: Double
    jump_z: Double
    jump_p: Double
    slow_z: Double
    slow_p: Double
    activity_z: Double
    activity_p: Double


FACTS = np.dtype([(name, hint.__metadata__[0]) for name, hint in get_type_hints(Facts, include_extras=True).items()])


def read_facts(records: NDArray[np.void], k: int) -> Facts:
    """Entry k as Python's own numbers."""
    facts = Facts()
    facts.__dict__.update(zip(FACTS.names or (), records[k].item(), strict=True))
    return facts


@kernel
def write_facts(
    f: Facts, slot: int, row: int, change: int, before: int, s: SeriesRecord, c: SettingsRecord, m: ReadingRecord
) -> None:
    """`before` is the kind before the sample, `s` and `m` are as they are after it."""
    kind = s.kind if s.kind != NORMAL else before
    weigh(s, c, m, kind, s.last_value)
    f.slot = slot
    f.row = row
    f.change = change
    f.kind = kind
    f.at = s.last_at
    f.started_at = s.started_at
    f.samples = s.samples
    f.age = s.age
    f.quiet = s.quiet
    f.severity = s.severity
    f.direction = s.direction
    f.trigger = s.trigger
    f.nature = s.nature
    f.seasonal = s.seasonal
    f.season_ms = s.season_ms if s.seasonal else 0
    f.flaps = m.flaps
    f.late_dropped = s.late_dropped
    f.value = s.last_value
    f.worst = s.worst
    f.expected = m.expected
    f.half_band = m.half_band
    f.slope_per_s = m.slope_per_s
    f.slope_t = m.slope_t
    f.jump_z = m.jump_z
    f.jump_p = m.jump_p
    f.slow_z = m.slow_z
    f.slow_p = m.slow_p
    f.activity_z = m.activity_z
    f.activity_p = m.activity_p
