"""What kernels take beside a series: the settings as numbers, and the measurement of one sample."""

from __future__ import annotations

from typing import Annotated, cast

import numpy as np
from numpy.typing import NDArray

from streams.telemetry.fields import Double, Long, dtype_of
from streams.telemetry.record import RING
from streams.telemetry.settings import TelemetrySettings

Window = Annotated[NDArray[np.float64], "<f8", RING]


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

    least: Double
    """Least scale that a deviation is measured against."""
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
    jump_side: Double
    """Its sign is the side of `jump_z`."""
    pair_z: Double
    """Of two jumps in a row to one side, the smaller."""
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


SETTINGS = dtype_of(SettingsRecord)
READING = dtype_of(ReadingRecord)


def numbers(settings: TelemetrySettings) -> SettingsRecord:
    """What the kernels take."""
    record = np.zeros(1, SETTINGS)[0]
    for name in SETTINGS.names or ():
        record[name] = round(settings.season_s * 1000.0) if name == "season_ms" else getattr(settings, name)
    return cast(SettingsRecord, record)
