"""What an event of the views may mean for jobs. Pure."""

from __future__ import annotations

from schemas.records import Anomaly, AnomalyState, AssetState, PolicyRecord, RegisteredAsset, Remediation
from streams.kit.layer import Event
from streams.routing.fleet import RELEASES


def health_of(event: Event) -> str | None:
    """The asset whose health or registration this event may have changed."""
    if event.topic == "assets":
        return event.key
    return event.value.asset_id if isinstance(event.value, Anomaly | Remediation) else None


def may_help(event: Event) -> bool:
    """Could a job that nobody took now find a target?"""
    value = event.value
    if isinstance(value, RegisteredAsset):
        return value.state in (AssetState.REGISTERED, AssetState.UPDATED)
    if isinstance(value, Anomaly):
        return value.state is not AnomalyState.OPENED
    if isinstance(value, Remediation):
        return value.status in RELEASES
    return event.topic == "policies"


def content_of(event: Event) -> tuple[str | int, ...]:
    """What the event says, for the ids of decisions that it causes: the same live and in replay."""
    value = event.value
    if isinstance(value, Anomaly | Remediation):
        return event.topic, value.id
    if isinstance(value, RegisteredAsset):
        return event.topic, event.key, value.version_hash, value.state.value
    if isinstance(value, PolicyRecord):
        return event.topic, event.key, value.version
    return event.topic, event.key, "tombstone"
