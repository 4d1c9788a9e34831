"""All objects of one mesh: what each is told as, and what a change of one changes in others. Pure.

ServiceEntry --its selector--> WorkloadEntries and deployments of its namespace with all these labels
             --endpoints-----> endpoints, each one row however many entries name it: what the first of them says
"""

from __future__ import annotations

from collections.abc import Iterator

from schemas.records import Asset
from streams.discovery.ports import Change
from streams.discovery.providers.kubernetes_selectors import Selections
from streams.discovery.providers.mesh.entries import Reading


class Rows:
    def __init__(self) -> None:
        self._readings: dict[str, Reading] = {}
        self._endpoints: dict[str, dict[str, Asset]] = {}
        """By id and the entry that names it."""
        self._selections = Selections()
        self._touched: dict[str, None] = {}
        self._told: dict[str, Asset] = {}

    def put(self, reading: Reading) -> None:
        """What is put without an asset can only be chosen."""
        self._name_endpoints(reading.id, reading.endpoints)
        self._selections.workload(reading.id, reading.namespace, reading.labels)
        if reading.asset is not None:
            self._selections.chooser(reading.id, reading.namespace, reading.selector)
            self._readings[reading.id] = reading
            self._touched[reading.id] = None

    def gone(self, object_id: str) -> None:
        self._name_endpoints(object_id, ())
        self._selections.gone(object_id)
        if self._readings.pop(object_id, None):
            self._touched[object_id] = None

    def changes(self) -> Iterator[Change]:
        """Since they were asked for last; what is as it was told is none."""
        if self._selections.take_moved():
            self._touched |= dict.fromkeys(one.id for one in self._readings.values() if one.selector)
        touched, self._touched = self._touched, {}
        for asset_id in touched:
            now = self._now(asset_id)
            if now == self._told.get(asset_id):
                continue
            if now is None:
                del self._told[asset_id]
            else:
                self._told[asset_id] = now
            yield Change(asset_id, now)

    def _now(self, asset_id: str) -> Asset | None:
        if named := self._endpoints.get(asset_id):
            return named[min(named)]
        reading = self._readings.get(asset_id)
        if reading is None or reading.asset is None:
            return None
        leads_to = {endpoint.id for endpoint in reading.endpoints} | set(self._selections.of(asset_id))
        return reading.asset.model_copy(update={"depends_on": tuple(sorted(leads_to))})

    def _name_endpoints(self, entry_id: str, endpoints: tuple[Asset, ...]) -> None:
        before = self._readings[entry_id].endpoints if entry_id in self._readings else ()
        for endpoint in before:
            named = self._endpoints.get(endpoint.id, {})
            named.pop(entry_id, None)
            if not named:
                self._endpoints.pop(endpoint.id, None)
        for endpoint in endpoints:
            self._endpoints.setdefault(endpoint.id, {})[entry_id] = endpoint
        self._touched |= dict.fromkeys(endpoint.id for endpoint in (*before, *endpoints))
