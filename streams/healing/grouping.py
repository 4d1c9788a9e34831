"""Incidents that go off together are one: which of them is the probable root, and which are its symptoms.

    billing --depends on--> orders --depends on--> db        db, orders and billing go off within five minutes:
      symptom                 symptom              root      one incident is healed or paged for, not three

An incident is a symptom of another that opened within `group_window_s` of it, on the same asset or on one that its
asset depends on. The root is the one farthest upstream, then the earliest, then the smaller id. Order of onset is no
guide upstream: what breaks is often noticed first by those who use it. Where assets depend on each other in a circle,
upstream means nothing, and the earliest is the root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from schemas.records import Scalar
from streams.healing.desk import Desk, seconds
from streams.healing.guards import TIMED
from streams.healing.settings import milliseconds
from streams.healing.state import AT_WORK, IncidentRow, IncidentState
from streams.kit.world import World

SYMPTOM = "symptom"
"""Guard of an incident that waits for the healing of its root."""
MAX_SYMPTOMS = 500
"""Held by one root at most; more are treated alone, so that a row stays small."""
ON_ITS_WAY = frozenset({*TIMED, "joined", SYMPTOM})
"""Guards of an incident that healing will come back to."""


@dataclass(frozen=True, slots=True)
class Root:
    """`path` leads from the symptom's asset upstream to the root's; one asset = the same."""

    incident: IncidentRow
    path: tuple[str, ...]

    def evidence(self, symptom: IncidentRow) -> dict[str, Scalar]:
        return {
            "group_root_incident_id": self.incident.id,
            "group_root_asset_id": self.incident.asset_id,
            "group_path": " -> ".join(self.path),
            "group_lag_s": (symptom.anomaly.started_at - self.incident.anomaly.started_at) / 1000.0,
        }

    def why(self, symptom: IncidentRow) -> str:
        a, lag_ms = self.incident.anomaly, symptom.anomaly.started_at - self.incident.anomaly.started_at
        when = f"{seconds(abs(lag_ms))} {'before' if lag_ms >= 0 else 'after'} this one"
        related = f" ({' depends on '.join(self.path)})" if len(self.path) > 1 else ""
        return f"probable root is {a.kind} of {a.metric} on {a.asset_id}, which began {when}{related}"


def probable_root(desk: Desk, row: IncidentRow) -> Root | None:
    """The root that this incident is a symptom of; None = nothing upstream went off with it."""
    paths = upstream(desk.world, row.asset_id, desk.settings.group_hops)
    found: list[tuple[int, int, str, Root]] = []
    for asset_id, path in paths.items():
        for other in _open_with(desk, row, asset_id):
            if len(path) == 1 or row.asset_id in upstream(desk.world, asset_id, desk.settings.group_hops):
                if _onset(other) < _onset(row):
                    found.append((0, *_onset(other), Root(other, path)))
            else:
                found.append((1 - len(path), *_onset(other), Root(other, path)))
    return min(found, key=lambda f: f[:3])[3] if found else None


def root_at_work(desk: Desk, row: IncidentRow) -> Root | None:
    """A root upstream that healing is busy with or will come back to: acting on a symptom meanwhile heals nothing."""
    root = probable_root(desk, row)
    if root is None or len(root.path) == 1 or len(root.incident.symptom_ids) >= MAX_SYMPTOMS:
        return None
    other = root.incident
    waits = other.state is IncidentState.SUPPRESSED and other.held_by in ON_ITS_WAY
    return root if other.state in AT_WORK or waits else None


def root_told(desk: Desk, row: IncidentRow) -> Root | None:
    """A root that a person has been told about already: one page a group."""
    root = probable_root(desk, row)
    told = root is not None and root.incident.state is IncidentState.ESCALATED
    return root if root is not None and told and len(root.incident.symptom_ids) < MAX_SYMPTOMS else None


def bind(desk: Desk, root: Root, symptom: IncidentRow) -> None:
    """When the root's healing is at its end, the symptom gets a look of its own."""
    other = root.incident
    if symptom.id not in other.symptom_ids:
        desk.draft.put_incident(other.model_copy(update={"symptom_ids": (*other.symptom_ids, symptom.id)}))


def waiting_downstream(desk: Desk, row: IncidentRow) -> list[str]:
    """Incidents of assets that depend on this one which wait for a guard: the root that explains them may be here."""
    found: list[str] = []
    for asset_id in upstream(desk.world, row.asset_id, desk.settings.group_hops, _dependents):
        if asset_id != row.asset_id:
            others = _open_with(desk, row, asset_id)
            found += [o.id for o in others if o.state is IncidentState.SUPPRESSED and o.held_by in ON_ITS_WAY]
    return found


def _dependencies(world: World, asset_id: str) -> Iterable[str]:
    asset = world.assets.get(asset_id)
    return asset.depends_on if asset is not None else ()


def _dependents(world: World, asset_id: str) -> Iterable[str]:
    return sorted(world.dependents.get(asset_id, ()))


def upstream(
    world: World, asset_id: str, hops: int, onward: Callable[[World, str], Iterable[str]] = _dependencies
) -> dict[str, tuple[str, ...]]:
    """The shortest path to each asset within `hops`, the asset itself included; breadth first, in declared order."""
    paths: dict[str, tuple[str, ...]] = {asset_id: (asset_id,)}
    ring = [asset_id]
    for _ in range(hops):
        reached: list[str] = []
        for here in ring:
            for there in onward(world, here):
                if there not in paths:
                    paths[there] = (*paths[here], there)
                    reached.append(there)
        ring = reached
    return paths


def _open_with(desk: Desk, row: IncidentRow, asset_id: str) -> list[IncidentRow]:
    """Open incidents of an asset that began within the window of this one."""
    window_ms = milliseconds(desk.settings.group_window_s)
    rows = (desk.draft.incident(i) for i in desk.draft.asset(asset_id).open_ids if i != row.id)
    return [r for r in rows if r is not None and abs(r.anomaly.started_at - row.anomaly.started_at) <= window_ms]


def _onset(row: IncidentRow) -> tuple[int, str]:
    return row.anomaly.started_at, row.id
