"""Jobs that wait, so ordered that those whom freed room may help are found without looking through the others.

    placement (what is asked of a target) ── urgency ── tenant ──► lane: jobs by (last try, id)
         │                              └─► heads: the first of each lane, by (last try, id)
         └── by first capability: a freed target is compared only with what asks for something that it has

The order in which jobs are tried: the most urgent first, then the one whose last try is the oldest, then by id. Who was
tried and still waits goes behind its like, so that the next steps come to the others. Found in time proportional to
what is found, to the placements that the target's capabilities lead to, and to the tenants that may have nothing.

It is worked out of the rows and never saved: `rows.JobRows` keeps it true to the rows of a partition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush, merge
from itertools import chain, islice
from typing import Final, NamedTuple

from schemas.records import JobRequest, RegisteredAsset
from streams.kit import ids
from streams.routing.bookings import booking_of, quota_of
from streams.routing.budgets import ALL, spends_of, tenant_of
from streams.routing.fleet import Fleet
from streams.routing.leaving import urgency_of
from streams.routing.ordered import Entry, Ordered
from streams.routing.state import JobRow, Phase

_URGENCIES: Final = range(4)


class Placement(NamedTuple):
    """What a job asks of its target that only the registry answers; as `filters.placement_checks` reads it."""

    capabilities: tuple[str, ...]
    regions: tuple[str, ...]
    clouds: tuple[str, ...]
    compliance: tuple[str, ...]
    data_regions: tuple[str, ...]

    def fits(self, asset: RegisteredAsset) -> bool:
        return (
            {capability.name for capability in asset.capabilities}.issuperset(self.capabilities)
            and (not self.regions or (asset.region or None) in self.regions)
            and (not self.clouds or (asset.cloud or None) in self.clouds)
            and set(asset.compliance).issuperset(self.compliance)
            and set(asset.data_regions).issuperset(self.data_regions)
        )


class Lane(NamedTuple):
    placement: Placement
    urgency: int
    tenant: str | None


@dataclass(frozen=True, slots=True)
class Freed:
    """What may have room again: a registered target, a tenant wherever its jobs run, or anything (`whole`)."""

    target: RegisteredAsset | None = None
    tenant: str | None = None
    whole: bool = False

    @classmethod
    def by(cls, before: JobRow | None, after: JobRow | None, fleet: Fleet) -> Freed:
        """What a job no longer holds, or holds less of."""
        booked, counted = booking_of(before), quota_of(before)
        target = booked.target_id if booked is not None and booked != booking_of(after) else None
        tenant = counted.target_id if counted is not None and counted != quota_of(after) else None
        spends, kept = spends_of(before), spends_of(after)
        limited = {spend.target_id for spend in spends if spend not in kept and spend.target_id in fleet.budgets}
        if tenant is None:
            tenant = next((name for scope in sorted(limited) if (name := tenant_of(scope)) is not None), None)
        return cls(fleet.world.assets.get(target) if target is not None else None, tenant, ALL in limited)

    @classmethod
    def lapsed(cls, key: str, fleet: Fleet) -> Freed:
        """What bookings that have ended by their time leave free; `key` is that of their row."""
        kind, name = ids.row_parts(key)
        if kind == "spent":
            return cls(tenant=tenant_of(name), whole=name == ALL) if name in fleet.budgets else cls()
        return cls(tenant=name) if kind == "quota" else cls(fleet.world.assets.get(name))

    @property
    def something(self) -> bool:
        return self.whole or self.target is not None or self.tenant is not None

    def may_help(self, job: JobRequest) -> bool:
        of_tenant = self.tenant is not None and self.tenant == job.tenant
        return self.whole or of_tenant or (self.target is not None and placement_of(job).fits(self.target))


Blocked = Callable[[str | None], bool]
"""Tenants whose jobs may have no target at all now."""


def placement_of(job: JobRequest) -> Placement:
    c = job.constraints
    return Placement(job.required_capabilities, c.regions, c.clouds, c.compliance, c.data_regions)


def lane_of(job: JobRequest) -> Lane:
    return Lane(placement_of(job), urgency_of(job), job.tenant)


class Queue:
    """`looked_at`: entries and placements that searches have looked at, for tests of the bound."""

    def __init__(self) -> None:
        self.looked_at = 0
        self._places: dict[str, tuple[Lane, Entry]] = {}
        self._lanes: dict[Lane, Ordered] = {}
        self._heads: dict[tuple[Placement, int], Ordered] = {}
        self._tenants: dict[str | None, dict[Lane, None]] = {}
        self._placements: dict[str | None, dict[Placement, int]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def put(self, row: JobRow) -> None:
        """The job's row as it is now: in the queue exactly if it waits."""
        waits = row.phase is Phase.WAITING
        if not waits and row.request.id not in self._places:
            return
        place = (lane_of(row.request), (row.tried_at, row.request.id)) if waits else None
        if self._places.get(row.request.id) == place:
            return
        self.discard(row.request.id)
        if place is not None:
            self._places[row.request.id] = place
            self._change(*place, add=True)

    def discard(self, job_id: str) -> None:
        place = self._places.pop(job_id, None)
        if place is not None:
            self._change(*place, add=False)

    def find(self, freed: Freed, tried_by: float, most: int, blocked: Blocked) -> list[str]:
        """At most so many jobs that `freed` may help, in order, of those last tried at `tried_by` (ms) or before."""
        placements = self._placements_for(freed)
        found = chain.from_iterable(
            self._found(urgency, placements, freed, tried_by, blocked) for urgency in _URGENCIES
        )
        return [job_id for _, job_id in islice(found, most)]

    def _found(
        self, urgency: int, placements: dict[Placement, None], freed: Freed, tried_by: float, blocked: Blocked
    ) -> Iterator[Entry]:
        others = [] if freed.tenant is None or blocked(freed.tenant) else [
            self._lanes[lane] for lane in self._tenants.get(freed.tenant, {})
            if lane.urgency == urgency and lane.placement not in placements
        ]  # fmt: skip
        of_tenant = (self._until(iter(lane), tried_by) for lane in others)
        return merge(*of_tenant, *(self._walk(p, urgency, tried_by, blocked) for p in placements))

    def _placements_for(self, freed: Freed) -> dict[Placement, None]:
        if freed.whole:
            return dict.fromkeys(p for group in self._placements.values() for p in group)
        if freed.target is None:
            return {}
        names: list[str | None] = [None, *dict.fromkeys(capability.name for capability in freed.target.capabilities)]
        near = [placement for name in names for placement in self._placements.get(name, ())]
        self.looked_at += len(near)
        return {placement: None for placement in near if placement.fits(freed.target)}

    def _walk(self, placement: Placement, urgency: int, tried_by: float, blocked: Blocked) -> Iterator[Entry]:
        """The jobs of all lanes in order: a lane is opened when its head's turn comes."""
        heads = self._until(iter(self._heads.get((placement, urgency), ())), tried_by)
        head = next(heads, None)
        opened: list[tuple[Entry, Iterator[Entry]]] = []
        while head is not None or opened:
            if head is None or (opened and opened[0][0] < head):
                entry, lane = heappop(opened)
                yield entry
                if (following := next(lane, None)) is not None:
                    heappush(opened, (following, lane))
                continue
            lane_of_head = self._places[head[1]][0]
            if not blocked(lane_of_head.tenant):
                entries = self._until(iter(self._lanes[lane_of_head]), tried_by)
                heappush(opened, (next(entries), entries))
            head = next(heads, None)

    def _until(self, entries: Iterator[Entry], tried_by: float) -> Iterator[Entry]:
        for entry in entries:
            self.looked_at += 1
            if entry[0] > tried_by:
                return
            yield entry

    def _change(self, lane: Lane, entry: Entry, *, add: bool) -> None:
        """Adds or takes away one entry, and keeps the heads and the names of lanes true to it."""
        entries = self._lanes.get(lane)
        before = entries.first if entries is not None else None
        if entries is None:
            entries = self._lanes[lane] = Ordered()
            self._tenants.setdefault(lane.tenant, {})[lane] = None
        if add:
            entries.add(entry)
        else:
            entries.remove(entry)
        after = entries.first
        if before != after:
            self._change_heads(lane, before, after)
        if after is None:
            self._forget(lane)

    def _change_heads(self, lane: Lane, before: Entry | None, after: Entry | None) -> None:
        key = lane.placement, lane.urgency
        heads = self._heads.get(key)
        if heads is None:
            heads = self._heads[key] = Ordered()
            group = self._placements.setdefault(_group_of(lane.placement), {})
            group[lane.placement] = group.get(lane.placement, 0) + 1
        if before is not None:
            heads.remove(before)
        if after is not None:
            heads.add(after)
        if heads.first is None:
            del self._heads[key]
            group = self._placements[_group_of(lane.placement)]
            group[lane.placement] -= 1
            if not group[lane.placement]:
                del group[lane.placement]

    def _forget(self, lane: Lane) -> None:
        del self._lanes[lane]
        del self._tenants[lane.tenant][lane]
        if not self._tenants[lane.tenant]:
            del self._tenants[lane.tenant]


def _group_of(placement: Placement) -> str | None:
    return placement.capabilities[0] if placement.capabilities else None
