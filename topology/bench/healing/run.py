"""Faults in turn, each on another server for a set time: how soon it was detected, decided, effected and verified, and
what it cost in requests. Then one server that flaps, and half of the pool ill at once.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topology.bench.healing.load import __file__ as LOAD
from topology.bench.healing.pool import BACKEND, KINDS, Pool, running_pool
from topology.bench.healing.sides import SIDES, Side, looked_after
from topology.bench.healing.watch import Load, Moment, Seen, Watcher
from topology.bench.watched import child, load_average

POOL_SIZE = 20
RATE = 200.0
WARM_SAMPLES, FEWEST_WARM_S = 40, 15.0
FLAP_EVERY_S = 2.0
STORM_S = 15.0
AFTERMATH_S = 5.0
"""After a fault, for which an incident of the same server still counts as its."""
STEPS = ("detected", "decided", "effected", "verified")


@dataclass(frozen=True, slots=True)
class Struck:
    asset: str
    kind: str
    begun: float
    end: float


def figures(sides: Sequence[str], faults: int, flap_s: float = 30.0) -> Iterator[dict[str, object]]:
    """Rows of every side. Raises BenchError if a program that it needs is missing."""
    for name in sides:
        with tempfile.TemporaryDirectory(prefix="maestro-bench-") as folder:
            yield from _side(SIDES[name], Path(folder), faults, flap_s)


def _side(side: Side, folder: Path, faults: int, flap_s: float) -> Iterator[dict[str, object]]:
    with ExitStack() as stack:
        pool = stack.enter_context(running_pool(folder, POOL_SIZE, side.checks))
        broker = stack.enter_context(looked_after(side, pool, folder))
        load = Load(stack.enter_context(child([sys.executable, LOAD, str(pool.front), str(RATE)])))
        watcher = Watcher(pool, broker)
        time.sleep(max(FEWEST_WARM_S, WARM_SAMPLES * side.telemetry_s) if side.telemetry_s else 3.0)
        watcher.start()
        struck = [_strike(pool, side, number) for number in range(faults)]
        time.sleep(1.0)
        for kind in ("all", *KINDS):
            yield _row(side, kind, [s for s in struck if kind in ("all", s.kind)], watcher.seen, load)
        if side.telemetry_s:
            yield _flapping(pool, side, watcher.seen, load, flap_s)
            yield _storm(pool, side, watcher.seen, load)
        watcher.stop()


def _strike(pool: Pool, side: Side, number: int) -> Struck:
    """The fault is over after `fault_s`, healed or not; the next one is on the next server."""
    asset, kind, begun = pool.names[number % len(pool.names)], KINDS[number % len(KINDS)], time.time()
    # Not in step with the telemetry, which would make the same delay of all of them.
    time.sleep((0.37 * number * max(side.telemetry_s, 0.1)) % max(side.telemetry_s, 0.1))
    begun = time.time()
    pool.strike(asset, kind)
    time.sleep(side.fault_s)
    pool.mend(asset)
    if not side.heals_back:
        pool.order(f"set server {BACKEND}/{asset} state ready")
    return Struck(asset, kind, begun, time.time())


def _row(side: Side, kind: str, struck: Sequence[Struck], seen: Seen, load: Load) -> dict[str, object]:
    moments: Mapping[str, list[Moment]] = {
        "detected": seen.detected, "decided": seen.decided, "effected": seen.out, "verified": seen.verified,
    }  # fmt: skip
    row: dict[str, object] = {"side": side.name, "label": side.label, "what": "faults", "kind": kind}
    for step in STEPS:
        found = [seen.first(moments[step], s.asset, s.begun, s.end) for s in struck]
        row |= {f"{step}_{name}": value for name, value in cuts([1000 * f for f in found if f is not None]).items()}
    lost = [load.count("failed", s.begun, s.end) for s in struck]
    late = [load.count("slow", s.begun, s.end) for s in struck]
    row |= {"faults": len(struck), "failed": sum(lost), "slow": sum(late)}
    row |= {"failed_a_fault": sum(lost) / max(1, len(struck)), "slow_a_fault": sum(late) / max(1, len(struck))}
    if kind == "all":
        row |= {f"decision_{name}": value for name, value in cuts(seen.decision_ms).items()}
        row |= {"most_acted_on_at_once": seen.most_at_once, "unexpected": len(seen.failures)}
        row |= {"first_unexpected": seen.failures[0] if seen.failures else ""}
        row["incidents"], row["incidents_elsewhere"] = _incidents(struck, seen)
        row["held"] = _held(struck, seen)
    return row | {"load_average": load_average()}


def _incidents(struck: Sequence[Struck], seen: Seen) -> tuple[dict[str, int], dict[str, int]]:
    """By metric, kind and severity as they opened while the faults went on: of stricken servers, and of others."""
    begun, end = struck[0].begun, struck[-1].end
    ill = [(s.asset, s.begun, s.end + AFTERMATH_S) for s in struck]
    theirs, others = Counter[str](), Counter[str]()
    for at, asset, what in seen.opened:
        if begun <= at < end:
            known = any(asset == name and since <= at < until for name, since, until in ill)
            (theirs if known else others)[what] += 1
    return dict(sorted(theirs.items())), dict(sorted(others.items()))


def _held(struck: Sequence[Struck], seen: Seen) -> dict[str, int]:
    """Why nothing was done for a stricken server while it was ill, with how often that was said."""
    ill = [(s.asset, s.begun, s.end) for s in struck]
    counts = Counter(
        why for at, asset, why in seen.held if any(asset == name and since <= at < until for name, since, until in ill)
    )
    return dict(sorted(counts.items()))


def _flapping(pool: Pool, side: Side, seen: Seen, load: Load, flap_s: float) -> dict[str, object]:
    asset, begun = pool.names[-1], time.time()
    while time.time() - begun < flap_s:
        for kind in ("error", "none"):
            pool.strike(asset, kind)
            time.sleep(FLAP_EVERY_S)
    end = time.time()
    orders = [at for at, name in seen.out if name == asset and begun <= at < end]
    row: dict[str, object] = {"side": side.name, "label": side.label, "what": "flapping", "seconds": end - begun}
    row |= {"drains": len(orders), "drains_an_hour": len(orders) * 3600.0 / (end - begun)}
    return row | {"failed": load.count("failed", begun, end)}


def _storm(pool: Pool, side: Side, seen: Seen, load: Load) -> dict[str, object]:
    """Half of the pool at once; the cap is a tenth."""
    begun = time.time()
    ill = pool.names[::2]
    for asset in ill:
        pool.strike(asset, "error")
    time.sleep(STORM_S)
    end = time.time()
    drained = {name for at, name in seen.out if begun <= at < end}
    for asset in ill:
        pool.mend(asset)
    row: dict[str, object] = {"side": side.name, "label": side.label, "what": "half the pool", "seconds": end - begun}
    row |= {"ill": len(ill), "drained": len(drained), "cap": max(1, POOL_SIZE // 10)}
    return row | {"most_acted_on_at_once": seen.most_at_once, "failed": load.count("failed", begun, end)}


def cuts(ms: Sequence[float]) -> dict[str, object]:
    """Nearest rank, ms; None where there is nothing."""
    ordered = sorted(ms)
    if not ordered:
        return {"count": 0, "p50_ms": None, "p99_ms": None, "most_ms": None}
    at = {name: ordered[max(0, math.ceil(share * len(ordered)) - 1)] for name, share in (("p50", 0.5), ("p99", 0.99))}
    return {"count": len(ordered), "p50_ms": at["p50"], "p99_ms": at["p99"], "most_ms": ordered[-1]}


def text(row: Mapping[str, Any]) -> str:
    if row["what"] == "flapping":
        return (
            "{label}: flapping for {seconds:.0f} s: {drains} drains ({drains_an_hour:.0f} an asset-hour), "
            "{failed} requests failed"
        ).format(**row)
    if row["what"] == "half the pool":
        return (
            "{label}: {ill} of 20 ill for {seconds:.0f} s: {drained} drained (at most {most_acted_on_at_once} acted "
            "on at once, cap {cap}), {failed} requests failed"
        ).format(**row)
    steps = ", ".join(f"{step} {_span(row, step)}" for step in STEPS if row[f"{step}_count"])
    lost = "{failed_a_fault:.1f} requests failed and {slow_a_fault:.1f} were slow a fault".format(**row)
    decision = f"; sample to order {_span(row, 'decision')}" if row.get("decision_count") else ""
    asides = "".join(
        f"\n  {heading}: {'; '.join(f'{count} x {what}' for what, count in row[name].items())}"
        for name, heading in (("held", "not done at once"), ("incidents_elsewhere", "incidents of healthy servers"))
        if row.get(name)
    )
    return f"{row['label']}: {row['faults']} x {row['kind']}: {steps or 'nothing was done'}; {lost}{decision}{asides}"


def _span(row: Mapping[str, Any], step: str) -> str:
    return f"{row[f'{step}_p50_ms']:.0f} / {row[f'{step}_p99_ms']:.0f} ms ({row[f'{step}_count']})"
