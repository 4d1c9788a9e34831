"""The world as a layer sees it: registry, performance, open incidents, remediations and policy records.

A projection of compacted and broadcast topics, kept up to date one record at a time. Healing, optimisation and routing
read it; the live runtime feeds it from the topics, replay from the file. It depends only on the records seen, not on
the order between keys or topics (docs/adr/0004): what a tombstone ends is told by time, not by what came first.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from schemas.records import (
    Anomaly,
    AnomalyState,
    Performance,
    PolicyRecord,
    RegisteredAsset,
    Remediation,
    RemediationStatus,
    Spending,
)
from streams.kit.layer import Event
from streams.kit.ledger import Ledger


def _mark(asset: RegisteredAsset) -> int:
    digest = hashlib.sha256(f"{asset.id}\0{asset.version_hash}\0{asset.state}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


KEPT_REMEDIATIONS = 64
"""Incidents of one asset whose remediation is remembered; more only where each of them is still in effect."""
_SPENT = frozenset(
    {
        RemediationStatus.DENIED,
        RemediationStatus.SUPPRESSED,
        RemediationStatus.FAILED,
        RemediationStatus.ROLLED_BACK,
    }
)


def _is_spent(step: Remediation) -> bool:
    """Nothing of it is in effect: a verified failover drains its asset until it is rolled back, others are done."""
    return step.status in _SPENT or (step.status is RemediationStatus.VERIFIED and step.strategy != "failover")


@dataclass(slots=True)
class World:
    """`incidents[asset][incident]` holds open incidents only; `remediations[asset][incident]` the newest step.

    `removed_at[asset]`: ms of its newest tombstone; steps up to then are of an asset that is no more.
    """

    assets: dict[str, RegisteredAsset] = field(default_factory=dict)
    performance: dict[str, Performance] = field(default_factory=dict)
    incidents: dict[str, dict[str, Anomaly]] = field(default_factory=dict)
    remediations: dict[str, dict[str, Remediation]] = field(default_factory=dict)
    policies: dict[str, PolicyRecord] = field(default_factory=dict)
    removed_at: dict[str, int] = field(default_factory=dict)
    dependents: dict[str, set[str]] = field(default_factory=dict)
    """`depends_on` of the registry the other way round."""
    ledger: Ledger = field(default_factory=Ledger)
    derived: dict[str, object] = field(default_factory=dict, compare=False, repr=False)
    """What readers have worked out of the registry alone, by a name of theirs; forgotten when any asset changes."""
    _registry_sum: int = 0

    @property
    def registry_version(self) -> str:
        """16 hex digits that depend on the set of (asset, version, state), not on the order of arrival."""
        return f"{self._registry_sum:016x}"

    def see(self, event: Event) -> None:
        value = event.value
        if event.topic == "assets":
            self._see_asset(event.key, value if isinstance(value, RegisteredAsset) else None, event.at)
        elif event.topic == "policies":
            if isinstance(value, PolicyRecord):
                self.policies[event.key] = value
            else:
                self.policies.pop(event.key, None)
        elif event.topic == "spending":
            self.ledger.see(event.key, value if isinstance(value, Spending) else None)
        elif isinstance(value, Performance):
            self.performance[value.asset_id] = value
        elif event.topic == "performance" and value is None:
            self.performance.pop(event.key, None)
        elif isinstance(value, Anomaly):
            self._see_anomaly(value)
        elif isinstance(value, Remediation) and not self.is_over(value.asset_id, value.at):
            self._see_remediation(value)

    def is_over(self, asset_id: str, at: int) -> bool:
        """Whether the asset was removed at that time or later."""
        return at <= self.removed_at.get(asset_id, -1)

    def _see_remediation(self, step: Remediation) -> None:
        """The newest step of each incident; of many, those that came to nothing make room, oldest first."""
        of_asset = self.remediations.setdefault(step.asset_id, {})
        of_asset.pop(step.incident_id, None)
        of_asset[step.incident_id] = step
        if len(of_asset) > KEPT_REMEDIATIONS:
            oldest = next((i for i, r in of_asset.items() if _is_spent(r)), None)
            if oldest is not None:
                del of_asset[oldest]

    def _see_asset(self, key: str, asset: RegisteredAsset | None, at: int) -> None:
        self.derived.clear()
        old = self.assets.pop(key, None)
        if old is not None:
            self._registry_sum = (self._registry_sum - _mark(old)) % 2**64
            self._unlink(old)
        if asset is not None:
            for target in asset.depends_on:
                self.dependents.setdefault(target, set()).add(key)
            self.assets[key] = asset
            self._registry_sum = (self._registry_sum + _mark(asset)) % 2**64
        else:
            self.removed_at[key] = max(at, self.removed_at.get(key, -1))
            left = {i: step for i, step in self.remediations.pop(key, {}).items() if not self.is_over(key, step.at)}
            if left:
                self.remediations[key] = left

    def _unlink(self, asset: RegisteredAsset) -> None:
        for target in asset.depends_on:
            users = self.dependents.get(target, set())
            users.discard(asset.id)
            if not users:
                self.dependents.pop(target, None)

    def _see_anomaly(self, anomaly: Anomaly) -> None:
        of_asset = self.incidents.setdefault(anomaly.asset_id, {})
        if anomaly.state is AnomalyState.CLOSED:
            of_asset.pop(anomaly.incident_id, None)
        else:
            of_asset[anomaly.incident_id] = anomaly
        if not of_asset:
            del self.incidents[anomaly.asset_id]
