"""The record of a series that the detector's kernels work on.

`SeriesRecord` states the fields once, with their types for mypy and for numpy; `SERIES` is made from it. A kernel takes
one element of an array of this dtype (`table[slot]`) and changes it in place:
`observe(s: SeriesRecord, c: SettingsRecord, m: ReadingRecord, at: int, x: float) -> (score, what it did)`.
All times are event time in ms, all statistics in the metric's canonical unit (of a counter: that a second) or
dimensionless. Fields are in order of size, so that none needs padding.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from streams.telemetry.fields import Byte, Double, Float, Int, Long, Short, dtype_of

RING = 64
"""Recent standardised residuals kept for telling the kinds apart."""
QUANTUM = 0.01
"""Step of `ring` in mean absolute deviations; it holds +-320 of them."""
RING_LIMIT = 32_000.0
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

Statistics = Annotated[NDArray[np.float32], "<f4", STATISTICS]
Days = Annotated[NDArray[np.int16], "<i2", HOURS]
Values = Annotated[NDArray[np.uint16], "<u2", BINS]
Excesses = Annotated[NDArray[np.uint8], "u1", STATISTICS * OCTAVES]
Stamps = Annotated[NDArray[np.uint32], "<u4", STAMPS]
Season = Annotated[NDArray[np.float32], "<f4", BUCKETS]
History = Annotated[NDArray[np.int8], "i1", STEPS]
Visits = Annotated[NDArray[np.uint8], "u1", BUCKETS]
Ring = Annotated[NDArray[np.int16], "<i2", RING]


class SeriesRecord:
    """One series. Invariant: every float is finite; `kind` is NORMAL exactly when no value incident is open.

    A zeroed record is a series without a sample. What has no large offset (errors, scales, distances from the level) is
    in single precision: its rounding is the same share whatever the metric's unit.
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
    cause_number: Long
    """Of what the newest accepted sample came from: offset of the message; -1 = a string that stands beside the record
    (`cause_row` is below)."""
    # baseline, in the metric's unit
    interval_ms: Double
    """Usual time between samples."""
    last_value: Double
    """What was judged last: of a counter its rate per second."""
    total: Double
    """Of a counter: its newest reading."""
    level: Double
    offset: Double
    """Level of the season; `level` is of all times."""
    step_anchor: Double
    # rarity: learns through incidents (`rarity`)
    anchor: Double
    """The first value; levels by time of day are kept as distances from it."""
    local_level: Double
    trend_fast: Double
    trend_slow: Double
    value_width: Double
    """Width of a bin of `values`; 0 = all samples were equal so far."""
    # baseline: errors, distances and scales
    flat_error: Float
    season_error: Float
    other_error: Float
    activity_scale: Float
    """Mean absolute error of the season, and of the season half a period away: what chance would give."""
    fast: Float
    slow: Float
    activity: Float
    change: Float
    jump_scale: Float
    level_scale: Float
    slow_scale: Float
    step_sum: Float
    quantum: Float
    """The open step's sum less `step_anchor`; a step of `history` holds (mean - step_anchor) / quantum."""
    # baseline, dimensionless: quantile and mean excess of each tail (`tails`)
    jump_q: Float
    jump_e: Float
    pair_q: Float
    """Quantile of the smaller of two jumps in a row to one side; its excesses are as `jump_e` is to `jump_q`."""
    slow_q: Float
    slow_e: Float
    activity_q: Float
    activity_e: Float
    # incident
    reference: Float
    sigma: Float
    worst: Float
    """The highest score of the open incident, or of the last one."""
    openings: Float
    candidate_ms: Float
    """A period that was found once: it is tried when it is found again in another history."""
    candidate_span_ms: Float
    """How long the history was that showed `candidate_ms`."""
    value_offset: Float
    """Where `anchor` is in `values`, in bins from the left edge."""
    peak: Float
    # counts
    samples: Int
    """Accepted in order."""
    opened_sample: Int
    """`samples` when the last incident opened."""
    late_dropped: Int
    cause_row: Int
    """Row in the message of `cause_number`; -1 = the message's only sample."""
    age: Int
    """Samples since the onset; of the open incident, or of the last one."""
    season_samples: Int
    state_bits: Int
    step_ms: Int
    """Length of the steps; 0 = no search yet."""
    step_count: Int
    """Samples in the open step."""
    days_known: Int
    """Bit i: `days[i]` is known."""
    # arrays
    z_scale: Statistics
    """Mean of each statistic, in bins of `values`."""
    z_q: Statistics
    z_e: Statistics
    stamps: Stamps
    """The low 32 bits of the last times, in order, newest last (`stamps.remember`, `.is_remembered`, `.oldest`)."""
    season: Season
    """Level by phase, less `offset`."""
    days: Days
    """Level by time of day, in thousandths of a bin of `values` from `anchor`."""
    values: Values
    """Counts of the values seen."""
    ring: Ring
    # small numbers
    value_samples: Short
    """Counted in `values`."""
    excess_samples: Short
    """Samples that `excesses` are counted among."""
    doubt: Short
    """By how much the period may be wrong, in 1/10,000 of it; 0 = one of clocks and calendars, or of the settings."""
    flips: Short
    quiet: Short
    lean: Short
    """Side of the large jumps: `tails.LEANS` = all upwards, the negative of that = all downwards."""
    reopened: Short
    excesses: Excesses
    """Counts of large statistics, by half octaves (`counts`)."""
    visits: Visits
    history: History
    lowest_bin: Byte
    """Of `values`: the outermost that are not empty."""
    highest_bin: Byte
    steps: Byte
    """Steps in `history`."""
    buckets: Byte
    """Buckets of the season in use."""
    remembered: Byte
    """How many of `stamps` are times of samples: the last ones."""
    nature: Byte
    """Is it a counter? A code of `counter`."""
    evidence: Byte
    """For or against that: rises without a fall, or doubts."""
    # codes of `state`
    kind: Byte
    trigger: Byte
    severity: Byte
    direction: Byte
    last_sign: Byte
    flapping: Byte
    seasonal: Byte
    """0 = the level predicts; else the season, and 1 more for each doubt about it (`lapse`)."""


SERIES = dtype_of(SeriesRecord)
