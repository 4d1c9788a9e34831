"""Plays every controller on every trace and adds up what it cost and what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streams.optimisation.settings import OptimisationSettings
from topology.bench.optimisation.attribution import Attribution
from topology.bench.optimisation.hpa import Hpa, PodState
from topology.bench.optimisation.model import SLO_MS, START_S, USD_PER_UNIT_H, Fleet, Seen, needed
from topology.bench.optimisation.ours import Ours
from topology.bench.optimisation.traces import DEV, TICK_S, Trace, shared_data, traces
from topology.bench.optimisation.vpa import Vpa

Want = Callable[[Seen], int]
TARGET_PERCENT = 70
"""Of the HPA that we are measured against: the product's own target. `hpa-80` has kubectl's default."""


@dataclass(slots=True)
class Outcome:
    """Sums over one run. `slack` 0-1: the share of what was paid for that no tick needed."""

    usd: float = 0.0
    hours: float = 0.0
    spare_units: float = 0.0
    paid_units: float = 0.0
    under_minutes: float = 0.0
    violation_minutes: float = 0.0
    moves: int = 0

    @property
    def slack(self) -> float:
        return self.spare_units / self.paid_units if self.paid_units else 0.0


def hpa(target: int) -> Want:
    controller = Hpa(target=target)

    def want(seen: Seen) -> int:
        usage = round(seen.utilization * 1000)
        pods = [
            PodState(
                pod.start_s, ready, pod.ready_s if ready else pod.start_s, usage if ready else 0, seen.at_s, TICK_S
            )
            for pod in seen.pods
            for ready in [pod.ready_s < seen.at_s]
        ]
        return controller.want(seen.at_s, len(seen.pods), pods)

    return want


def vpa() -> Want:
    """The pool as one workload whose request is its number of units; a sample a minute, as metrics-server has it."""
    controller, request = Vpa(), 0.0

    def want(seen: Seen) -> int:
        nonlocal request
        request = request or float(len(seen.pods))
        if seen.at_s % 60 == 0:
            controller.sample(seen.utilization * seen.ready, request, seen.at_s)
            request = controller.want(request, seen.at_s)
        return int(np.ceil(request))

    return want


def static_p95(trace: Trace) -> Want:
    """What the 95th percentile of the whole trace needs: known only afterwards."""
    units = int(np.percentile([needed(round(d, 2)) for d in trace.demand.tolist()], 95, method="higher"))
    return lambda _: units


def oracle(trace: Trace) -> Want:
    """Knows the trace: always the most that any tick up to the next start needs, and not one more."""
    wants = [needed(round(d, 2)) for d in trace.demand.tolist()]
    ahead = START_S // TICK_S + 1

    def want(seen: Seen) -> int:
        tick = seen.at_s // TICK_S
        return max(wants[tick : tick + ahead], default=1)

    return want


def stabilised(trace: Trace) -> Want:
    """Knows what each tick needed as soon as it is over, adds at once, and keeps it for the 300 s of stabilisation.

    It draws no margin and foresees nothing: what it costs is what stabilisation alone costs.
    """
    wants = [needed(round(d, 2)) for d in trace.demand.tolist()]
    kept = OptimisationSettings().stabilisation_down_s // TICK_S

    def want(seen: Seen) -> int:
        tick = seen.at_s // TICK_S
        return max(wants[max(0, tick - 1 - kept) : tick])

    return want


def controllers(trace: Trace, units: int) -> dict[str, Want]:
    reactive = OptimisationSettings(forecast_horizon_s=0)
    return {
        "oracle": oracle(trace),
        "stabilised": stabilised(trace),
        "static-p95": static_p95(trace),
        "vpa": vpa(),
        "hpa": hpa(TARGET_PERCENT),
        "hpa-80": hpa(80),
        "ours-reactive": Ours(trace.start_ms, units, reactive).want,
    }


def play(trace: Trace, want: Want, units: int, attribution: tuple[Attribution, Ours] | None = None) -> Outcome:
    """`attribution` is added to, by what the layer that decides says of its floors."""
    fleet, outcome = Fleet(units), Outcome()
    knowing = oracle(trace)
    minutes = TICK_S / 60
    for demand in trace.demand.tolist():
        seen = fleet.step(demand)
        paid, least = len(seen.pods), needed(round(demand, 2))
        outcome.usd += paid * USD_PER_UNIT_H * TICK_S / 3600
        outcome.paid_units += paid
        outcome.spare_units += max(0, paid - least)
        outcome.under_minutes += minutes * (seen.ready < least)
        outcome.violation_minutes += minutes * (seen.latency_ms > SLO_MS)
        wanted = want(seen)
        if attribution is not None:
            parts, ours = attribution
            parts.add(paid, knowing(seen), ours.floors(trace.start_ms + seen.at_s * 1000))
        outcome.moves += fleet.scale(wanted)
    outcome.hours = len(trace.demand) * TICK_S / 3600
    return outcome


def figures(shared: Path | None, days: float, only: str = "") -> Iterator[dict[str, Any]]:
    for trace in traces(shared_data(shared), days):
        if only not in trace.name:
            continue
        units = needed(round(float(trace.demand[:20].mean()), 2)) + 2
        beyond, ours = Attribution(), Ours(trace.start_ms, units)
        found = {name: play(trace, want, units) for name, want in controllers(trace, units).items()}
        found["ours"] = play(trace, ours.want, units, (beyond, ours))
        for name, outcome in found.items():
            told = {"beyond_oracle_usd": beyond.usd(USD_PER_UNIT_H * TICK_S / 3600)} if name == "ours" else {}
            yield row(trace, name, outcome, found["hpa"]) | told


def row(trace: Trace, name: str, o: Outcome, peer: Outcome) -> dict[str, Any]:
    return {
        "trace": trace.name,
        "group": "dev" if trace.name in DEV else "held-out",
        "controller": name,
        "hours": round(o.hours, 2),
        "usd": round(o.usd, 2),
        "slack": round(o.slack, 4),
        "under_minutes": o.under_minutes,
        "violation_minutes": o.violation_minutes,
        "moves_per_hour": round(o.moves / o.hours, 3),
        "cost_of_hpa": round(o.usd / peer.usd, 4),
        "holds": holds(o, peer),
    }


def holds(ours: Outcome, peer: Outcome) -> bool:
    """No more violations at 90 % of the cost, or no dearer at 90 % of the violations; and fewer moves."""
    cheaper = ours.violation_minutes <= peer.violation_minutes and ours.usd <= 0.9 * peer.usd
    safer = ours.usd <= peer.usd and ours.violation_minutes <= 0.9 * peer.violation_minutes
    return (cheaper or safer) and ours.moves < peer.moves


def text(found: Mapping[str, Any]) -> str:
    beyond = ", ".join(f"{part} {usd:.2f}" for part, usd in found.get("beyond_oracle_usd", {}).items())
    return (
        "{trace:36} {group:8} {controller:14} {usd:9.2f} USD ({cost_of_hpa:.2f} of hpa) slack {slack:6.1%} under "
        "{under_minutes:7.2f} min violated {violation_minutes:7.2f} min {moves_per_hour:6.2f} moves/h {mark}"
    ).format(**found, mark="holds" if found["holds"] else "") + (
        f"\n    USD beyond the oracle: {beyond}" if beyond else ""
    )
