"""This host's own metrics as HealthSignals of asset `host:<name>`, in the units of the contract.

- `utilization` (share): CPU time not idle, all cores, since the last sample
- `saturation` (share): time in which a task had to wait for a CPU, 10 s mean (Linux pressure stall); where the kernel
  does not tell, the 1 min load per core, which can exceed 1. The tag `by` says which
- `memory_utilization` (share): what a new process could not have; `disk_utilization` (share): of the root file system
- `network_bytes_per_s` (bytes/s): received and sent, all interfaces but loopback, since the last sample
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from schemas.records import HealthSignal

_PRESSURE = Path("/proc/pressure/cpu")


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment. Times in s since some start, `at` event time in ms; None = the host does not say."""

    at: int
    busy_s: float
    total_s: float
    waiting_share: float | None
    load_per_core: float | None
    memory_share: float
    disk_share: float | None
    network_bytes: int | None


def signals_between(asset_id: str, before: Reading, now: Reading) -> list[HealthSignal]:
    """What can be said at `now`. A rate needs time to have passed and a counter that did not start anew."""
    figures: list[tuple[str, float | None, str, dict[str, str]]] = [
        ("utilization", _cpu_share(before, now), "share", {}),
        _saturation(now),
        ("memory_utilization", now.memory_share, "share", {}),
        ("disk_utilization", now.disk_share, "share", {}),
        ("network_bytes_per_s", _network_rate(before, now), "bytes/s", {}),
    ]
    return [
        HealthSignal(asset_id=asset_id, metric=m, value=value, unit=unit, at=now.at, tags=tags, source=asset_id)
        for m, value, unit, tags in figures
        if value is not None
    ]


async def host_signals(
    now_ms: Callable[[], int], interval_s: float = 1.0, hostname: str = ""
) -> AsyncIterator[HealthSignal]:
    """Every `interval_s` the signals of this host, for ever; first after one interval, since rates need two looks."""
    asset_id = f"host:{hostname or platform.node() or 'localhost'}"
    before = await asyncio.to_thread(read_counters, now_ms())
    while True:
        await asyncio.sleep(interval_s)
        now = await asyncio.to_thread(read_counters, now_ms())
        for signal in signals_between(asset_id, before, now):
            yield signal
        before = now


def read_counters(at: int) -> Reading:
    times = psutil.cpu_times()
    # guest time is in user time already; waiting for a disk is idle for the CPU
    total_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    idle_s = times.idle + getattr(times, "iowait", 0.0)
    memory = psutil.virtual_memory()
    return Reading(
        at=at,
        busy_s=total_s - idle_s,
        total_s=total_s,
        waiting_share=_pressure(),
        load_per_core=_load_per_core(),
        memory_share=1 - memory.available / memory.total if memory.total else 0.0,
        disk_share=_disk_share(),
        network_bytes=_network_bytes(),
    )


def parse_pressure(text: str) -> float | None:
    """`some avg10=1.50 ...` in percent -> 0.015; None = another form."""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["some"]:
            fields = dict(word.split("=", 1) for word in words[1:] if "=" in word)
            try:
                return min(1.0, max(0.0, float(fields["avg10"]) / 100))
            except (KeyError, ValueError):
                return None
    return None


def _cpu_share(before: Reading, now: Reading) -> float | None:
    passed_s = now.total_s - before.total_s
    return min(1.0, max(0.0, (now.busy_s - before.busy_s) / passed_s)) if passed_s > 0 else None


def _saturation(now: Reading) -> tuple[str, float | None, str, dict[str, str]]:
    if now.waiting_share is not None:
        return "saturation", now.waiting_share, "share", {"by": "pressure"}
    return "saturation", now.load_per_core, "load per core", {"by": "load"}


def _network_rate(before: Reading, now: Reading) -> float | None:
    passed_ms = now.at - before.at
    if now.network_bytes is None or before.network_bytes is None or passed_ms <= 0:
        return None
    moved = now.network_bytes - before.network_bytes
    return 1000 * moved / passed_ms if moved >= 0 else None


def _pressure() -> float | None:
    try:
        return parse_pressure(_PRESSURE.read_text(encoding="ascii"))
    except OSError:
        return None


def _load_per_core() -> float | None:
    try:
        return float(psutil.getloadavg()[0]) / (psutil.cpu_count() or 1)
    except OSError:
        return None


def _disk_share() -> float | None:
    try:
        return float(psutil.disk_usage("/").percent) / 100
    except OSError:
        return None


def _network_bytes() -> int | None:
    counters = psutil.net_io_counters(pernic=True)
    if not counters:
        return None
    outside = (c for name, c in counters.items() if not name.lower().startswith("lo"))
    return sum(int(c.bytes_recv) + int(c.bytes_sent) for c in outside)
