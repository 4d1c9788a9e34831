"""Settings of the optimisation layer; the source of each default is in its description."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class OptimisationSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    window_s: int = Field(300, ge=20, le=86_400, description="s: rolling window of all figures. [HPA] down window.")
    bucket_s: int = Field(
        20, ge=1, le=3_600, description="s: event-time buckets of the window; window_s is a multiple."
    )
    half_life_h: float = Field(24.0, gt=0, le=8_760, description="h: half-life of the long histogram. [VPA]")
    late_grace_s: int = Field(60, ge=0, le=3_600, description="s: a sample that is later than this is left out.")
    look_every_s: int = Field(15, ge=1, le=3_600, description="s: how often an asset is looked at. [HPA] sync period.")
    recheck_s: int = Field(15, ge=0, le=3_600, description="s: a second look before all but scale-out. [Karpenter]")
    urgent_look_every_s: int = Field(5, ge=0, le=3_600, description="s: least time between looks at a breach.")
    min_samples: int = Field(
        10, ge=1, le=100_000, description="samples: of the deciding metric, before capacity is cut."
    )
    min_confidence: float = Field(0.2, ge=0, le=1, description="0-1: below it nothing is cut or moved.")
    min_confidence_out: float = Field(0.05, ge=0, le=1, description="0-1: below it nothing is added; erring is cheap.")

    target_utilization: float = Field(0.7, gt=0, le=1, description="0-1: utilisation aimed at.")
    target_saturation: float = Field(0.7, gt=0, le=1, description="0-1: saturation aimed at.")
    staffing_units: float = Field(
        6.0, ge=0, le=1_000, description="units: of the pool for which target_utilization is meant; larger run fuller."
    )
    fullest: float = Field(0.85, gt=0, le=1, description="0-1: no pool is planned fuller, whatever its latency allows.")
    settle_s: int = Field(
        90, ge=0, le=3_600, description="s: until units that are added help; queues and latency wait."
    )
    tolerance_up: float = Field(0.05, ge=0, le=1, description="fraction: above target, let pass. [HPA]")
    tolerance_down: float = Field(0.10, ge=0, lt=1, description="fraction: below target, let pass. [HPA]")
    stabilisation_up_s: int = Field(0, ge=0, le=86_400, description="s: the lowest wish in it is used up. [HPA]")
    stabilisation_down_s: int = Field(300, ge=0, le=86_400, description="s: the highest wish in it is used. [HPA]")
    step_up_share: float = Field(1.0, gt=0, le=100, description="fraction: of units added at once; 4 at least. [HPA]")
    step_down_share: float = Field(0.10, gt=0, le=1, description="fraction: of units cut at once; 1 at least. [HPA]")
    step_down_every_s: int = Field(60, ge=0, le=86_400, description="s: between two steps down. [HPA]")

    latency_slo_ms: float = Field(250.0, gt=0, description="ms: p95 promised; an asset's label slo.latency_ms wins.")
    error_slo_share: float = Field(0.01, gt=0, le=1, description="0-1: share of errors promised (the error budget).")
    burn_rate_act: float = Field(6.0, gt=0, description="times the error budget: act. [SRE workbook, 6 h alert]")
    burn_rate_veto: float = Field(1.0, gt=0, description="times the error budget: above it nothing is cut.")

    right_size_percentile: float = Field(0.90, gt=0, lt=1, description="0-1: of the load in the long histogram. [VPA]")
    right_size_margin: float = Field(0.15, ge=0, le=10, description="fraction: on top of it. [VPA]")
    right_size_min_change: float = Field(0.10, ge=0, le=1, description="fraction: a smaller change is not made. [VPA]")
    right_size_every_h: float = Field(12.0, ge=0, description="h: after it also inside p50-p95. [VPA]")
    min_units: float = Field(0.1, gt=0, description="units: nothing is made smaller than this.")
    accept_ratio: float = Field(
        0.5, ge=0, description="ratio: saving share / share of work moved, at least. [Karpenter]"
    )

    queue_drain_s: float = Field(60.0, gt=0, description="s: time in which a backlog is to be worked off.")
    energy_usd_per_kwh: float = Field(0.15, ge=0, description="USD/kWh: energy's part of cost and saving.")
    min_carbon_saving_g_per_hour: float = Field(100.0, ge=0, description="gCO2eq/h: less is not worth a move.")
    forecast_horizon_s: int = Field(
        300, ge=0, le=86_400, description="s: ahead, for cuts; 0 = no forecast. It only raises."
    )

    performance_every_s: int = Field(15, ge=1, le=3_600, description="s: least time between two snapshots of an asset.")
    performance_refresh_s: int = Field(300, ge=1, le=86_400, description="s: a snapshot at least this often.")
    performance_change_share: float = Field(0.05, ge=0, le=1, description="fraction: a smaller change is no news.")
    ttl_s: int = Field(900, ge=1, le=86_400, description="s: a recommendation holds; renewed in its last tenth.")
    cooldown_s: int = Field(60, ge=0, le=86_400, description="s: before a changed or withdrawn one comes again.")

    @model_validator(mode="after")
    def _window_is_whole_buckets(self) -> OptimisationSettings:
        if self.window_s % self.bucket_s:
            raise ValueError(f"window_s {self.window_s} must be a multiple of bucket_s {self.bucket_s}")
        return self

    @property
    def window_ms(self) -> int:
        return self.window_s * 1000

    @property
    def bucket_ms(self) -> int:
        return self.bucket_s * 1000

    @property
    def generation_ms(self) -> int:
        """Half a window: the histogram of a window is that of its current and its previous generation."""
        return self.window_ms // 2
