"""A side in a process of its own, watched by the lines that it prints, from when it has settled."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

START_LIMIT_S = 120.0
"""Until the first sample is done: the kernels may have to be compiled, groups have to be joined."""
SETTLE_S = 5.0
"""After a side has begun: caches fill, rows are made, a JVM compiles."""
STUCK_S = 60.0


class SideError(Exception):
    """A side ended or did nothing; says what it printed."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a side says of itself every 0.2 s: `s` of a steady clock, CPU seconds of the whole process, samples done."""

    s: float
    cpu_s: float
    samples: int


@dataclass(frozen=True, slots=True)
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


@contextmanager
def child(command: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **(env or {})})
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def measured(process: subprocess.Popen[bytes], seconds: float, total: int) -> Measured:
    """Samples and CPU over `seconds`, or to the end of the `total` that there are. Both ends are where the count moves,
    so that a side that counts what is flushed is measured from flush to flush. Raises SideError."""
    before = first = last = None
    begun_s = 0.0
    for now in lines(process, START_LIMIT_S):
        if not now.samples:
            before = now
            continue
        begun_s = begun_s or now.s
        if now.s - begun_s < SETTLE_S and now.samples < total:
            continue
        if last is None or now.samples > last.samples:
            first, last = first or now, now
        elif now.s - last.s > STUCK_S:
            break
        if first is not None and (now.samples >= total or now.s - first.s >= seconds):
            if last is first and before is not None:
                first = before  # all was read before it had settled: the floor, with W2
            if last.samples > first.samples:
                return Measured(last.samples - first.samples, last.s - first.s, last.cpu_s - first.cpu_s)
    raise SideError("a side did not get to work, or stopped working")


def lines(process: subprocess.Popen[bytes], first_within_s: float) -> Iterator[Line]:
    """As they come; ends when no sample was done within the time."""
    assert process.stdout is not None
    deadline, buffer = time.monotonic() + first_within_s, b""
    while time.monotonic() < deadline:
        if not select.select([process.stdout], [], [], 1.0)[0]:
            continue
        data = os.read(process.stdout.fileno(), 65_536)
        if not data:
            raise SideError(f"a side ended with status {process.wait()}")
        *whole, buffer = (buffer + data).split(b"\n")
        for found in (Line(**json.loads(text)) for text in whole if text.startswith(b"{")):
            if found.samples:
                deadline = time.monotonic() + STUCK_S
            yield found


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process since it began."""
    times = process.cpu_times()
    return float(times.user + times.system)


def load_average() -> float:
    """Of the machine, over a minute: figures stand beside it."""
    return os.getloadavg()[0]
