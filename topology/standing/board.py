"""What stands for each asset: its last recommendation, unless that was withdrawn or is over. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from schemas.records import Recommendation, RecommendedAction

SCALING = (RecommendedAction.SCALE_OUT, RecommendedAction.SCALE_IN)
"""Actions whose `to_units` is a number of replicas; the others move load or change a unit's size."""


class Board:
    """Fed with an asset's records in their order; a record that comes once more changes nothing that is newer."""

    def __init__(self) -> None:
        self._last: dict[str, Recommendation] = {}

    def hear(self, record: Recommendation) -> None:
        known = self._last.get(record.asset_id)
        if not record.withdrawn:
            if known is None or record.at >= known.at:
                self._last[record.asset_id] = record
        elif known is not None and (record.id == known.id or record.at >= known.at):
            del self._last[record.asset_id]

    def forget(self, asset_id: str) -> None:
        """The asset's key was removed from the topic."""
        self._last.pop(asset_id, None)

    def standing(self, asset_id: str, now: int) -> Recommendation | None:
        """`now` in ms; None = nothing stands. It no longer holds at its `valid_until`."""
        found = self._last.get(asset_id)
        return found if found is not None and now < found.valid_until else None

    def scaling(self, now: int) -> Iterator[tuple[str, int]]:
        """(asset id, units) wherever a number of units stands, by asset id."""
        for asset_id in sorted(self._last):
            found = self.standing(asset_id, now)
            if found is not None and (units := replicas(found)) is not None:
                yield asset_id, units

    def drop_expired(self, now: int) -> None:
        """Nothing that is over is kept: what is held is bounded by what stands."""
        for asset_id in [a for a, r in self._last.items() if now >= r.valid_until]:
            del self._last[asset_id]


def replicas(r: Recommendation) -> int | None:
    """Whole units that it asks for, 1 at least; None = its action is not about how many there are."""
    return max(1, math.ceil(r.to_units)) if r.action in SCALING else None
