"""Settings of the routing layer: what a score means, when a target counts as ill, how long a job is kept."""

from __future__ import annotations

import math
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.records import Severity

TERMS: Final = ("cost", "latency", "reliability", "carbon", "saturation")
DEFAULT_WEIGHTS: Final = {"cost": 0.30, "latency": 0.30, "reliability": 0.25, "carbon": 0.05, "saturation": 0.10}


class RoutingSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    # --- scoring ---
    weights: dict[str, float] = Field(
        DEFAULT_WEIGHTS,
        description="Share of each term (cost, latency, reliability, carbon, saturation) when a job names none; only "
        "their ratios count. Source: ours; cost and latency first, as the seed lists them.",
    )
    tenant_weights: dict[str, dict[str, float]] = Field(
        {}, description="Tenant -> shares of the terms for its jobs that name none; others have weights. The "
        "reason names their version, a hash of them. Source: none, as long as nobody asks.",
    )  # fmt: skip
    spread_floor_share: float = Field(
        0.10, ge=0, le=1, description="Share of the worst value: values closer together than this do not use the whole "
        "scale of a term, so that noise decides nothing. Source: HPA's tolerance, 0.10.",
    )  # fmt: skip
    reliability_spread_floor: float = Field(
        0.001, ge=0, le=1, description="The same for reliability, as a difference of success rates 0-1. Source: ours.",
    )  # fmt: skip
    saturation_spread_floor: float = Field(
        0.10, ge=0, le=1, description="The same for saturation, as a difference 0-1. Source: HPA's tolerance.",
    )  # fmt: skip
    unknown_term: Literal["worst", "neutral"] = Field(
        "worst", description="What an unknown figure counts as: the worst that is known of the others, or 0.5. "
        "Source: ours; what is missing is not good.",
    )  # fmt: skip
    incumbent_bonus: float = Field(
        0.05, ge=0, le=1, description="Added to the score (0-1) of the target a job already has. Source: ours.",
    )  # fmt: skip
    incident_penalty: float = Field(
        0.10, ge=0, le=1, description="Taken from the score (0-1) of a target with an open incident less severe than "
        "incident_severity. Source: ours.",
    )  # fmt: skip
    critical_boost: float = Field(
        2.0, ge=1, le=100, description="Factor on the weights of latency and reliability of critical jobs. "
        "Source: ours.",
    )  # fmt: skip
    high_boost: float = Field(1.5, ge=1, le=100, description="The same for jobs of high priority. Source: ours.")
    low_cost_boost: float = Field(
        1.5, ge=1, le=100, description="Factor on the weight of cost for jobs of low priority. Source: ours.",
    )  # fmt: skip

    soft_share_max: float = Field(
        0.20, ge=0, le=0.5, description="Share of the score (0-1) that the soft terms of policies may have together; "
        "beyond it their weights are scaled down. Source: ours; a preference must not outvote the figures.",
    )  # fmt: skip

    # --- figures ---
    latency_percentile: Literal["p50", "p95"] = Field(
        "p95", description="Which measured latency counts. Source: the percentile that objectives are usually set on.",
    )  # fmt: skip
    performance_ttl_s: float = Field(
        900, gt=0, le=86_400, description="s; a measurement older than this is not used, declared figures are. "
        "Source: three windows of 5 minutes.",
    )  # fmt: skip
    egress_usd_per_gb: float = Field(
        0.09, ge=0, le=100, description="USD per GB that must move to another region. Source: the list price of "
        "internet egress of the large clouds.",
    )  # fmt: skip
    transfer_gbit_per_s: float = Field(
        1.0, gt=0, le=100_000, description="Gbit/s between regions. Source: a single well-tuned flow.",
    )  # fmt: skip
    job_hours: float = Field(
        1.0, gt=0, le=8_760, description="h; over how long the price of moving a job's data is spread. Source: ours.",
    )  # fmt: skip

    reliability_prior_outcomes: float = Field(
        50, ge=1, le=1e9, description="Outcomes that a target's declared reliability is worth: after as many, what "
        "happened counts half; 1e9 = what is declared stays. Source: ours; one failure of a job may be its own fault.",
    )  # fmt: skip
    reliability_half_life_s: float = Field(
        604_800, gt=0, le=315_360_000, description="s of event time after which an outcome counts half of what it did "
        "for its target's learned reliability. Source: ours; a week.",
    )  # fmt: skip

    # --- hard filters ---
    incident_severity: Severity = Field(
        Severity.HIGH, description="An open incident of at least this severity makes a target ineligible and its jobs "
        "pivot. Source: ours.",
    )  # fmt: skip
    saturation_limit: float = Field(
        0.95, gt=0, le=10, description="At or above this saturation (0-1) a target takes no more jobs. Source: ours.",
    )  # fmt: skip
    critical_saturation_limit: float = Field(
        1.0, gt=0, le=10, description="The same for critical jobs, which may take the last slot. Source: ours.",
    )  # fmt: skip
    error_rate_limit: float = Field(
        0.50, gt=0, le=1, description="At or above this measured error rate (0-1) a target is ill. Source: ours.",
    )  # fmt: skip
    job_units: float = Field(
        1.0, ge=0, le=1e9, description="Units of its target's capacity_units that a job books where its metadata names "
        "none (units); 0 = nothing is booked. Source: a job a slot.",
    )  # fmt: skip
    booking_ttl_s: float = Field(
        3_600, gt=0, le=31_536_000, description="s after which the booking of a job without an outcome is freed, "
        "rounded up to a minute. Source: ours; as job_hours.",
    )  # fmt: skip
    spending_told_s: float = Field(
        1.0, ge=0, le=3_600, description="s of event time between two records on spending of one budget's scope and "
        "partition: so late healing may learn what jobs spend. Source: policies count within a second.",
    )  # fmt: skip
    tenant_quotas: dict[str, int] = Field(
        {}, description="Tenant -> active jobs that it may have at once, over all targets; others have no limit. Each "
        "partition gives its share, rounded up. Source: none, as long as nobody asks.",
    )  # fmt: skip
    critical_reserve_share: float = Field(
        0.10, ge=0, le=1, description="Share of a target's capacity that only critical jobs may book, rounded up to a "
        "unit where there are two or more. Source: ours.",
    )  # fmt: skip
    allow_degraded: bool = Field(
        False, description="true or false: when no healthy target is left, forgive incidents, saturation and error "
        "rates rather than refuse. Source: ours.",
    )  # fmt: skip
    policy_asks_max: int = Field(
        10_000, ge=1, le=1_000_000, description="Questions to the policy in one decision; what is left is not "
        "considered, and the reason says so. Source: about 1 s of Cedar.",
    )  # fmt: skip

    # --- what is chosen and said ---
    fallbacks_max: int = Field(3, ge=0, le=16, description="Targets named behind the first. Source: the seed's three.")
    candidates_listed: int = Field(
        16, ge=1, le=1_000, description="Candidates listed in a record; the rest is counted. Source: ours; listing 50 "
        "makes a decision a quarter slower.",
    )  # fmt: skip
    pivot_within_domain: bool = Field(
        True, description="true or false: when nothing outside the failed target's failure domain is eligible, stay "
        "inside it rather than refuse. Source: ours.",
    )  # fmt: skip

    # --- life of a job ---
    retry_s: float = Field(15, gt=0, le=86_400, description="s between tries of an unroutable job. Source: ours.")
    retry_min_s: float = Field(
        1, gt=0, le=86_400, description="s; a better world makes an unroutable job try again at once, but not more "
        "often than this. Source: ours.",
    )  # fmt: skip
    job_ttl_s: float = Field(
        86_400, gt=0, le=31_536_000, description="s after which a job without an outcome is forgotten. Source: a day.",
    )  # fmt: skip
    done_kept_s: float = Field(
        3_600, gt=0, le=31_536_000, description="s that an ended job is remembered, so that its request, sent again, "
        "starts nothing. Source: ours.",
    )  # fmt: skip
    moved_max: int = Field(
        256, ge=1, le=100_000, description="Jobs, the most urgent first, that move at once when their target falls ill "
        "or goes; the others in as many at a time, 0.1 s apart. Source: ours; 15 to 100 ms of decisions.",
    )  # fmt: skip
    failback_mode: Literal["auto", "approve", "suggest", "observe"] = Field(
        "observe", description="auto, approve, suggest or observe: whether jobs come back to the target that an "
        "illness drove them from, where no mode record of strategy failback says otherwise. Source: ours; a move may "
        "begin a job anew.",
    )  # fmt: skip
    failback_after_s: float = Field(
        600, gt=0, le=604_800, description="s for which a target must have been well before jobs come back to it, and "
        "between two tries of those for which it was not worth it. Source: failback of healing, 600 s.",
    )  # fmt: skip
    failback_window_s: float = Field(
        60, gt=0, le=86_400, description="s in which at most moved_max jobs of a target are looked at for coming back. "
        "Source: ours.",
    )  # fmt: skip
    retried_max: int = Field(
        64, ge=0, le=100_000, description="Waiting jobs, the most urgent first and of these the least recently tried, "
        "that one record of the view (asset, incident, policy) tries at once; the others with the next such record "
        "or at their retry. Source: ours; 3 to 25 ms of decisions.",
    )  # fmt: skip
    woken_max: int = Field(
        16, ge=0, le=10_000, description="Waiting jobs, the most urgent first, that are tried at once when an outcome "
        "frees capacity; the others at their retry. Source: ours.",
    )  # fmt: skip
    attempts_max: int = Field(
        5, ge=1, le=1_000, description="Failed outcomes after which a job is given up. Source: retries of healing.",
    )  # fmt: skip
    failed_target_rest_s: float = Field(
        300, ge=0, le=86_400, description="s for which a target that failed a job is not tried again for it. "
        "Source: healing's cooldown.",
    )  # fmt: skip

    @model_validator(mode="after")
    def _maps_make_sense(self) -> Self:
        _check("weights", self.weights)
        for tenant, weights in self.tenant_weights.items():
            _check(f"tenant_weights of {tenant}", weights)
        if negative := sorted(tenant for tenant, quota in self.tenant_quotas.items() if quota < 0):
            raise ValueError(f"tenant_quotas of {', '.join(negative)}: must be 0 or more")
        return self


def _check(name: str, weights: dict[str, float]) -> None:
    unknown = sorted(set(weights) - set(TERMS))
    if unknown:
        raise ValueError(f"{name}: unknown term {', '.join(unknown)}; known: {', '.join(TERMS)}")
    if any(not math.isfinite(w) or w < 0 for w in weights.values()):
        raise ValueError(f"{name}: each must be finite and >= 0")
    if not any(w > 0 for w in weights.values()):
        raise ValueError(f"{name}: at least one must be above 0")
