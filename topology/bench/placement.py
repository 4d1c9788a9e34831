"""Plays the composed case (`regions`) with one router at a time, and adds up what its choices cost.

A job that is where its region fails is lost there: what it ran is paid, its outcome is a failure, and its router may
send it elsewhere. A failure is known to routers `DETECTION_S` later. The offline oracle knows the whole hour: it sends
each job to the cheapest allowed region that stays up for all of its run. It counts no capacity: a lower bound.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from topology.bench.regions import DETECTION_S, Composed, Job, Region

HOUR_MS = 3_600_000
RETRY_MS = 1_000
ATTEMPTS_MAX = 20
Placed = list[tuple[str, str]]
"""(job id, region)."""


class Router(Protocol):
    """What a router is told, and answers: where jobs go now. Times in ms."""

    name: str

    def arrives(self, job: Job, at: int) -> Placed: ...

    def ended(self, job: Job, region: str, ok: bool, at: int) -> Placed: ...

    def health(self, region: str, up: bool, at: int) -> Placed: ...

    def tick(self, at: int) -> Placed: ...


@dataclass(slots=True)
class Tally:
    """`usd` includes what was lost with failures; `refused` jobs never ended."""

    usd: float = 0.0
    done: int = 0
    policy_violations: int = 0
    latency_violations: int = 0
    deadline_misses: int = 0
    failures: int = 0
    fallbacks: int = 0
    refused: int = 0


@dataclass(slots=True)
class _Run:
    job: Job
    region: str | None = None
    epoch: int = 0
    tries: int = 0
    done: bool = False


@dataclass(slots=True)
class Playing:
    case: Composed
    router: Router
    tally: Tally = field(default_factory=Tally)
    _queue: list[tuple[int, int, str, tuple[object, ...]]] = field(default_factory=list)
    _number: int = 0

    def play(self) -> Tally:
        runs = {job.request.id: _Run(job) for job in self.case.jobs}
        regions = {region.name: region for region in self.case.regions}
        for job in self.case.jobs:
            self._at(job.request.at, "arrives", job)
        for region in self.case.regions:
            for start, end in region.down:
                self._at(start + round(DETECTION_S * 1000), "health", region.name, False)
                self._at(end + round(DETECTION_S * 1000), "health", region.name, True)
        while self._queue:
            at, _, what, about = heapq.heappop(self._queue)
            placed = self._happens(at, what, about, runs)
            for job_id, target in placed:
                self._start(runs[job_id], regions[target], at)
        self.tally.refused = sum(not run.done for run in runs.values())
        return self.tally

    def _happens(self, at: int, what: str, about: tuple[object, ...], runs: dict[str, _Run]) -> Placed:
        first = about[0]
        if what == "arrives" and isinstance(first, Job):
            return [*self.router.tick(at), *self.router.arrives(first, at)]
        if what == "health" and isinstance(first, str):
            return [*self.router.tick(at), *self.router.health(first, bool(about[1]), at)]
        run = runs[str(first)]
        if about[1] != run.epoch or run.done or run.region is None:
            return []
        region, ok = run.region, what == "ends"
        run.done = ok
        self.tally.done += ok
        self.tally.failures += not ok
        deadline_at = run.job.request.constraints.deadline_at
        self.tally.deadline_misses += ok and deadline_at is not None and at > deadline_at
        run.region = None
        return [*self.router.tick(at), *self.router.ended(run.job, region, ok, at)]

    def _start(self, run: _Run, region: Region, at: int) -> None:
        """The job goes to a region: it ends there, or is lost there when the region fails."""
        if run.done or run.tries >= ATTEMPTS_MAX:
            return
        run.tries, run.epoch, run.region = run.tries + 1, run.epoch + 1, region.name
        self.tally.fallbacks += run.tries > 1
        needs = run.job.request.constraints
        latency = self.case.latency_ms[run.job.client, region.name]
        self.tally.policy_violations += bool(needs.data_regions) and region.area not in needs.data_regions
        self.tally.latency_violations += needs.max_latency_ms is not None and latency > needs.max_latency_ms
        ends_at = at + run.job.runs_ms + round(latency)
        lost_at = min((max(at, s) for s, e in region.down if s < ends_at and at < e), default=None)
        self.tally.usd += region.usd_per_hour * ((lost_at or ends_at) - at if lost_at != at else 0) / HOUR_MS
        if lost_at is None:
            self._at(ends_at, "ends", run.job.request.id, run.epoch)
        else:
            self._at(max(lost_at, at + RETRY_MS), "lost", run.job.request.id, run.epoch)

    def _at(self, at: int, what: str, *about: object) -> None:
        self._number += 1
        heapq.heappush(self._queue, (at, self._number, what, about))


def oracle_usd(case: Composed) -> float:
    """USD of all jobs that some region can run to its end. In order of price: the first that can is cheapest."""
    by_price = sorted(case.regions, key=lambda region: (region.usd_per_hour, region.name))
    return sum(_cheapest(case, by_price, job) for job in case.jobs)


def _cheapest(case: Composed, by_price: list[Region], job: Job) -> float:
    for region in by_price:
        latency, at = case.latency_ms[job.client, region.name], job.request.at
        ends_at = at + job.runs_ms + round(latency)
        if allowed(job, region, latency) and region.is_up(at, ends_at):
            return region.usd_per_hour * (ends_at - at) / HOUR_MS
    return 0.0


def allowed(job: Job, region: Region, latency_ms: float) -> bool:
    needs = job.request.constraints
    stays = not needs.data_regions or region.area in needs.data_regions
    return stays and (needs.max_latency_ms is None or latency_ms <= needs.max_latency_ms)


@dataclass(slots=True)
class Baseline:
    """A router without explanations: it knows which regions are up and how many jobs each has, and orders them."""

    name: str
    case: Composed
    filters: bool = False
    _down: set[str] = field(default_factory=set)
    _has: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _turn: int = 0
    _stuck: dict[str, str] = field(default_factory=dict)

    def arrives(self, job: Job, at: int) -> Placed:
        up = [r for r in self.case.regions if r.name not in self._down]
        if self.filters:
            up = [r for r in up if allowed(job, r, self.case.latency_ms[job.client, r.name])]
        if not up:
            return []
        region = self._choose(job, up)
        self._has[region.name] += 1
        return [(job.request.id, region.name)]

    def ended(self, job: Job, region: str, ok: bool, at: int) -> Placed:
        self._has[region] -= 1
        return [] if ok else self.arrives(job, at)

    def health(self, region: str, up: bool, at: int) -> Placed:
        (self._down.discard if up else self._down.add)(region)
        return []

    def tick(self, at: int) -> Placed:
        return []

    def _choose(self, job: Job, up: list[Region]) -> Region:
        latency = self.case.latency_ms
        match self.name:
            case "cheapest":
                return min(up, key=lambda r: (r.usd_per_hour, r.name))
            case "nearest":
                return min(up, key=lambda r: (latency[job.client, r.name], r.name))
            case "round-robin":
                self._turn += 1
                return up[self._turn % len(up)]
            case "sticky":
                kept = next((r for r in up if r.name == self._stuck.get(job.client)), None)
                chosen = kept or min(up, key=lambda r: (r.usd_per_hour, r.name))
                self._stuck[job.client] = chosen.name
                return chosen
            case _:
                return min(up, key=lambda r: (self._has[r.name], r.name))


def baselines(case: Composed) -> Iterator[Baseline]:
    """Kube-style: filters, then the least allocated node of equal ones, as kube-scheduler scores by default."""
    for name in ("cheapest", "nearest", "round-robin", "sticky"):
        yield Baseline(name, case)
    yield Baseline("kube-style", case, filters=True)
