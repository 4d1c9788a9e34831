"""What providers say and what the registry keeps."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from schemas.records.base import EventTime, Labels, Name, NonNegative, Record, Share
from schemas.records.enums import AssetKind, AssetState, LifecycleChange, Op


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
    labels: Labels = Field(default_factory=dict)
    capabilities: tuple[Capability, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    compliance: tuple[str, ...] = ()
    data_regions: tuple[str, ...] = ()
    capacity_units: NonNegative | None = None
    cost_usd_per_hour: NonNegative | None = None
    carbon_g_per_kwh: NonNegative | None = None
    fallback_ids: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    strong_keys: tuple[str, ...] = ()
    """Names that only this asset has in the whole world: `machine-id:4c4c45`, `k8s-uid:...`, `arn:aws:...`."""
    weak_keys: tuple[str, ...] = ()
    """Names that point to it as long as no other asset has them too: `address:10.0.0.7:8080`."""


class SourceState(Record):
    source: Name
    fresh_at: EventTime
    complete: bool = False
    """The source has listed its scope completely, and this asset with it."""
    stale: bool = False
    """The source failed, fell silent, or no longer lists the asset: what it said may be out of date."""


class Conflict(Record):
    """What a source says of a field that another source's value was taken for."""

    field: Name
    source: Name
    value: str
    """As JSON."""


class RegisteredAsset(Asset):
    """An Asset as the registry knows it: the value on topic `assets`."""

    provenance: Labels = Field(default_factory=dict)
    sources: tuple[SourceState, ...] = ()
    state: AssetState = AssetState.REGISTERED
    version_hash: str = ""
    aliases: tuple[str, ...] = ()
    """Other ids by which its sources report it."""
    conflicts: tuple[Conflict, ...] = ()
    """Where its sources contradict each other; the values that were taken are in the fields and in `provenance`."""


class DiscoveryEvent(Record):
    source: Name
    scope: Name
    op: Op
    snapshot_id: str | None = None
    asset_id: str | None = None
    asset: Asset | None = None
    reason: str | None = None
    at: EventTime
    epoch: Annotated[int, Field(ge=0)] | None = None
    """Of the instance that runs the source; what bears a lower one than the source's highest is dropped."""
    stands_s: NonNegative | None = None
    """Of an upsert: seconds after which it is stale unless it is said again; None = until a listing lacks it."""

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
    change: LifecycleChange
    changed_fields: tuple[str, ...] = ()
    source: str
    cause_id: str
    reason: str
    at: EventTime
