"""The replicas that a controller steers: a queue in front of c equal servers, seen every tick of 15 s.

Parameters (all stated, none drawn): a replica does 10 requests/s, so a request takes 100 ms on average; it is paid for
from its creation and serves `START_S` later; a removed one is gone at once. Within a tick the queue is M/M/c: response
p95 = the exponential service's p95 plus the wait's p95 by Erlang C [Kleinrock 1975], plus, where demand exceeded what
could be served, the backlog's time. What waits longer than `TIMEOUT_S` is given up by its client.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

from topology.bench.optimisation.traces import REQUESTS_PER_UNIT_S, TICK_S

START_S = 60
TIMEOUT_S = 60.0
SLO_MS = 500.0
USD_PER_UNIT_H = 0.40
SERVICE_P95_MS = 1000 / REQUESTS_PER_UNIT_S * math.log(20)
MAX_UNITS = 100


@dataclass(frozen=True, slots=True)
class Pod:
    """`start_s`, `ready_s`: seconds since the run began."""

    start_s: int
    ready_s: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What the metrics say of one tick. `utilization` 0-1, of the ready; `queue`, `served_per_s` requests."""

    at_s: int
    pods: tuple[Pod, ...]
    ready: int
    utilization: float
    latency_ms: float
    queue: float
    served_per_s: float


@dataclass(slots=True)
class Fleet:
    """`step` plays one tick; `scale` is what a controller wants, held to 1..MAX_UNITS."""

    units: int
    now_s: int = 0
    backlog: float = 0.0
    pods: list[Pod] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pods = [Pod(-3600, -3600)] * self.units

    def step(self, demand: float) -> Seen:
        ready = sum(pod.ready_s <= self.now_s for pod in self.pods)
        work = demand * TICK_S + self.backlog
        served = min(work, float(ready * TICK_S))
        self.backlog = min(work - served, TIMEOUT_S * ready)
        self.now_s += TICK_S
        late_ms = self.backlog / max(ready, 1) * 1000
        latency_ms = (response_p95_ms(ready, demand) if demand < ready else SERVICE_P95_MS) + late_ms
        return Seen(
            self.now_s,
            tuple(self.pods),
            ready,
            served / (ready * TICK_S) if ready else 1.0,
            latency_ms if ready else TIMEOUT_S * 1000,
            self.backlog * REQUESTS_PER_UNIT_S,
            served / TICK_S * REQUESTS_PER_UNIT_S,
        )

    def scale(self, units: int) -> bool:
        """True if that changed anything. The youngest go first, as Kubernetes does."""
        units = max(1, min(MAX_UNITS, units))
        if units == len(self.pods):
            return False
        new = Pod(self.now_s, self.now_s + START_S)
        self.pods = self.pods[:units] + [new] * (units - len(self.pods))
        self.units = units
        return True


def response_p95_ms(servers: int, load: float) -> float:
    """`load` < `servers`, in servers kept busy. An upper bound: both parts at their p95."""
    waiting = _erlang_c(servers, round(load, 3))
    spare_per_s = (servers - load) * REQUESTS_PER_UNIT_S
    wait_s = math.log(waiting / 0.05) / spare_per_s if waiting > 0.05 else 0.0
    return SERVICE_P95_MS + wait_s * 1000


@lru_cache(maxsize=200_000)
def needed(load: float) -> int:
    """Fewest replicas with which `load` is answered within the SLO."""
    units = max(1, math.floor(load) + 1)
    while response_p95_ms(units, load) > SLO_MS:
        units += 1
    return units


@lru_cache(maxsize=200_000)
def _erlang_c(servers: int, load: float) -> float:
    """Probability that a request waits; Erlang's recursion on B, then C = B / (1 - rho (1 - B))."""
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = load * blocked / (n + load * blocked)
    rho = min(load / servers, 1 - 1e-9)
    return blocked / (1 - rho * (1 - blocked))
