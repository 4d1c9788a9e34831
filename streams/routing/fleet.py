"""The routing layer's view: the world of all layers, and the same assets as columns, both kept up to date by `see`."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.periods import parse
from schemas.records import Anomaly, Performance, PolicyRecord, Remediation, RemediationStatus, Severity, Spending
from streams.kit.layer import Event
from streams.kit.world import World
from streams.policy.attributes import asset_attributes
from streams.policy.modes import budget_records
from streams.policy.population import Population
from streams.policy.port import Context
from streams.routing.budgets import Limit
from streams.routing.columns import Columns, Frame

_RANKS: Mapping[Severity, int] = {
    Severity.LOW: 1,
    Severity.MEDIUM: 2,
    Severity.HIGH: 3,
    Severity.CRITICAL: 4,
    Severity.UNKNOWN: 3,
}
_DRAINS = (RemediationStatus.EXECUTING, RemediationStatus.SUCCEEDED, RemediationStatus.VERIFIED)
ROUTING = "routing"
"""By what name this layer stands in the ledger."""
RELEASES = (RemediationStatus.ROLLED_BACK, RemediationStatus.FAILED)


def rank(severity: Severity) -> int:
    """1 (low) to 4 (critical); one that this version does not know counts as high."""
    return _RANKS[severity]


class Fleet:
    """`drains[asset_id]`: incident -> ms, of failovers that moved work away from the asset and were not undone."""

    def __init__(self) -> None:
        self.world = World()
        self.columns = Columns()
        self.drains: dict[str, dict[str, int]] = {}
        self.budgets: dict[str, Limit] = {}
        self.derived: dict[str, object] = {}
        """What a reader has worked out of the view, by a name of theirs; forgotten when anything in it changes."""
        self._attributes: dict[str, Context] = {}
        self.population = Population(self._described, lambda: len(self.columns.ids))
        """The same attributes by slot, for expressions that are asked about all candidates."""

    def see(self, event: Event) -> None:
        if isinstance(event.value, Spending) and event.value.layer == ROUTING:
            return  # Told by this layer: each partition counts its own jobs, and of others it knows nothing (ADR 17).
        self.derived.clear()
        self.world.see(event)
        if event.topic == "assets":
            self._see_asset(event.key)
        elif event.topic == "policies":
            if not isinstance(event.value, PolicyRecord) or event.value.kind == "budget":
                self._see_budgets()
        elif event.topic == "spending":
            self._see_budgets()
        elif event.topic == "performance":
            self._see_performance(event.value.asset_id if isinstance(event.value, Performance) else event.key)
        elif isinstance(event.value, Anomaly):
            self._see_incidents(event.value.asset_id)
        elif isinstance(event.value, Remediation):
            self._see_remediation(event.value)

    def frame(self) -> Frame:
        return Frame(self.columns, 0, len(self.columns.ids))

    def frame_of(self, asset_id: str) -> Frame | None:
        slot = self.columns.slots.get(asset_id)
        return None if slot is None else Frame(self.columns, slot, slot + 1)

    def attributes_of(self, asset_id: str) -> Context:
        """What a policy sees of a registered asset; made once for each version of it. The caller's own."""
        found = self._attributes.get(asset_id)
        if found is None:
            found = self._attributes[asset_id] = asset_attributes(self.world.assets[asset_id])
        return dict(found)

    def _described(self, slot: int) -> tuple[str, Context] | None:
        asset_id = self.columns.ids[slot]
        return (asset_id, self.attributes_of(asset_id)) if asset_id in self.world.assets else None

    def _see_asset(self, key: str) -> None:
        self._attributes.pop(key, None)
        asset = self.world.assets.get(key)
        if asset is None:
            self.columns.remove(key)
            self._drained(key, {i: at for i, at in self.drains.get(key, {}).items() if not self.world.is_over(key, at)})
            return
        self.population.changed(self.columns.put(key, asset))
        self._see_performance(key)
        self._see_incidents(key)
        self._see_drain(key)

    def _see_performance(self, asset_id: str) -> None:
        slot = self.columns.slots.get(asset_id)
        if slot is not None:
            self.columns.measure(slot, self.world.performance.get(asset_id))

    def _see_incidents(self, asset_id: str) -> None:
        slot = self.columns.slots.get(asset_id)
        if slot is not None:
            open_ones = self.world.incidents.get(asset_id, {}).values()
            self.columns.codes["severity"][slot] = max((rank(a.severity) for a in open_ones), default=0)

    def _see_remediation(self, step: Remediation) -> None:
        if step.strategy != "failover" or self.world.is_over(step.asset_id, step.at):
            return
        drains = self.drains.get(step.asset_id, {})
        if step.status in _DRAINS:
            self._drained(step.asset_id, {**drains, step.incident_id: step.at})
        elif step.status in RELEASES:
            self._drained(step.asset_id, {i: at for i, at in drains.items() if i != step.incident_id})
        self._see_drain(step.asset_id)

    def _drained(self, asset_id: str, drains: dict[str, int]) -> None:
        if drains:
            self.drains[asset_id] = drains
        else:
            self.drains.pop(asset_id, None)

    def _see_drain(self, asset_id: str) -> None:
        slot = self.columns.slots.get(asset_id)
        if slot is not None:
            self.columns.flags["drained"][slot] = asset_id in self.drains

    def _see_budgets(self) -> None:
        self.budgets = {}
        for scope, record in budget_records(self.world).items():
            if record.budget is not None:
                healing = self.world.ledger.spent(scope, "healing")
                period = record.budget.period
                every = parse(period, record.budget.anchor_at) if period is not None else None
                name = f"{record.id}@{record.version}"
                self.budgets[scope] = Limit(record.budget.limit_usd_per_hour, name, healing, every)
