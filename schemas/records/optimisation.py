"""Scaling and placement advice."""

from __future__ import annotations

from pydantic import Field

from schemas.records.base import EventTime, Finite, Name, NonNegative, Record, Scalars, Share
from schemas.records.enums import RecommendedAction


class Recommendation(Record):
    id: Name
    asset_id: Name
    action: RecommendedAction
    from_units: NonNegative
    to_units: NonNegative
    confidence: Share
    saving_usd_per_hour: Finite
    slo_risk: Share
    evidence: Scalars = Field(default_factory=dict)
    valid_until: EventTime
    withdrawn: bool = False
    cause_id: str
    reason: str
    at: EventTime
