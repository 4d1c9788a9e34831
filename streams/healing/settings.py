"""Settings of the healing layer. Defaults are those of systems whose users learned them the hard way (named)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.records import AnomalyKind, AutonomyMode, Direction, Severity
from streams.healing.inoculation.settings import InoculationSettings

PAGE = "page"
"""Id of the strategy of last resort: tell a person."""


class Fit(BaseModel):
    """Which anomalies a strategy is meant for; empty = any. A strategy without a `Fit` is left to its own pre-check."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: str = Field(description="strategy id")
    metrics: tuple[str, ...] = Field((), description="metric name patterns with * and ?")
    kinds: tuple[AnomalyKind, ...] = Field((), description="anomaly kinds")
    directions: tuple[Direction, ...] = Field((), description="directions; a latency that falls needs no healing")


class Traits(BaseModel):
    """What acting costs, on the scale of `expected success x severity` (0..1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cost: float = Field(0.05, ge=0, le=1, description="price of acting, share of a critical incident's harm")
    blast_radius: float = Field(0.10, ge=0, le=1, description="harm if the action itself goes wrong, same scale")


_UP = (Direction.UP, Direction.NONE)
DEFAULT_FITS = (
    Fit(strategy="failover", metrics=("latency*", "error*"), directions=_UP),
    Fit(strategy="failover", metrics=("availability*",), directions=(Direction.DOWN,)),
    Fit(strategy="failover", kinds=(AnomalyKind.ABSENCE,)),
    Fit(strategy="rebalance", metrics=("saturation*", "utilization*", "queue_depth*"), directions=_UP),
    Fit(strategy="throttle", metrics=("cost*", "saturation*", "queue_depth*"), directions=_UP),
    Fit(strategy="restart", kinds=(AnomalyKind.ABSENCE,)),
    Fit(strategy="scale", metrics=("saturation*", "utilization*", "queue_depth*", "latency*"), directions=_UP),
    Fit(strategy="rollback", metrics=("error*", "latency*"), directions=_UP),
    Fit(strategy="cordon", metrics=("error*", "saturation*"), directions=_UP),
    Fit(strategy="cordon", kinds=(AnomalyKind.ABSENCE,)),
    Fit(strategy="iac_rollback", metrics=("error*", "latency*", "cost*"), directions=_UP),
)
DEFAULT_TRAITS = {
    "runbook": Traits(cost=0.02, blast_radius=0.05),
    "rebalance": Traits(cost=0.02, blast_radius=0.05),
    "restart": Traits(cost=0.02, blast_radius=0.10),
    "scale": Traits(cost=0.08, blast_radius=0.02),
    "failover": Traits(cost=0.05, blast_radius=0.10),
    "cordon": Traits(cost=0.10, blast_radius=0.05),
    "throttle": Traits(cost=0.10, blast_radius=0.15),
    "rollback": Traits(cost=0.05, blast_radius=0.20),
    "iac_rollback": Traits(cost=0.30, blast_radius=0.0),
}


class HealingSettings(BaseModel):
    """All times in seconds of event time, shares 0..1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_severity: Severity = Field(Severity.MEDIUM, description="incidents below it are not healed")
    page_min_severity: Severity = Field(Severity.HIGH, description="incidents below it never page a person")
    page_after_rest_s: float = Field(
        600,
        ge=0,
        le=604_800,
        description="s a series must have been seen before its first change ever may page; 0 = any",
    )
    confirm_intervals: float = Field(
        2.5,
        ge=0,
        le=1000,
        description="sampling intervals that a spike or drop below critical must last before it is acted on; 0 = none "
        "[one sample is closed after two normal ones; once_after of Ansible EDA]",
    )
    default_mode: AutonomyMode = Field(AutonomyMode.AUTO, description="autonomy where no mode record matches")
    fits: tuple[Fit, ...] = Field(DEFAULT_FITS, description="which anomalies each strategy is meant for")
    traits: dict[str, Traits] = Field(DEFAULT_TRAITS, description="cost and blast radius per strategy id")
    prior_successes: float = Field(
        1.0, gt=0, le=1000, description="Beta prior of a strategy: successes (1, 1 = uniform)"
    )
    prior_failures: float = Field(1.0, gt=0, le=1000, description="Beta prior of a strategy: failures")
    history_half_life_s: float = Field(
        86_400,
        gt=0,
        le=31_536_000,
        description="s after which an outcome counts half: old failures bar nothing for ever",
    )
    min_utility: float = Field(0.0, ge=-2, le=1, description="act only if utility exceeds it")
    cooldown_s: float = Field(300, ge=0, le=86_400, description="s per asset x strategy after an effect [NHC]")
    storm_share: float = Field(
        0.20, ge=0, le=1, description="share of a pool unhealthy above which we stop [Karpenter]"
    )
    storm_min_unhealthy: int = Field(
        2, ge=1, le=1000, description="assets; one ill asset is no evidence of a common cause, whatever its share"
    )
    storm_cooldown_s: float = Field(300, ge=0, le=86_400, description="s without actions after a storm [NHC]")
    acting_share: float = Field(
        0.10, gt=0, le=1, description="max share of a pool acted on at once, at least 1 [Envoy]"
    )
    strategy_timeout_s: float = Field(60, gt=0, le=86_400, description="s for outcome, and again for recovery [NHC]")
    healthy_for_s: float = Field(30, ge=0, le=3_600, description="s healthy before it counts as recovered [Karmada]")
    failover_verified_by: Literal["destination", "incident"] = Field(
        "destination", description="what proves a failover: its destination stays healthy, or the incident closes"
    )
    max_retries: int = Field(5, ge=0, le=100, description="retries of a failed action, and waits for a guard")
    retry_base_s: float = Field(5, gt=0, le=3_600, description="s before the first retry; doubles each time")
    retry_max_s: float = Field(300, gt=0, le=86_400, description="s, upper bound of one wait")
    retry_jitter_share: float = Field(0.2, ge=0, le=1, description="share of a wait spread by hash of its cause")
    hourly_actions: int = Field(10, ge=0, le=10_000, description="actions per asset in any 3600 s")
    approval_ttl_s: float = Field(900, gt=0, le=604_800, description="s that an approval is waited for")
    lease_s: float = Field(180, gt=0, le=86_400, description="s after which another incident may act on the asset")
    failback_after_s: float = Field(600, ge=0, le=604_800, description="s stable before a failover is undone")
    failback_gap_s: float = Field(30, ge=0, le=86_400, description="s between two failbacks in a pool: one at a time")
    derive_fallbacks: bool = Field(True, description="without `fallback_ids`: same tenant, all capabilities")
    max_destinations: int = Field(
        32, ge=1, le=1000, description="destinations of a failover that policy is asked about, best first"
    )
    max_destination_saturation: float = Field(0.8, gt=0, le=10, description="saturation a destination may have")
    throttle_floor_share: float = Field(
        0.2, gt=0, le=1, description="share of what comes in that a throttle lets in at least"
    )
    scale_step: int = Field(1, ge=1, le=1000, description="replicas that a scale-out of healing adds")
    scale_most: int = Field(20, ge=1, le=100_000, description="replicas that healing scales to at most")
    group_window_s: float = Field(
        300,
        ge=0,
        le=86_400,
        description="s between the onsets of incidents of one group; 0 = same ms [alert grouping: commonly 5 min]",
    )
    group_hops: int = Field(5, ge=0, le=20, description="dependencies followed upstream to a probable root; 0 = none")
    inoculation: InoculationSettings = Field(
        default_factory=InoculationSettings, description="faults on purpose, to see whether they are healed"
    )
    retention_s: float = Field(86_400, ge=60, le=31_536_000, description="s an ended incident is remembered")
    pool_label: str = Field("pool", description="label that names an asset's pool; without it: tenant and kind")
    runbook_label: str = Field("runbook", description="label that names an asset's runbook")

    @model_validator(mode="after")
    def _lease_outlives_a_strategy(self) -> HealingSettings:
        needed = self.strategy_timeout_s + self.healthy_for_s
        if self.lease_s <= needed:
            raise ValueError(f"lease_s={self.lease_s:g} must exceed strategy_timeout_s + healthy_for_s = {needed:g} s")
        if self.retry_max_s < self.retry_base_s:
            raise ValueError(f"retry_max_s={self.retry_max_s:g} is below retry_base_s={self.retry_base_s:g}")
        return self


def milliseconds(seconds: float) -> int:
    """Event time is in whole ms; settings are in s."""
    return round(seconds * 1000)
