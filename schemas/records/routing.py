"""Jobs, where they go and how they ended."""

from __future__ import annotations

from pydantic import Field

from schemas.records.base import EventTime, Finite, Int64, Name, NonNegative, Record, Scalars, Share, Terms, Weights
from schemas.records.enums import JobResult, Priority, RoutingOutcome
from schemas.records.verdicts import PolicyVerdict


class Constraints(Record):
    """Hard limits of a job; None or empty = not limited; 0 is a limit of 0."""

    regions: tuple[str, ...] = ()
    clouds: tuple[str, ...] = ()
    compliance: tuple[str, ...] = ()
    data_regions: tuple[str, ...] = ()
    max_latency_ms: NonNegative | None = None
    max_cost_usd_per_hour: NonNegative | None = None
    min_reliability: Share | None = None
    max_carbon_g_per_kwh: NonNegative | None = None
    deadline_at: EventTime | None = None


class JobRequest(Record):
    id: Name
    type: str = ""
    tenant: str | None = None
    priority: Priority = Priority.NORMAL
    required_capabilities: tuple[str, ...] = ()
    constraints: Constraints = Constraints()
    weights: Weights | None = None
    data_gb: NonNegative | None = None
    metadata: Scalars = Field(default_factory=dict)
    at: EventTime


class Candidate(Record):
    asset_id: Name
    eligible: bool
    terms: Terms = Field(default_factory=dict)
    score: Finite | None = None
    reasons: tuple[str, ...] = ()


class RoutingDecision(Record):
    id: Name
    job_id: Name
    revision: Int64
    outcome: RoutingOutcome
    target_id: str | None
    fallback_ids: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    weights: Terms = Field(default_factory=dict)
    policies: tuple[PolicyVerdict, ...] = ()
    obligations: tuple[str, ...] = ()
    registry_version: str
    counterfactual: str | None = None
    cause_id: str
    reason: str
    at: EventTime


class JobOutcome(Record):
    job_id: Name
    target_id: Name
    outcome: JobResult
    error: str | None = None
    latency_ms: NonNegative | None = None
    cost_usd: NonNegative | None = None
    at: EventTime
