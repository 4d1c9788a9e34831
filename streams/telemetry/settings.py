"""What a user may set about telemetry; every field says unit, bounds and where its default comes from."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class TelemetrySettings(BaseModel):
    """Frozen. `score` below is -log10 of a tail probability: 3 is one in a thousand samples of the series' own past."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    enter_score: float = Field(
        4.1, ge=1.0, le=12.0, description="score (-log10 p) that opens an incident [tuned on labelled generated series]"
    )
    leave_z: float = Field(
        2.5,
        ge=0.5,
        le=6.0,
        description="standard deviations under which a sample counts as normal again [3-sigma rule, less a margin]",
    )
    medium_score: float = Field(4.5, ge=1.0, le=30.0, description="score from which severity is medium [p = 3e-5]")
    high_score: float = Field(6.0, ge=1.0, le=30.0, description="score from which severity is high [p = 1e-6]")
    critical_score: float = Field(8.0, ge=1.0, le=30.0, description="score from which severity is critical [p = 1e-8]")
    min_history_samples: int = Field(
        6, ge=3, le=10_000, description="samples before the first that can be scored [seed case T5]"
    )
    close_after_samples: int = Field(
        2,
        ge=1,
        le=100,
        description="normal samples in a row that close a spike or drop; longer kinds take more [healing waits for it]",
    )
    shift_after_samples: int = Field(
        4,
        ge=2,
        le=100,
        description="samples off in one direction that turn a spike into a shift or drift [labelled spikes: up to 3]",
    )
    accept_after_samples: int = Field(
        320,
        ge=10,
        le=100_000,
        description="samples after which a changed behaviour becomes the new normal [labelled anomalies: up to 300]",
    )
    memory_samples: int = Field(
        400, ge=20, le=10_000, description="samples over which level and scale forget [1/alpha of the EW forms]"
    )
    season_s: float = Field(
        86_400.0,
        ge=60.0,
        le=31_536_000.0,
        description="seconds of the season tried first; others are found in the data [a day]",
    )
    scale_floor: float = Field(
        0.0,
        ge=0.0,
        le=1e9,
        description="smallest deviation that may matter, in the metric's unit; 0 = from the data alone [the user's]",
    )
    flap_on_share: float = Field(
        0.30, ge=0.05, le=1.0, description="weighted share of state changes that starts flap damping [Icinga 2]"
    )
    flap_off_share: float = Field(
        0.25, ge=0.0, le=1.0, description="weighted share of state changes that ends flap damping [Icinga 2]"
    )
    grace_s: float = Field(
        30.0,
        ge=0.0,
        le=86_400.0,
        description="seconds a sample may be late and still be learned from [half a usual scrape interval of 60 s]",
    )
    absence_intervals: float = Field(
        5.0,
        ge=1.5,
        le=1_000.0,
        description="learned sampling intervals without a sample that make an absence [over 3 missed in a row]",
    )
    absence_min_s: float = Field(
        30.0,
        ge=1.0,
        le=86_400.0,
        description="seconds of silence below which nothing is absent [half a usual scrape interval of 60 s]",
    )
    absence_recheck_s: float = Field(
        60.0,
        ge=1.0,
        le=86_400.0,
        description="seconds between looks at an absent series (was its asset removed?) [a usual scrape interval]",
    )
    retire_after_s: float = Field(
        604_800.0, ge=60.0, le=31_536_000.0, description="seconds of silence after which a series is forgotten [a week]"
    )

    max_series: int = Field(
        100_000,
        ge=1,
        le=10_000_000,
        description="series that the assets of one tenant may have on one partition [1 KB of memory each]",
    )
    max_new_series_per_minute: int = Field(
        30_000,
        ge=1,
        le=10_000_000,
        description="series that the assets of one tenant may begin in a minute of event time on one partition "
        "[100,000 series on 4 partitions at once]",
    )

    @model_validator(mode="after")
    def _ordered(self) -> TelemetrySettings:
        if not self.enter_score <= self.medium_score <= self.high_score <= self.critical_score:
            raise ValueError("need enter_score <= medium_score <= high_score <= critical_score")
        if self.flap_off_share > self.flap_on_share:
            raise ValueError("need flap_off_share <= flap_on_share")
        return self
