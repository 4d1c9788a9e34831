"""The records of the contract as immutable pydantic models.

Times are UTC milliseconds since the epoch and are event time. Units are in the names. Unknown fields are an error on
construction, so that a misspelt field is never silently dropped; decoding from the wire resolves versions first (`codec`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

EARLIEST_AT = 0
"""The epoch: no telemetry is older; an earlier time is a unit or sign error."""
LATEST_AT = 4_102_444_800_000
"""2100-01-01: a later time is nanoseconds or microseconds taken for milliseconds."""

EventTime = Annotated[int, Field(ge=EARLIEST_AT, le=LATEST_AT, description="UTC milliseconds since the epoch, event time")]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=512)]
Scalar = bool | int | float | str | None


class Record(BaseModel):
    """Base of every record: frozen, strict about unknown fields, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_enum_values=False)


# --- enums; each has `unknown` as its default symbol, so that a later symbol does not break an older reader -------


class Op(StrEnum):
    UPSERT = "upsert"
    DELETE = "delete"
    SNAPSHOT_BEGIN = "snapshot_begin"
    SNAPSHOT_COMPLETE = "snapshot_complete"
    SOURCE_FAILED = "source_failed"
    UNKNOWN = "unknown"


class AssetKind(StrEnum):
    MICROSERVICE = "microservice"
    DATA_PIPELINE = "data_pipeline"
    JOB_RUNNER = "job_runner"
    QUEUE = "queue"
    EXTERNAL_API = "external_api"
    INFRASTRUCTURE = "infrastructure"
    UNKNOWN = "unknown"


class AssetState(StrEnum):
    REGISTERED = "registered"
    UPDATED = "updated"
    STALE = "stale"
    REMOVED = "removed"
    UNKNOWN = "unknown"


class AnomalyKind(StrEnum):
    SPIKE = "spike"
    DROP = "drop"
    SHIFT = "shift"
    DRIFT = "drift"
    OSCILLATION = "oscillation"
    VARIANCE = "variance"
    ABSENCE = "absence"
    UNKNOWN = "unknown"


class AnomalyState(StrEnum):
    OPENED = "opened"
    CHANGED = "changed"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class Severity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


class Direction(StrEnum):
    UP = "up"
    DOWN = "down"
    NONE = "none"
    UNKNOWN = "unknown"


class RemediationStatus(StrEnum):
    PLANNED = "planned"
    DENIED = "denied"
    SUPPRESSED = "suppressed"
    AWAITING_APPROVAL = "awaiting_approval"
    EXECUTING = "executing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    VERIFIED = "verified"
    ESCALATED = "escalated"
    ROLLED_BACK = "rolled_back"
    UNKNOWN = "unknown"


class RecommendedAction(StrEnum):
    SCALE_OUT = "scale_out"
    SCALE_IN = "scale_in"
    REBALANCE = "rebalance"
    RIGHT_SIZE = "right_size"
    UNKNOWN = "unknown"


class Priority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


class RoutingOutcome(StrEnum):
    ROUTED = "routed"
    PIVOTED = "pivoted"
    UNROUTABLE = "unroutable"
    UNKNOWN = "unknown"


