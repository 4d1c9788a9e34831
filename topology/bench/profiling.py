"""Where the CPU of our worker goes: a sample of the main thread's stack for each 5 ms of the process's CPU time.

Threads beside the main one (fetching, librdkafka, RocksDB) are told by their own CPU clocks.
"""

from __future__ import annotations

import signal
import threading
from collections import Counter
from types import FrameType

import psutil

EVERY_S = 0.005
PARTS = (
    ("encode rows", ("streams/telemetry/state.py:encode", "streams/optimisation/state.py:encode")),
    ("copy rows", ("streams/telemetry/state.py:copy", "streams/optimisation/state.py:copy")),
    ("changelog + store", ("streams/atleastonce/flush.py", "streams/atleastonce/changelog.py",
                           "streams/atleastonce/producer.py", "streams/atleastonce/store.py")),
    ("detector", tuple(f"streams/telemetry/{name}.py" for name in
                       ("detector", "reading", "rarity", "incident", "baseline", "tails", "shapes"))),
    ("engine: slots, order, keys", ("streams/telemetry/", "streams/kit/ids.py")),
    ("outputs", ("streams/runtime/publish.py",)),
    ("decode + gather", ("streams/runtime/samples.py", "schemas/samples.py", "schemas/signal_bytes.py")),
    ("partition + runner", ("streams/kit/", "streams/runtime/")),
    ("consume", ("streams/atleastonce/", "faust/transport", "aiokafka/")),
    ("faust, mode", ("faust/", "mode/")),
    ("loop idle or polling", ("selectors.py",)),
)  # fmt: skip


class Sampler:
    def __init__(self) -> None:
        self.parts: Counter[str] = Counter()
        self.places: Counter[str] = Counter()

    def start(self) -> None:
        """On the main thread, while its event loop runs."""
        signal.signal(signal.SIGPROF, self._take)
        # The loop is woken through this pipe; while it is busy the pipe fills, which does not matter.
        signal.set_wakeup_fd(signal.set_wakeup_fd(-1), warn_on_full_buffer=False)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def _take(self, _signal: int, frame: FrameType | None) -> None:
        if frame is not None:
            self.places[f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_code.co_name}"] += 1
        while frame is not None:
            place = f"{frame.f_code.co_filename}:{frame.f_code.co_name}"
            for part, marks in PARTS:
                if any(mark in place for mark in marks):
                    self.parts[part] += 1
                    return
            frame = frame.f_back
        self.parts["other"] += 1

    def told(self, samples: int, *context: object) -> str:
        signal.setitimer(signal.ITIMER_PROF, 0)
        names = {t.native_id: t.name for t in threading.enumerate()}
        total = sum(self.parts.values()) or 1
        threads: Counter[str] = Counter()
        for t in psutil.Process().threads():
            threads[names.get(t.id, "native").rstrip("0123456789_-")] += round((t.user_time + t.system_time) * 1000)
        cpu_us = sum(threads.values()) * 1000
        lines = [f"\n{samples} samples, {cpu_us / max(samples, 1):.2f} CPU us each, start-up included; {context}"]
        lines += [f"  thread {name:24} {ms * 1000 / cpu_us:5.1%}" for name, ms in threads.most_common(8)]
        lines += [f"  {name:24} {n / total:5.1%}" for name, n in self.parts.most_common()]
        lines += [f"    at {name:40} {n / total:5.1%}" for name, n in self.places.most_common(12)]
        return "\n".join(lines) + "\n"
