"""Steps of healing actions and what executors report back."""

from __future__ import annotations

from pydantic import Field

from schemas.records.base import EventTime, Int64, Name, Record, Scalars
from schemas.records.enums import RemediationStatus
from schemas.records.verdicts import PolicyVerdict


class Action(Record):
    type: Name
    target_id: Name
    parameters: Scalars = Field(default_factory=dict)
    runbook: str | None = None


class Remediation(Record):
    id: Name
    incident_id: Name
    asset_id: Name
    strategy: str
    status: RemediationStatus
    actions: tuple[Action, ...] = ()
    policies: tuple[PolicyVerdict, ...] = ()
    obligations: tuple[str, ...] = ()
    fencing_epoch: Int64 = 0
    action_id: str = ""
    evidence: Scalars = Field(default_factory=dict)
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
    fencing_epoch: Int64
    detail: str
    cause_id: str
    at: EventTime
