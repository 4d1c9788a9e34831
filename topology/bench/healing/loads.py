"""What a made pool of servers goes through: figures of error rate and latency for each server and moment."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

MEDIAN_MS, SPREAD, REQUESTS_PER_S = 10.0, 0.4, 10.0
"""A healthy answer, and what one server is asked: those of `server.py` and `load.py`."""
PAUSE_EVERY_S, PAUSE_MS, PAUSED = 5.0, (20.0, 300.0), (1, 6)
"""Moments of a busy machine: one look at some of the servers takes longer, whoever they are."""

IsIll = Callable[[int, float], bool]
"""(server, second) -> whether it answers with errors."""


@dataclass(frozen=True, slots=True)
class Load:
    """`pauses`: whether the machine has moments of slowness besides."""

    name: str
    label: str
    is_ill: IsIll
    pauses: bool = False

    def tick(
        self, at_s: float, interval_s: float, ids: Sequence[str], drained: AbstractSet[str], chance: random.Random
    ) -> list[float]:
        """error rate and latency of each server in turn, as the probe beside the load balancer would send them."""
        slow = self._slow(len(ids), interval_s, chance) if self.pauses else {}
        found: list[float] = []
        for number, asset_id in enumerate(ids):
            requests = 0 if asset_id in drained else max(1, round(REQUESTS_PER_S * interval_s))
            failed = requests + 1 if self.is_ill(number, at_s) else 0
            latency = MEDIAN_MS * chance.lognormvariate(0.0, SPREAD) + slow.get(number, 0.0)
            found += (failed / (requests + 1), latency)
        return found

    @staticmethod
    def _slow(size: int, interval_s: float, chance: random.Random) -> dict[int, float]:
        if chance.random() >= interval_s / PAUSE_EVERY_S:
            return {}
        pause_ms = chance.uniform(*PAUSE_MS)
        return dict.fromkeys(chance.sample(range(size), chance.randint(*PAUSED)), pause_ms)


def _flaps(period_s: float, server: int = 0) -> IsIll:
    return lambda number, at_s: number == server and at_s > _WARM_S and (at_s % period_s) < period_s / 2


def _half_of_the_pool(number: int, at_s: float) -> bool:
    return number % 2 == 0 and at_s > _WARM_S and at_s % 3600.0 < 600.0


_WARM_S = 120.0
LOADS = {
    load.name: load
    for load in (
        Load("quiet", "all well", lambda number, at_s: False),
        Load("noisy", "all well on a busy machine", lambda number, at_s: False, pauses=True),
        Load("flapping", "one server ill for 2 s in 4", _flaps(4.0)),
        Load("flapping-minutes", "one server ill for 5 min in 10", _flaps(600.0)),
        Load("flapping-half-hours", "one server ill for 15 min in 30", _flaps(1800.0)),
        Load("storm", "half of the pool ill for 10 min an hour", _half_of_the_pool),
    )
}
