"""What an event of the views may mean for jobs. Pure."""

from __future__ import annotations

from schemas.records import Anomaly, AnomalyState, AssetState, PolicyRecord, RegisteredAsset, Remediation
from streams.kit.layer import Event
from streams.routing.fleet import RELEASES, Fleet
from streams.routing.waiting import Freed


def health_of(event: Event) -> str | None:
    """The asset whose health or registration this event may have changed."""
    if event.topic == "assets":
        return event.key
    return event.value.asset_id if isinstance(event.value, Anomaly | Remediation) else None


def may_help(event: Event, fleet: Fleet) -> Freed:
    """Which jobs that nobody took now could find a target: those that could take the asset, or after a policy all.

    All too where healing has given back what it had of a budget.
    """
    value = event.value
    if event.topic == "policies" or (event.topic == "spending" and value is None):
        return Freed(whole=True)
    better = (
        (isinstance(value, RegisteredAsset) and value.state in (AssetState.REGISTERED, AssetState.UPDATED))
        or (isinstance(value, Anomaly) and value.state is not AnomalyState.OPENED)
        or (isinstance(value, Remediation) and value.status in RELEASES)
    )
    asset_id = health_of(event) if better else None
    return Freed(fleet.world.assets.get(asset_id) if asset_id is not None else None)


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
