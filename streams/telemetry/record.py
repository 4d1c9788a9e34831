"""The records that the detector's kernels work on: a series, the settings, the measurement of one sample.

Each class states the fields once, with their types for mypy and for numpy; `SERIES`, `SETTINGS` and `READING` are made
from it. A kernel takes one element of an array of such a dtype (`table[slot]`) and changes it in place:
`observe(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, at: int, x: float) -> (score, what it did)`.
All times are event time in ms, all statistics in the metric's canonical unit or dimensionless.
"""

from __future__ import annotations

from typing import Annotated, cast, get_type_hints

import numpy as np
from numpy.typing import NDArray

from streams.telemetry.settings import TelemetrySettings

RING = 64
"""Recent standardised residuals kept for telling the kinds apart."""
QUANTUM = 0.01
"""Step of `ring` in mean absolute deviations; it holds +-320 of them."""
BUCKETS = 24
"""Buckets of the season at most; interpolated, they follow two harmonics to 2 % of the amplitude."""
STEPS = 44
"""Steps of the history in which a period is looked for."""
STATISTICS = 4
"""Statistics of rarity with a tail of their own."""
HOURS = 24
"""Times of day that rarity tells apart."""
BINS = 32
"""Bins of the values seen."""
OCTAVES = 8
"""Half octaves that large statistics are counted in."""
STAMPS = 12
"""Recent sample times kept to recognise a repeated late sample."""

Long = Annotated[int, "<i8"]
Int = Annotated[int, "<i4"]
Short = Annotated[int, "<i2"]
Byte = Annotated[int, "i1"]
Double = Annotated[float, "<f8"]
Float = Annotated[float, "<f4"]
"""For what has no unit and no large offset: its rounding is the same whatever the metric's unit."""
Statistics = Annotated[NDArray[np.float32], "<f4", STATISTICS]
Days = Annotated[NDArray[np.float32], "<f4", HOURS]
Values = Annotated[NDArray[np.uint16], "<u2", BINS]
Excesses = Annotated[NDArray[np.uint8], "u1", STATISTICS * OCTAVES]
Stamps = Annotated[NDArray[np.uint32], "<u4", STAMPS]
Season = Annotated[NDArray[np.float32], "<f4", BUCKETS]
History = Annotated[NDArray[np.int8], "i1", STEPS]
Visits = Annotated[NDArray[np.uint8], "u1", BUCKETS]
Ring = Annotated[NDArray[np.int16], "<i2", RING]
Window = Annotated[NDArray[np.float64], "<f8", RING]


