"""A cluster's first listing, and milliseconds from a change in it to its record on `lifecycle-events`.

A server on loopback speaks LIST and WATCH as Kubernetes' API does; or a kubeconfig names a real one. Services are
added, changed and deleted in turn, each another one, at random moments. Begun when the server holds the change (a real
one: when it is asked for it), ended by the broker's time of the record.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from schemas.records import LifecycleChange
from topology.bench.discovery.api_server import real_cluster
from topology.bench.discovery.cluster import cluster, names_of
from topology.bench.discovery.growth import first_listing
from topology.bench.discovery.processes import Lab, lab
from topology.bench.latency import cuts
from topology.bench.watched import SideError, load_average
from topology.clock import now_ms

SETTLE_S = 2.0
STUCK_S = 60.0


@dataclass(frozen=True, slots=True)
class Made:
    asset_id: str
    change: LifecycleChange
    at: int


class Source(Protocol):
    """A cluster that can be changed; each change gives the time (ms) that it is measured from."""

    watched: threading.Event

    def kubeconfig(self, folder: Path) -> Path: ...

    def asset_id(self, name: str) -> str: ...

    def put(self, name: str, revision: int) -> int: ...

    def delete(self, name: str) -> int: ...


def figures(services: int, changes: int, per_s: float, config: Path | None = None) -> Iterator[dict[str, object]]:
    """`services` are there before, as many as `changes` at least; `config` names the cluster. Raises SideError."""
    made = real_cluster(config, names_of(services)) if config else cluster(services)
    with made as source, lab() as at_work:
        yield listing(source, at_work, services)
        yield told(source, at_work, services, changes, per_s)


def listing(source: Source, at_work: Lab, services: int) -> dict[str, object]:
    """Starts `maestro discover`."""
    at_work.told.follow = lambda _: True
    begun_at = now_ms()
    discover = at_work.discover(["--kubernetes", f"bench={source.kubeconfig(at_work.folder)}"])
    uses = {"discover": discover, "worker": at_work.worker}
    assets, wanted = at_work.told.assets, [source.asset_id(name) for name in names_of(services)]
    at_work.until(uses, lambda: len(assets) >= services and all(w in assets for w in wanted), "the listing")
    return {"what": "cluster", **first_listing(at_work, uses, services, begun_at, max(assets.values()))}


def told(source: Source, at_work: Lab, services: int, changes: int, per_s: float) -> dict[str, object]:
    if not source.watched.wait(STUCK_S):
        raise SideError("the cluster is not watched")
    time.sleep(SETTLE_S)
    made = make(source, changes, per_s, random.Random(6))
    return {"what": "change", "source": "kubernetes", "services": services, "per_s": per_s, "changes": changes,
            **cuts(delays(at_work, made)), "load_average": load_average()}  # fmt: skip


def make(source: Source, changes: int, per_s: float, chance: random.Random) -> list[Made]:
    """Changes, apart by 0.5 to 1.5 of their mean distance: in step with nothing."""
    made = []
    for number in range(changes):
        time.sleep(chance.uniform(0.5, 1.5) / per_s)
        name = f"svc-{number:06d}"
        match number % 3:
            case 0:
                name = f"new-{number:06d}"
                made.append(Made(source.asset_id(name), LifecycleChange.REGISTERED, source.put(name, 1)))
            case 1:
                made.append(Made(source.asset_id(name), LifecycleChange.UPDATED, source.put(name, 1)))
            case _:
                made.append(Made(source.asset_id(name), LifecycleChange.REMOVED, source.delete(name)))
    return made


def delays(at_work: Lab, made: list[Made]) -> list[int]:
    """ms of each. Raises SideError if one is not told."""
    told = at_work.told.changes
    wanted = [(m.asset_id, m.change) for m in made]
    at_work.told.until(lambda: all(w in told for w in wanted), STUCK_S, "a change is not told", at_work.worker.look)
    return [told[m.asset_id, m.change] - m.at for m in made]
