"""What is new since the last look, for providers that can only look at everything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from schemas.records import Asset
from streams.discovery.ports import Change, Relist


class Listed:
    """The last look. What is gone is told as `Relist`, for the mass-delete guard to see."""

    def __init__(self) -> None:
        self._known: dict[str, Asset] = {}

    def begin(self, found: Iterable[Asset]) -> None:
        """After a listing, which tells all of it."""
        self._known = {asset.id: asset for asset in found}

    def changes(self, found: Iterable[Asset]) -> Sequence[Change | Relist]:
        before = self._known
        self.begin(found)
        told: list[Change | Relist] = [
            Change(asset_id, asset) for asset_id, asset in self._known.items() if before.get(asset_id) != asset
        ]
        gone = len(before.keys() - self._known.keys())
        return [*told, Relist(f"{gone} are gone")] if gone else told
