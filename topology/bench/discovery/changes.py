"""Milliseconds from a change in a watched cluster to its record on `lifecycle-events`.

A server on loopback speaks LIST and WATCH as Kubernetes' API does. Services are added, changed and deleted in turn,
each another one, at random moments. Begun when the server holds the change, ended by the broker's time of the record.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from schemas.records import LifecycleChange
from topology.bench.discovery.cluster import Cluster, asset_id, cluster
from topology.bench.discovery.processes import Lab, lab, load_average
from topology.bench.latency import cuts
from topology.bench.watched import SideError

SETTLE_S = 2.0
STUCK_S = 60.0


@dataclass(frozen=True, slots=True)
class Made:
    asset_id: str
    change: LifecycleChange
    at: int


def figures(services: int, changes: int, per_s: float) -> dict[str, object]:
    """`services` are there before, as many as `changes` at least. Raises SideError."""
    with cluster(services) as source, lab() as at_work:
        used = at_work.discover(["--kubernetes", f"bench={source.kubeconfig(at_work.folder)}"])
        at_work.told.follow = lambda _: True
        at_work.told.until(lambda: len(at_work.told.assets) >= services, STUCK_S, "the listing", used.look)
        if not source.watched.wait(STUCK_S):
            raise SideError("the cluster is not watched")
        time.sleep(SETTLE_S)
        made = make(source, changes, per_s, random.Random(6))
        return {"what": "change", "source": "kubernetes", "services": services, "per_s": per_s, "changes": changes,
                **cuts(delays(at_work, made)), "load_average": load_average()}  # fmt: skip


def make(source: Cluster, changes: int, per_s: float, chance: random.Random) -> list[Made]:
    """Changes, apart by 0.5 to 1.5 of their mean distance: in step with nothing."""
    made = []
    for number in range(changes):
        time.sleep(chance.uniform(0.5, 1.5) / per_s)
        name = f"svc-{number:06d}"
        match number % 3:
            case 0:
                name = f"new-{number:06d}"
                made.append(Made(asset_id(name), LifecycleChange.REGISTERED, source.put(name, 1)))
            case 1:
                made.append(Made(asset_id(name), LifecycleChange.UPDATED, source.put(name, 1)))
            case _:
                made.append(Made(asset_id(name), LifecycleChange.REMOVED, source.delete(name)))
    return made


def delays(at_work: Lab, made: list[Made]) -> list[int]:
    """ms of each. Raises SideError if one is not told."""
    told = at_work.told.changes
    wanted = [(m.asset_id, m.change) for m in made]
    at_work.told.until(lambda: all(w in told for w in wanted), STUCK_S, "a change is not told", at_work.worker.look)
    return [told[m.asset_id, m.change] - m.at for m in made]
