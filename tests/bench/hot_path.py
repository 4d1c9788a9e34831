"""Samples a second and CPU us a sample of the telemetry worker, beside plain Faust and a floor in the same run.

    python tests/bench/hot_path.py [--seconds 30] [--rounds 3] [--workload w1|w2] [--side ours] [--profile]

A backlog is on the topic before anything is measured; each side reads it from its beginning in a process of its own,
with a group and a state of its own, one after the other, round by round. What is compared is CPU time of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from hot_path_load import ANOMALIES, PARTITIONS, publish

from topology.admin import TopicAdmin, WantedTopic, wanted_topics
from topology.embedded import embedded_kafka
from topology.settings import Settings

START_LIMIT_S = 60.0
SETTLE_S = 2.0
"""After a side has begun: caches fill, rows are made."""
MOST_PER_S = {"w1": 60_000, "w2": 180_000}
"""Sizes the backlog: a side that is faster than this reads it to its end and is measured on the shorter time."""
NAMES = {"ours": "maestro telemetry", "faust": "plain Faust", "floor": "floor, no state"}


@dataclass(frozen=True)
class Measured:
    samples: int
    seconds: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        return self.samples / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / self.samples * 1e6


def measure(side: str, broker: str, workload: str, run: str, seconds: float, total: int, profile: bool) -> Measured:
    """One side for `seconds`, or to the end of the backlog."""
    with tempfile.TemporaryDirectory(prefix="maestro-bench-") as folder:
        program = str(Path(__file__).with_name("hot_path_sides.py"))
        args = [sys.executable, program, side, broker, workload, f"bench-{run}-{side}", folder]
        child = subprocess.Popen([*args, *(["profile"] if profile else [])], stdout=subprocess.PIPE)
        try:
            return _watched(child, seconds, total)
        finally:
            child.terminate()
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _watched(child: subprocess.Popen[bytes], seconds: float, total: int) -> Measured:
    assert child.stdout is not None
    deadline = time.monotonic() + START_LIMIT_S
    begun_s, before, first, last = 0.0, None, None, None
    buffer = b""
    while time.monotonic() < deadline:
        if not select.select([child.stdout], [], [], 1.0)[0]:
            continue
        data = os.read(child.stdout.fileno(), 65_536)
        if not data:
            raise RuntimeError(f"a side ended with status {child.wait()}")
        *lines, buffer = (buffer + data).split(b"\n")
        for now in (json.loads(line) for line in lines if line.startswith(b"{")):
            if now["samples"] and not begun_s:
                begun_s = now["s"]
                deadline = time.monotonic() + seconds + SETTLE_S + 30
            if not begun_s:
                before = now
            if begun_s and now["s"] - begun_s < SETTLE_S and now["samples"] < total:
                continue
            if begun_s and (last is None or now["samples"] > last["samples"]):
                first, last = first or now, now  # only where the count moves, so that both ends are flushes
            if first and last and (now["samples"] >= total or now["s"] - first["s"] >= seconds):
                if last is first and before:
                    first = before  # all was read before it had settled: the floor, with W2
                return Measured(
                    last["samples"] - first["samples"], last["s"] - first["s"], last["cpu_s"] - first["cpu_s"]
                )
    raise RuntimeError("a side did not get to work in time")


def compare(broker: str, workload: str, sides: list[str], options: argparse.Namespace) -> None:
    total = publish(broker, workload, int(MOST_PER_S[workload] * (options.seconds + SETTLE_S)))
    print(f"{workload}: {total:,} samples waiting; load average {os.getloadavg()[0]:.1f}", flush=True)
    found: dict[str, list[Measured]] = {side: [] for side in sides}
    for number in range(options.rounds):
        for side in sides:
            run = f"{workload}-{os.getpid()}-{number}"
            one = measure(side, broker, workload, run, options.seconds, total, options.profile)
            found[side].append(one)
            print(
                f"  round {number + 1} {NAMES[side]:20} {one.per_s:12,.0f} samples/s {one.cpu_us:9.2f} CPU us/sample "
                f"over {one.seconds:.0f} s, load average {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    for side, runs in found.items():
        per_s, cpu_us = (statistics.median(getattr(r, name) for r in runs) for name in ("per_s", "cpu_us"))
        print(f"{workload} {NAMES[side]:20} median {per_s:12,.0f} samples/s {cpu_us:9.2f} CPU us/sample")
    if {"ours", "faust"} <= found.keys():
        ratio = _median_cpu(found["faust"]) / _median_cpu(found["ours"])
        print(f"{workload} plain Faust takes {ratio:.1f} times our CPU a sample")


def _median_cpu(runs: list[Measured]) -> float:
    return statistics.median(r.cpu_us for r in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="measured seconds of each side and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workload", choices=("w1", "w2"), action="append", help="both if not given")
    parser.add_argument("--side", choices=tuple(NAMES), action="append", help="all if not given")
    parser.add_argument("--profile", action="store_true", help="ours: print where the CPU goes (costs about 2 %%)")
    options = parser.parse_args()
    for workload in options.workload or ["w1", "w2"]:
        with embedded_kafka() as kafka:
            wanted = [*wanted_topics(Settings(partitions=PARTITIONS)), WantedTopic(ANOMALIES, 1, None, {})]
            TopicAdmin(kafka.bootstrap).create(wanted)
            compare(kafka.bootstrap, workload, options.side or list(NAMES), options)


if __name__ == "__main__":
    main()