class SeriesRecord:
    """One series. Invariant: every float is finite; `kind` is NORMAL exactly when no value incident is open.

    A zeroed record is a series without a sample.
    """

    # times, ms
    first_at: Long
    last_at: Long
    """Newest accepted sample; valid if `samples`."""
    started_at: Long
    """Onset of the open incident."""
    absent_at: Long
    """When the first missing sample was expected; 0 = not absent."""
    timer_at: Long
    """When the series wants its timer; 0 = not at all."""
    season_ms: Long
    """Period of the season that is in use or on trial; 0 = none yet."""
    season_at: Long
    """A time of phase 0."""
    step_at: Long
    """Start of the open step of `history`."""
    # what the newest accepted sample came from
    cause_number: Long
    """Offset of the message; -1 = the cause is a string that stands beside the record (`cause_row` is below)."""
    # counts
    samples: Long
    """Accepted in order."""
    closed_sample: Long
    """`samples` when the last incident closed, and when the last one opened."""
    opened_sample: Long
    late_dropped: Int
    cause_row: Int
    """Row in the message of `cause_number`; -1 = the message's only sample."""
    age: Int
    """Samples since the onset; of the open incident, or of the last one."""
    quiet: Int
    flips: Int
    reopened: Int
    season_samples: Int
    state_bits: Int
    step_ms: Int
    """Length of the steps; 0 = no search yet."""
    candidate_span_ms: Float
    """How long the history was that showed `candidate_ms`."""
    step_count: Int
    """Samples in the open step."""
    steps: Byte
    """Steps in `history`."""
    buckets: Byte
    """Buckets of the season in use."""
    doubt: Short
    """By how much the period may be wrong, in 1/10,000 of it; 0 = one of clocks and calendars, or of the settings."""
    remembered: Byte
    """How many of `stamps` are times of samples: the last ones."""
    # codes of `state`
    kind: Byte
    trigger: Byte
    severity: Byte
    direction: Byte
    last_sign: Byte
    flapping: Byte
    seasonal: Byte
    # baseline, in the metric's unit
    interval_ms: Double
    """Usual time between samples."""
    last_value: Double
    level: Double
    offset: Double
    """Level of the season; `level` is of all times."""
    flat_error: Double
    season_error: Double
    other_error: Float
    activity_scale: Float
    """Mean absolute error of the season, and of the season half a period away: what chance would give."""
    fast: Double
    slow: Double
    activity: Double
    change: Double
    jump_scale: Double
    level_scale: Double
    slow_scale: Double
    step_anchor: Double
    step_sum: Float
    quantum: Float
    """The open step's sum less `step_anchor`; a step of `history` holds (mean - step_anchor) / quantum."""
    # baseline, dimensionless: quantile and mean excess of each tail (`tails`)
    jump_q: Float
    jump_e: Float
    slow_q: Float
    slow_e: Float
    activity_q: Float
    activity_e: Float
    # incident
    reference: Double
    sigma: Double
    worst: Float
    """The highest score of the open incident, or of the last one."""
    openings: Float
    # rarity: learns through incidents (`rarity`)
    anchor: Double
    """The first value; levels by time of day are kept as distances from it."""
    local_level: Double
    trend_fast: Double
    trend_slow: Double
    value_width: Double
    """Width of a bin of `values`; 0 = all samples were equal so far."""
    value_offset: Float
    """Where `anchor` is in `values`, in bins from the left edge."""
    peak: Float
    days_known: Int
    """Bit i: `days[i]` is known."""
    value_samples: Int
    """Counted in `values`."""
    excess_samples: Int
    """Samples that `excesses` are counted among."""
    lowest_bin: Short
    """Of `values`: the outermost that are not empty."""
    highest_bin: Short
    # arrays
    z_scale: Statistics
    """Mean of each statistic, in bins of `values`."""
    z_q: Statistics
    z_e: Statistics
    days: Days
    """Level by time of day, in bins of `values` from `anchor`."""
    values: Values
    """Counts of the values seen."""
    excesses: Excesses
    """Counts of large statistics, by half octaves (`counts`)."""
    stamps: Stamps
    """The low 32 bits of the last times, in order, newest last (`stamps.remember`, `.is_remembered`, `.oldest`)."""
    ring: Ring
    season: Season
    """Level by phase, less `offset`."""
    visits: Visits
    history: History
    candidate_ms: Float
    """A period that was found once: it is tried when it is found again in another history."""


class SettingsRecord:
    """`TelemetrySettings` as numbers (`numbers`)."""

    enter_score: Double
    leave_z: Double
    medium_score: Double
    high_score: Double
    critical_score: Double
    scale_floor: Double
    flap_on_share: Double
    flap_off_share: Double
    memory_samples: Double
    season_ms: Long
    min_history_samples: Long
    close_after_samples: Long
    shift_after_samples: Long
    accept_after_samples: Long


class ReadingRecord:
    """Scratch values of one sample, in the metric's unit; reused, so that the hot path allocates nothing."""

    flat: Double
    residual: Double
    """Against the predictor in use (level or season)."""
    season_residual: Double
    """nan where the season is not known."""
    jump: Double
    slow: Double
    activity: Double
    ratio: Double
    jump_scale: Double
    level_scale: Double
    jump_z: Double
    slow_z: Double
    activity_z: Double
    jump_p: Double
    slow_p: Double
    activity_p: Double
    # evidence of an incident's record (`evidence.weigh`)
    slope_per_s: Double
    slope_t: Double
    expected: Double
    half_band: Double
    """Half the width of the band in which a single sample would have opened nothing."""
    flaps: Long
    # what `period` found
    period_ms: Double
    error_ms: Double
    explained: Double
    lags: Window
    window: Window
    """Room for `shapes`: recent residuals, oldest first."""


def _dtype(record: type) -> np.dtype[np.void]:
    """No padding must arise between fields: its bytes would differ between equal records."""
    hints = get_type_hints(record, include_extras=True)
    return np.dtype([(name, *hint.__metadata__) for name, hint in hints.items()], align=True)


SERIES = _dtype(SeriesRecord)
SETTINGS = _dtype(SettingsRecord)
READING = _dtype(ReadingRecord)


def numbers(settings: TelemetrySettings) -> SettingsRecord:
    """What the kernels take."""
    record = np.zeros(1, SETTINGS)[0]
    for name in SETTINGS.names or ():
        record[name] = round(settings.season_s * 1000.0) if name == "season_ms" else getattr(settings, name)
    return cast(SettingsRecord, record)
