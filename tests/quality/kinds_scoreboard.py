"""Accuracy of kinds, delays, false alarms and the rarity of severities: `python tests/quality/kinds_scoreboard.py`.

--seeds 1000:1060 --snr 6,10; a module with `generate(seed, snr) -> x (nan = missing), [(start, end, kind)]` of samples
every five minutes can be scored instead of our own series: --generator its_file.py
"""

from __future__ import annotations

import argparse
import importlib.util
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from kinds_series import DAY_MS, FAMILIES, KINDS, START_MS, WARM_SAMPLES, Event, Labelled, labelled, quiet
from numba import njit

from streams.telemetry.detector import KINDS as BY_CODE
from streams.telemetry.detector import Detector
from streams.telemetry.incident import CHANGED, OPENED
from streams.telemetry.observing import observe
from streams.telemetry.state import DRIFT, SHIFT

LATE = 15
"""Samples after the end of an event in which it still counts as found."""
SETTLING = 60
"""Samples after the end of an event in which nothing counts as false: the way back is a change too."""


class Report(NamedTuple):
    """An incident opened, or changed its kind, at a row; `severity` 0-3 is its highest until it closed."""

    row: int
    kind: str
    opened: bool
    severity: int


def reports(series: Labelled) -> list[Report]:
    """What the product's detector says of a series."""
    detector = Detector()
    size = len(series.at)
    change, kind, direction, severity = (np.zeros(size, np.int8) for _ in range(4))
    s, m = detector.state.record, detector.reading
    _observe_all(s, detector.numbers, m, series.at, series.x, change, kind, direction, severity)
    found: list[Report] = []
    for row in np.flatnonzero((change == OPENED) | (change == CHANGED)):
        if change[row] == OPENED or kind[row] != kind[row - 1]:
            sign = "" if kind[row] not in (SHIFT, DRIFT) else "_up" if direction[row] > 0 else "_down"
            found.append(Report(int(row), str(BY_CODE[kind[row]]) + sign, change[row] == OPENED, severity[row]))
        else:
            found[-1] = found[-1]._replace(severity=max(severity[row], found[-1].severity))
    return found


@njit
def _observe_all(s, c, m, at, x, change, kind, direction, severity):  # type: ignore[no-untyped-def]
    for i in range(len(at)):
        _, change[i] = observe(s, c, m, at[i], x[i])
        kind[i], direction[i], severity[i] = s.kind, s.direction, s.severity


class Tally:
    """Adds up series; the same rules as the shared scorer, so that figures compare."""

    def __init__(self) -> None:
        self.confusion: Counter[tuple[str, str]] = Counter()
        self.delays: defaultdict[str, list[int]] = defaultdict(list)
        self.false = 0
        self.days = 0.0

    def add(self, series: Labelled) -> None:
        """One more series."""
        said = reports(series)
        excused = {q.row for e in series.events for q in said if e.start <= q.row < e.end + SETTLING}
        self.false += sum(q.row not in excused for q in said)
        self.days += float(series.at[-1] - series.at[WARM_SAMPLES]) / DAY_MS
        for event in series.events:
            self._judge(event, [q for q in said if event.start <= q.row < event.end + LATE])

    def _judge(self, event: Event, hits: list[Report]) -> None:
        inside = [q for q in hits if q.row < event.end] or hits
        self.confusion[event.kind, inside[-1].kind if inside else "missed"] += 1
        if hits:
            self.delays[event.kind].append(hits[0].row - event.start)

    def accuracy(self) -> float:
        """Share of events whose last kind was theirs."""
        return sum(self.confusion[k, k] for k in KINDS) / max(1, sum(self.confusion.values()))

    def show(self, title: str) -> None:
        """Prints the table."""
        print(f"{title}: kinds right {self.accuracy():.3f} of {sum(self.confusion.values())}, "
              f"false alarms a series-day {self.false / self.days:.3f}")  # fmt: skip
        columns = (*KINDS, "missed")
        print(" " * 12 + " ".join(f"{c[:9]:>9}" for c in columns) + "   delay: median/p90, samples")
        for kind in KINDS:
            of = sum(self.confusion[kind, c] for c in columns)
            shares = " ".join(f"{self.confusion[kind, c] / max(of, 1):9.2f}" for c in columns)
            delays = self.delays[kind] or [0]
            print(f"{kind:12}{shares}   {np.median(delays):.0f}/{np.percentile(delays, 90):.0f}")


def severities(seeds: Iterable[int]) -> None:
    """On series without events: incidents, and of each severity, per thousand series-days, by family of noise."""
    print("incidents per 1000 series-days without an event: all, medium+, high+, critical")
    for family in FAMILIES:
        counts, days = np.zeros(4), 0.0
        for seed in seeds:
            series = quiet(seed, family)
            days += (len(series.at) - WARM_SAMPLES) * 300_000 / DAY_MS
            for q in reports(series):
                if q.opened and q.row >= WARM_SAMPLES:
                    counts[: q.severity + 1] += 1
        print(f"{family:12}" + " ".join(f"{1000 * c / days:8.1f}" for c in counts))


def shared_generator(path: Path) -> Callable[[int, float], Labelled]:
    """`generate` of another module as a source of series."""
    spec = importlib.util.spec_from_file_location("generator", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no Python module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def make(seed: int, snr: float) -> Labelled:
        x, events = module.generate(seed, snr)
        kept = np.isfinite(x)
        before = np.concatenate(([0], np.cumsum(kept)))
        at = START_MS + np.arange(len(x), dtype=np.int64) * 300_000
        rows = [Event(int(before[a]), int(before[b]), str(kind)) for a, b, kind in events]
        return Labelled(at[kept], x[kept], rows)

    return make


def main() -> None:
    """Prints a table per SNR, then the severities."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0:60")
    parser.add_argument("--snr", default="6,10")
    parser.add_argument("--generator", type=Path)
    parser.add_argument("--severities", action="store_true", help="also the rarity of severities by family of noise")
    args = parser.parse_args()
    first, last = (int(part) for part in args.seeds.split(":"))
    source = shared_generator(args.generator) if args.generator else labelled
    for snr in map(float, args.snr.split(",")):
        tally = Tally()
        for seed in range(first, last):
            tally.add(source(seed, snr))
        tally.show(f"SNR {snr:g}")
    if args.severities:
        severities(range(first, last))


if __name__ == "__main__":
    main()
