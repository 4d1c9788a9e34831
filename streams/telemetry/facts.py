"""What the compiled loop hands out about a change of a value incident: enough to write its record."""

from __future__ import annotations

from collections import namedtuple
from typing import Annotated, cast, get_type_hints

import numpy as np
from numpy.typing import NDArray

from streams.kit.kernel import kernel
from streams.telemetry.evidence import weigh
from streams.telemetry.incident import LAPSED, RECOGNISED
from streams.telemetry.record import SeriesRecord
from streams.telemetry.rounding import LEAST, MOST, rounded, short
from streams.telemetry.scratch import ReadingRecord, SettingsRecord
from streams.telemetry.state import NORMAL
from streams.telemetry.trust import confidence

Long = Annotated[int, "<i8"]
Double = Annotated[float, "<f8"]


class Facts:
    """One change, caused by row `row` of the columns at hand. Statistics in the metric's unit or dimensionless; those
    after `is_unrounded` have six significant digits.
    """

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
    flaps: Long
    late_dropped: Long
    history_samples: Long
    never_changed: Long
    """All samples before the incident were equal."""
    value: Double
    worst: Double
    slope: Double
    """A second; as it was worked out."""
    is_unrounded: Long
    """A figure is too large or too small for the compiled code to round: `read_facts` does it."""
    confidence: Double
    history_s: Double
    """From the first sample to the incident."""
    score: Double
    expected: Double
    band_low: Double
    band_high: Double
    season_s: Double
    """0 = not seasonal; of the season that was given up, if that closed the incident."""
    slope_per_s: Double
    slope_t: Double
    jump_z: Double
    jump_p: Double
    pair_z: Double
    slow_z: Double
    slow_p: Double
    activity_z: Double
    activity_p: Double


FACTS = np.dtype([(name, hint.__metadata__[0]) for name, hint in get_type_hints(Facts, include_extras=True).items()])
_NAMES = tuple(FACTS.names or ())
_AS_THEY_ARE = _NAMES.index("is_unrounded") + 1
_Row = namedtuple("_Row", _NAMES)  # type: ignore[misc]


def read_facts(records: NDArray[np.void]) -> list[Facts]:
    """Entries as Python's own numbers."""
    return [cast(Facts, _Row._make(_in_short(row) if row[_AS_THEY_ARE - 1] else row)) for row in records.tolist()]


def _in_short(row: tuple[float, ...]) -> tuple[float, ...]:
    return (*row[:_AS_THEY_ARE], *map(short, row[_AS_THEY_ARE:]))


@kernel
def write_facts(
    f: Facts,
    powers: NDArray[np.float64],
    slot: int,
    row: int,
    change: int,
    before: int,
    s: SeriesRecord,
    c: SettingsRecord,
    m: ReadingRecord,
) -> None:
    """`before` is the kind before the sample, `s` and `m` are as they are after it; `powers` are `rounding.POWERS`."""
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
    f.flaps = m.flaps
    f.late_dropped = s.late_dropped
    f.value = s.last_value
    f.worst = s.worst
    f.slope = m.slope_per_s
    n = s.samples - s.age
    f.history_samples = n
    f.never_changed = int(s.change <= 0.0 and change != RECOGNISED)
    f.is_unrounded = 0
    f.confidence = _short(f, powers, confidence(n))
    seen_ms = float(max(s.started_at - s.first_at, 0))  # a series that turned out to count began anew since
    f.history_s = _short(f, powers, seen_ms / 1000.0)
    f.score = _short(f, powers, 1.0 * s.worst)
    f.expected = _short(f, powers, m.expected)
    f.band_low = _short(f, powers, m.expected - m.half_band)
    f.band_high = _short(f, powers, m.expected + m.half_band)
    season_ms = m.period_ms if change == LAPSED else float(s.season_ms) if s.seasonal else 0.0
    f.season_s = _short(f, powers, season_ms / 1000.0)
    f.slope_per_s = _short(f, powers, m.slope_per_s)
    f.slope_t = _short(f, powers, m.slope_t)
    f.jump_z = _short(f, powers, m.jump_z)
    f.jump_p = _short(f, powers, m.jump_p)
    f.pair_z = _short(f, powers, m.pair_z)
    f.slow_z = _short(f, powers, m.slow_z)
    f.slow_p = _short(f, powers, m.slow_p)
    f.activity_z = _short(f, powers, m.activity_z)
    f.activity_p = _short(f, powers, m.activity_p)


@kernel
def _short(f: Facts, powers: NDArray[np.float64], x: float) -> float:
    if x == 0.0 or LEAST <= abs(x) < MOST:
        return rounded(x, powers)
    f.is_unrounded = 1
    return x
