"""Settings of chaos inoculation. Off unless pools are named; who allows it is a mode record that names the strategy."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class InoculationSettings(BaseModel):
    """Times in seconds of event time, hours of the day in UTC, shares 0..1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pools: tuple[str, ...] = Field((), description="values of `pool_label` that get faults on purpose; empty = none")
    every_s: float = Field(86_400, ge=60, le=31_536_000, description="s between two experiments in a pool")
    from_hour: int = Field(9, ge=0, le=23, description="hour of the day (UTC) from which one may begin")
    to_hour: int = Field(16, ge=1, le=24, description="hour of the day (UTC) from which none begins any more")
    for_s: float = Field(180, gt=0, le=3_600, description="s that a fault stands at most; healed by then = passed")
    fresh_s: float = Field(120, gt=0, le=3_600, description="s: a victim's figures are not older, else nobody notices")
    error_slo_share: float = Field(0.01, gt=0, le=1, description="share of errors promised (the error budget)")
    burn_rate: float = Field(6, gt=0, le=1000, description="times the error budget: abort [SRE workbook, 6 h alert]")
    half_life_s: float = Field(
        2_592_000, gt=0, le=315_360_000, description="s after which an experiment counts half in the resilience score"
    )

    @model_validator(mode="after")
    def _window_is_one(self) -> InoculationSettings:
        if self.from_hour >= self.to_hour:
            raise ValueError(f"from_hour={self.from_hour} must be below to_hour={self.to_hour}")
        return self
