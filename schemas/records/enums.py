"""The enums of the contract.

Each has `unknown` as its default symbol, so that a later symbol does not break an older reader.
"""

from __future__ import annotations

from enum import StrEnum


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


class LifecycleChange(StrEnum):
    """What befell an asset, or (held, warned) a scope of a source: then `asset_id` is the scope's name."""

    REGISTERED = "registered"
    UPDATED = "updated"
    STALE = "stale"
    REMOVED = "removed"
    DENIED = "denied"
    """A policy refused the asset; it is not in the registry. The reason names the policy."""
    HELD = "held"
    """The mass-delete guard kept assets that a complete snapshot no longer lists."""
    WARNED = "warned"
    """A source contradicted itself; what was made of it is in the reason. Nothing visible of the asset changed."""
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


class AutonomyMode(StrEnum):
    OBSERVE = "observe"
    SUGGEST = "suggest"
    APPROVE = "approve"
    AUTO = "auto"
    UNKNOWN = "unknown"
