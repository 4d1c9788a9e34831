"""`maestro bench healing --hours N`: made telemetry through the engines in event time, under default settings.

    made telemetry of twenty servers --> telemetry --> healing --order--> made pool (drained servers get no requests)
                  ^                                                            |
                  +------------------------------------------------------------+

How often does healing act on one asset? No clock, no broker: an hour takes seconds, and a seed gives the same figures.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.records import (
    ActionOutcome,
    HealthSignalBatch,
    RegisteredAsset,
    Remediation,
    RemediationStatus,
)
from schemas.records.telemetry import SeriesKey
from streams.kit.ids import derive
from streams.kit.layer import Emission, Event
from streams.kit.loop import Loop
from topology.bench.healing.loads import LOADS, Load
from topology.bench.healing.sides import asset_of
from topology.engines import build_layers
from topology.settings import Settings

SERVERS, HOUR_MS, T0 = 20, 3_600_000, 1_700_000_000_000
EFFECT_MS = 20
"""From an order to its effect, as measured on a real load balancer."""
FORWARD, BACK, PAGED = "actions", "undone", "pages"


@dataclass(slots=True)
class MadePool:
    """Stands in for the load balancer: each order succeeds, and who is drained gets no requests."""

    drained: set[str] = field(default_factory=set)
    acted: dict[str, list[tuple[str, int, str]]] = field(default_factory=dict)
    """kind of order -> (asset, event time ms, strategy)"""

    def effect(self, emission: Emission) -> Emission | None:
        order = emission.value
        if not isinstance(order, Remediation) or order.status is not RemediationStatus.EXECUTING:
            return None
        back = order.evidence.get("failback") is True
        kind = PAGED if order.strategy == "page" else BACK if back else FORWARD
        self.acted.setdefault(kind, []).append((order.asset_id, order.at, order.strategy))
        if order.strategy == "failover":
            (self.drained.discard if back else self.drained.add)(order.asset_id)
        at = order.at + EFFECT_MS
        outcome = ActionOutcome(
            id=derive("outcome", order.action_id), action_id=order.action_id, incident_id=order.incident_id,
            asset_id=order.asset_id, strategy=order.strategy, succeeded=True, rolled_back=back,
            fencing_epoch=order.fencing_epoch, detail="made", cause_id=order.id, at=at,
        )  # fmt: skip
        return Emission("action-outcomes", order.asset_id, outcome, at, order.id)


def figures(hours: float, interval_s: float, names: Sequence[str] = (), seed: int = 6) -> Iterator[dict[str, object]]:
    """A row for each load of `loads.LOADS` (those that are named; none = all), each with a pool of its own."""
    for load in LOADS.values():
        if not names or load.name in names:
            yield _row(load, hours, interval_s, played(load, hours, interval_s, seed))


def played(load: Load, hours: float, interval_s: float, seed: int, settings: Settings | None = None) -> MadePool:
    """What was ordered while that load went on."""
    pool, chance = MadePool(), random.Random(seed)
    layers = build_layers(settings or Settings(), hooks=())
    loop = Loop({name: layers[name] for name in ("telemetry", "healing")}, pool.effect)
    names = [asset_of(f"web-{n:02d}") for n in range(SERVERS)]
    ids = [a.id for a in names]
    for asset in names:
        known = RegisteredAsset.model_validate(asset.model_dump())
        deque(loop.feed(Event("assets", asset.id, known, T0, "registry")), 0)
    series = tuple(
        SeriesKey(asset_id=a, metric=m, unit=u) for a in ids for m, u in (("error_rate", "share"), ("latency_ms", "ms"))
    )
    index = tuple(range(len(series)))
    step_ms = round(1000 * interval_s)
    for number in range(1, round(hours * HOUR_MS / step_ms) + 1):
        at = T0 + number * step_ms
        figures_now = load.tick(number * interval_s, interval_s, ids, pool.drained, chance)
        batch = HealthSignalBatch.model_construct(
            source="made", series=series, series_index=index, at=(at,) * len(series), value=tuple(figures_now)
        )
        deque(loop.feed(Event("health-signals", "made", batch, at, f"tick-{number}")), 0)
    return pool


def _row(load: Load, hours: float, interval_s: float, pool: MadePool) -> dict[str, object]:
    row: dict[str, object] = {"load": load.name, "label": load.label, "hours": hours, "interval_s": interval_s}
    row |= {"assets": SERVERS}
    for kind in (FORWARD, BACK, PAGED):
        found = pool.acted.get(kind, [])
        row[kind] = len(found)
        row[f"{kind}_an_asset_hour"] = len(found) / (SERVERS * hours)
        row[f"most_{kind}_of_an_asset_in_an_hour"] = most_in_an_hour([(asset, at) for asset, at, _ in found])
    row["by_strategy"] = dict(sorted(Counter(s for _, _, s in pool.acted.get(FORWARD, [])).items()))
    return row


def most_in_an_hour(moments: Sequence[tuple[str, int]]) -> int:
    """The most of one asset in any 3600 s."""
    most = 0
    for asset in {a for a, _ in moments}:
        times = sorted(at for a, at in moments if a == asset)
        most = max(most, *(sum(begin <= at < begin + HOUR_MS for at in times) for begin in times))
    return most


def text(row: Mapping[str, Any]) -> str:
    return (
        "{label}, {hours:g} h of telemetry each {interval_s:g} s: {actions} actions ({actions_an_asset_hour:.3f} an "
        "asset-hour, at most {most_actions_of_an_asset_in_an_hour} of one asset in an hour), {undone} undone, "
        "{pages} pages"
    ).format(**row)
