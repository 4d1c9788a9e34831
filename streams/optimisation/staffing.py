"""How many units some work needs, so that its latency keeps the promise: from the queueing model where it is known.

A unit is taken for a server of an M/M/c queue. The mean service time is busy units / throughput [utilisation law]; what
latency there is without waiting is a low quantile of what was seen; half of the rest of the promise is for waiting,
the other half for what the model does not know. The wait's p95 is ln(C / 0.05) s / (c - work), with
C = (work / c) ** (sqrt(2 (c + 1)) - 1) [Sakasegawa 1977], for any c > work. Without throughput or latency: square-root
staffing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

_HALVINGS = 30
_LATE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Staffing:
    """`target` 0-1: use aimed at; `staffing_units` as in the settings, 0 = the target counts for every size.

    `service_s` of a request, 0 = not known; `spare_s`: of the promised latency, what is left for waiting; `fullest`
    0-1: never fuller than that, whatever the model says.
    """

    target: float
    staffing_units: float = 0.0
    service_s: float = 0.0
    spare_s: float = 0.0
    fullest: float = 1.0

    def units(self, busy: float) -> float:
        """Units, not whole, for `busy` units' worth of work; grows with it."""
        if self.service_s > 0 and busy > 0:
            return max(busy / self.fullest, _queueing(busy, self.service_s, self.spare_s))
        return square_root(busy, self.target, self.staffing_units)


def square_root(busy: float, target: float, staffing_units: float) -> float:
    """Units for `busy` units' worth of work: busy / target, or by square-root staffing where that is less.

    A pool of n needs a reserve that grows with the root of its work, not with the work [Halfin and Whitt 1981]. The
    factor is the one at which `staffing_units` units are at `target`; 0 = the target counts for every size.
    """
    plain = busy / target
    if staffing_units <= 0 or plain <= staffing_units:
        return plain
    least = staffing_units * target
    return busy + (staffing_units - least) * sqrt(busy / least)


def wait_p95_s(units: float, busy: float, service_s: float) -> float:
    if busy >= units:
        return float("inf")
    waiting = (busy / units) ** (sqrt(2 * (units + 1)) - 1)
    return log(waiting / _LATE_SHARE) * service_s / (units - busy) if waiting > _LATE_SHARE else 0.0


def _queueing(busy: float, service_s: float, spare_s: float) -> float:
    """Fewest units at which 95 % of requests wait `spare_s` (over 0) at most."""
    low, high = busy, busy + 1.0
    while wait_p95_s(high, busy, service_s) > spare_s:
        low, high = high, busy + 2 * (high - busy)
    for _ in range(_HALVINGS):
        half = (low + high) / 2
        low, high = (half, high) if wait_p95_s(half, busy, service_s) > spare_s else (low, half)
    return high
