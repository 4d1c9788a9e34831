"""The layer's view: what the registry says of the assets whose series are watched."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from schemas.records import AssetState, RegisteredAsset
from streams.kit.layer import Event

UNKNOWN_TENANT = "unknown"
"""Whose the series are of assets that discovery does not know (yet)."""


@dataclass(slots=True)
class Assets:
    """Assets that were never registered are monitored all the same: signals may come first."""

    removed: set[str] = field(default_factory=set)
    tenants: dict[str, str] = field(default_factory=dict)
    """Of the registered assets; "" = it has none."""

    def see(self, event: Event) -> None:
        """One record of topic assets."""
        asset = event.value
        if isinstance(asset, RegisteredAsset) and asset.state is not AssetState.REMOVED:
            self.removed.discard(event.key)
            self.tenants[event.key] = sys.intern(asset.tenant or "")
        else:
            self.removed.add(event.key)
            self.tenants.pop(event.key, None)

    def tenant_of(self, asset_id: str) -> str:
        return self.tenants.get(asset_id, UNKNOWN_TENANT)
