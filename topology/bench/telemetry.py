"""W1 and W2: samples a second and CPU us a sample of the telemetry worker, of peers and of a floor, in one run.

A backlog is on the topic before anything is measured; each side reads it from its beginning in a process of its own,
with a group and a state of its own, one after the other, round by round. What is compared is CPU time of the process.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from topology.admin import TopicAdmin, WantedTopic, wanted_topics
from topology.bench import load
from topology.bench.peers import LABELS, OURS, TOY, Tools, environment
from topology.bench.watched import SETTLE_S, Measured, child, load_average, measured
from topology.bench.work import ANOMALIES, PARTITIONS
from topology.embedded import embedded_kafka
from topology.settings import Settings

WORKLOADS = ("w1", "w2")
MOST_PER_S = {"w1": 900_000, "w2": 3_000_000}
"""Sizes the backlog: a side that is faster reads it to its end and is measured on the shorter time."""
TOY_MORE = 2
"""So many times the backlog for the toy detector: of less it leaves one flush to be measured, which says nothing."""
ROWS_BEFORE = 20
"""Samples of each series beyond those of the time: with many series a side first makes rows."""


@dataclass(frozen=True, slots=True)
class Plan:
    sides: Sequence[str]
    tools: Tools
    workloads: Sequence[str] = WORKLOADS
    seconds: float = 30.0
    rounds: int = 3
    series: Sequence[int] = (load.SERIES,)
    profile: bool = False


@dataclass(frozen=True, slots=True)
class Round:
    number: int
    side: str
    measured: Measured
    load_average: float


@dataclass(slots=True)
class Comparison:
    """One workload with one number of series. `backlog`: samples on the topic."""

    workload: str
    series: int
    backlog: int
    rounds: list[Round] = field(default_factory=list)

    def of(self, side: str) -> list[Measured]:
        return [r.measured for r in self.rounds if r.side == side]

    def per_s(self, side: str) -> float:
        return statistics.median(m.per_s for m in self.of(side))

    def cpu_us(self, side: str) -> float:
        return statistics.median(m.cpu_us for m in self.of(side))

    def ratio(self, side: str, base: str = OURS) -> float | None:
        """CPU a sample of the side, in that of `base`; None if that was not measured."""
        return self.cpu_us(side) / self.cpu_us(base) if self.of(base) else None


def compare(plan: Plan) -> Iterator[tuple[Comparison, Round | None]]:
    """Each comparison as it begins (None) and after each round of a side. Raises SideError."""
    for series in plan.series:
        for workload in plan.workloads:
            with embedded_kafka() as kafka:
                made = [WantedTopic(ANOMALIES, PARTITIONS, None, {})]
                TopicAdmin(kafka.bootstrap).create([*wanted_topics(Settings(partitions=PARTITIONS)), *made])
                per_s = MOST_PER_S[workload] * (TOY_MORE if TOY in plan.sides else 1)
                samples = int(per_s * (plan.seconds + SETTLE_S)) + ROWS_BEFORE * series
                found = Comparison(workload, series, load.publish(kafka.bootstrap, workload, samples, series))
                yield found, None
                for number in range(1, plan.rounds + 1):
                    for side in plan.sides:
                        found.rounds.append(_round(plan, found, kafka.bootstrap, side, number))
                        yield found, found.rounds[-1]


def figures(found: Comparison) -> Iterator[dict[str, object]]:
    """A row a side, the medians of its rounds."""
    for side in dict.fromkeys(r.side for r in found.rounds):
        yield {
            "workload": found.workload,
            "series": found.series,
            "side": side,
            "label": LABELS[side],
            "per_s": found.per_s(side),
            "cpu_us": found.cpu_us(side),
            "ratio": found.ratio(side),
            "ratio_to_toy": found.ratio(side, TOY),
            "rounds": [{"per_s": m.per_s, "cpu_us": m.cpu_us, "seconds": m.seconds} for m in found.of(side)],
            "load_average": statistics.median(r.load_average for r in found.rounds),
        }


def growth(found: Sequence[Comparison]) -> Iterator[dict[str, object]]:
    """CPU a sample with more series, in that with the fewest."""
    for few in found:
        for many in found:
            if few.workload != many.workload or few.series != min(c.series for c in found) or few is many:
                continue
            for side in dict.fromkeys(r.side for r in few.rounds):
                told = {"workload": few.workload, "from_series": few.series, "to_series": many.series, "side": side}
                yield {**told, "label": LABELS[side], "ratio": many.cpu_us(side) / few.cpu_us(side)}


def _round(plan: Plan, found: Comparison, broker: str, side: str, number: int) -> Round:
    with tempfile.TemporaryDirectory(prefix="maestro-bench-") as folder:
        command = plan.tools.command(side, broker, found.workload, f"bench-{number}-{side}", Path(folder))
        profiled = ["profile"] if plan.profile and side == OURS else []
        with child([*command, *profiled], environment()) as process:
            figures = measured(process, plan.seconds, found.backlog)
    return Round(number, side, figures, load_average())
