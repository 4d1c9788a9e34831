"""Where the CPU of our worker goes: a sample of the main thread's stack for each 5 ms of the process's CPU time.

Threads beside the main one (fetching, librdkafka, RocksDB) are told by their own CPU clocks.
"""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable
from functools import cache
from types import FrameType

import psutil

EVERY_S = 0.005
SAMPLES_A_LOOK = 100
PARTS = (
    ("rows to bytes", ("streams/telemetry/rows.py", "streams/telemetry/snapshot.py")),
    ("changelog + store", ("streams/atleastonce/flush.py", "streams/atleastonce/changelog.py",
                           "streams/atleastonce/producer.py", "streams/atleastonce/store.py")),
    ("records of incidents", ("streams/telemetry/telling.py", "streams/telemetry/anomalies.py")),
    ("their bytes and headers", ("streams/runtime/publish.py",)),
    ("detector + table, compiled", ("streams/telemetry/partition.py", "streams/telemetry/block.py")),
    ("telemetry, other", ("streams/telemetry/",)),
    ("decode + gather", ("streams/runtime/samples.py", "schemas/samples.py", "streams/runtime/signal_scan.py")),
    ("partition + runner", ("streams/kit/", "streams/runtime/")),
    ("consume", ("streams/atleastonce/", "faust/transport", "aiokafka/")),
    ("faust, mode", ("faust/", "mode/")),
    ("loop idle or polling", ("selectors.py",)),
)  # fmt: skip


@cache
def _part_of(place: str) -> str | None:
    return next((part for part, marks in PARTS if any(mark in place for mark in marks)), None)


def _thread_ms() -> Counter[str]:
    """CPU of each thread since the process began."""
    names, found = {t.native_id: t.name for t in threading.enumerate()}, Counter[str]()
    for t in psutil.Process().threads():
        found[names.get(t.id, "native").rstrip("0123456789_-")] += round((t.user_time + t.system_time) * 1000)
    return found


class Sampler:
    def __init__(self, done: Callable[[], int]) -> None:
        """`done`: samples so far; before the first, nothing is taken (compiling would be most of it)."""
        self.parts: Counter[str] = Counter()
        self.places: Counter[str] = Counter()
        self.within: Counter[str] = Counter()
        self._done, self._begun = done, 0
        self._threads: Counter[str] = Counter()

    def start(self) -> None:
        """On the main thread, while its event loop runs."""
        signal.signal(signal.SIGPROF, self._take)
        # The loop is woken through this pipe; while it is busy the pipe fills, which does not matter.
        signal.set_wakeup_fd(signal.set_wakeup_fd(-1), warn_on_full_buffer=False)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def _take(self, _signal: int, frame: FrameType | None) -> None:
        if not self._begun:
            self._begun = self._done()
            return
        stack = []
        while frame is not None:
            stack.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")
            frame = frame.f_back
        shown = ["/".join(place.rsplit("/", 2)[-2:]) for place in stack]
        self.places[shown[0]] += 1
        self.within.update(set(shown))
        self.parts[next(filter(None, map(_part_of, stack)), "other")] += 1
        if sum(self.parts.values()) % SAMPLES_A_LOOK == 0:
            self._threads = _thread_ms()  # now and then: those that have ended when all is over would be missing

    def told(self, samples: int, *context: object) -> str:
        signal.setitimer(signal.ITIMER_PROF, 0)
        total = sum(self.parts.values()) or 1
        cpu_ms = sum(self._threads.values()) or 1
        lines = [f"\n{samples} samples, start-up included; {context}"]
        lines += [f"  thread {name:24} {ms / cpu_ms:5.1%}" for name, ms in self._threads.most_common(8)]
        lines += [f"  {name:24} {n / total:5.1%}" for name, n in self.parts.most_common()]
        lines += [f"    at {name:48} {n / total:5.1%}" for name, n in self.places.most_common(16)]
        lines += [f"    within {name:44} {n / total:5.1%}" for name, n in self.within.most_common(48)]
        return "\n".join(lines) + "\n"