class JobResult(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


# --- discovery ------------------------------------------------------------------------------------------------------


class Capability(Record):
    name: Name
    latency_ms: NonNegative | None = None
    throughput_per_s: NonNegative | None = None
    reliability: Share | None = None
    cost_usd_per_unit: NonNegative | None = None


class Endpoint(Record):
    type: Name
    url: str
    health_url: str | None = None


class Asset(Record):
    id: Name
    name: str = ""
    kind: AssetKind = AssetKind.UNKNOWN
    cloud: str | None = None
    region: str | None = None
    zone: str | None = None
    failure_domain: str | None = None
    tenant: str | None = None
    owner: str | None = None
    version: str | None = None
    labels: dict[str, str] = {}
    capabilities: tuple[Capability, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    compliance: tuple[str, ...] = ()
    data_regions: tuple[str, ...] = ()
    capacity_units: NonNegative | None = None
    cost_usd_per_hour: NonNegative | None = None
    carbon_g_per_kwh: NonNegative | None = None
    fallback_ids: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()


class SourceState(Record):
    source: Name
    fresh_at: EventTime
    complete: bool = False


class RegisteredAsset(Asset):
    """An Asset as the registry knows it: the value on topic `assets`."""

    provenance: dict[str, str] = {}
    sources: tuple[SourceState, ...] = ()
    state: AssetState = AssetState.REGISTERED
    version_hash: str = ""


class DiscoveryEvent(Record):
    source: Name
    scope: Name
    op: Op
    snapshot_id: str | None = None
    asset_id: str | None = None
    asset: Asset | None = None
    reason: str | None = None
    at: EventTime

    @model_validator(mode="after")
    def _op_has_what_it_needs(self) -> DiscoveryEvent:
        if self.op is Op.UPSERT and self.asset is None:
            raise ValueError("op=upsert needs `asset`")
        if self.op is Op.DELETE and not self.asset_id:
            raise ValueError("op=delete needs `asset_id`")
        if self.asset is not None and self.asset_id not in (None, self.asset.id):
            raise ValueError("`asset_id` differs from `asset.id`")
        if self.op in (Op.SNAPSHOT_BEGIN, Op.SNAPSHOT_COMPLETE) and not self.snapshot_id:
            raise ValueError(f"op={self.op} needs `snapshot_id`")
        return self


class LifecycleEvent(Record):
    id: Name
    asset_id: Name
    change: AssetState
    changed_fields: tuple[str, ...] = ()
    source: str
    cause_id: str
    reason: str
    at: EventTime


# --- telemetry ------------------------------------------------------------------------------------------------------


class HealthSignal(Record):
    asset_id: Name
    metric: Name
    value: Finite
    unit: str = ""
    at: EventTime
    tags: dict[str, str] = {}
    source: str = ""
    trace_id: str | None = None


class SeriesKey(Record):
    asset_id: Name
    metric: Name
    unit: str = ""


class HealthSignalBatch(Record):
    """Many samples in columns; `series_index[i]`, `at[i]`, `value[i]` are one sample.

    Values are not checked here: a bad row loses that row, not the batch (the telemetry agent reports it).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True)

    source: str = ""
    series: tuple[SeriesKey, ...]
    series_index: tuple[int, ...]
    at: tuple[int, ...]
    value: tuple[float, ...]

    @model_validator(mode="after")
    def _columns_are_equally_long(self) -> HealthSignalBatch:
        if not len(self.series_index) == len(self.at) == len(self.value):
            raise ValueError(
                f"columns differ in length: series_index {len(self.series_index)}, at {len(self.at)}, value {len(self.value)}"
            )
        return self


class Anomaly(Record):
    id: Name
    incident_id: Name
    state: AnomalyState
    asset_id: Name
    metric: Name
    kind: AnomalyKind
    severity: Severity
    score: NonNegative
    direction: Direction
    value: Finite | None
    expected: Finite | None
    slope_per_s: Finite
    confidence: Share
    at: EventTime
    started_at: EventTime
    cause_id: str
    evidence: dict[str, Scalar] = {}
    reason: str


class Performance(Record):
    """Snapshot per asset over its rolling window; None = not reported (never counted as 0)."""

    asset_id: Name
    at: EventTime
    window_s: NonNegative
    samples: int
    latency_ms_p50: NonNegative | None = None
    latency_ms_p95: NonNegative | None = None
    error_rate: Share | None = None
    saturation: NonNegative | None = None
    utilization: NonNegative | None = None
    throughput_per_s: NonNegative | None = None
    cost_usd_per_hour: NonNegative | None = None
    queue_depth: NonNegative | None = None
    energy_w: NonNegative | None = None
    cause_id: str = ""


# --- healing --------------------------------------------------------------------------------------------------------


class Action(Record):
    type: Name
    target_id: Name
    parameters: dict[str, Scalar] = {}
    runbook: str | None = None


class PolicyVerdict(Record):
    id: str
    version: str
    allowed: bool
    reason: str


class Remediation(Record):
    id: Name
    incident_id: Name
    asset_id: Name
    strategy: str
    status: RemediationStatus
    actions: tuple[Action, ...] = ()
    policies: tuple[PolicyVerdict, ...] = ()
    obligations: tuple[str, ...] = ()
    fencing_epoch: int = 0
    action_id: str = ""
    evidence: dict[str, Scalar] = {}
    cause_id: str
    reason: str
    at: EventTime


class ActionOutcome(Record):
    """What an executor did for one action id: the feedback to healing, on `action-outcomes`."""

    id: Name
    action_id: Name
    incident_id: Name
    asset_id: Name
    strategy: str
    succeeded: bool
    rolled_back: bool = False
    fencing_epoch: int
    detail: str
    cause_id: str
    at: EventTime


# --- optimisation ---------------------------------------------------------------------------------------------------


class Recommendation(Record):
    id: Name
    asset_id: Name
    action: RecommendedAction
    from_units: NonNegative
    to_units: NonNegative
    confidence: Share
    saving_usd_per_hour: Finite
    slo_risk: Share
    evidence: dict[str, Scalar] = {}
    valid_until: EventTime
    withdrawn: bool = False
    cause_id: str
    reason: str
    at: EventTime


# --- routing --------------------------------------------------------------------------------------------------------


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
    weights: dict[str, NonNegative] | None = None
    data_gb: NonNegative | None = None
    metadata: dict[str, Scalar] = {}
    at: EventTime


class Candidate(Record):
    asset_id: Name
    eligible: bool
    terms: dict[str, float] = {}
    score: Finite | None = None
    reasons: tuple[str, ...] = ()


class RoutingDecision(Record):
    id: Name
    job_id: Name
    revision: int
    outcome: RoutingOutcome
    target_id: str | None
    fallback_ids: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    weights: dict[str, float] = {}
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


# --- policies -------------------------------------------------------------------------------------------------------


class AutonomyMode(StrEnum):
    OBSERVE = "observe"
    SUGGEST = "suggest"
    APPROVE = "approve"
    AUTO = "auto"
    UNKNOWN = "unknown"


class PolicySet(Record):
    """A whole Cedar policy set; `files` maps a file name to its text."""

    files: dict[str, str]


class ModeRule(Record):
    """Autonomy of a strategy x tenant x environment; `*` matches all, the most specific rule wins."""

    strategy: str = "*"
    tenant: str = "*"
    environment: str = "*"
    mode: AutonomyMode


class Pause(Record):
    """A named hold on effects in a scope (`*`, `tenant:x` or `asset:y`); lifted only by its own holder."""

    scope: str = "*"
    holder: Name
    lifted: bool = False
    until: EventTime | None = None


class Budget(Record):
    scope: str
    limit_usd_per_hour: NonNegative


class Approval(Record):
    action_id: Name
    approved: bool
    by: Name
    expires_at: EventTime | None = None


class PolicyRecord(Record):
    """One versioned entry of topic `policies`: exactly one of the bodies is set. Key = `id`."""

    id: Name
    kind: Literal["policy_set", "mode", "pause", "budget", "approval"]
    version: str
    author: str = ""
    reason: str = ""
    policy_set: PolicySet | None = None
    mode: ModeRule | None = None
    pause: Pause | None = None
    budget: Budget | None = None
    approval: Approval | None = None
    at: EventTime

    @model_validator(mode="after")
    def _body_fits_kind(self) -> PolicyRecord:
        bodies = {n for n in ("policy_set", "mode", "pause", "budget", "approval") if getattr(self, n) is not None}
        if bodies != {self.kind}:
            raise ValueError(f"kind={self.kind} needs exactly the body `{self.kind}`, got {sorted(bodies)}")
        return self
