"""Telemetry of the pool, as an agent beside a load balancer would send it: FILE BROKER SOCKET INTERVAL NAME=PORT...

Every interval, for each server: HAProxy's own counters of what it passed on, and a few looks at the server itself, so
that one that gets no requests any more is still known about. `error_rate` counts both, `latency_ms` is their median.
"""

from __future__ import annotations

import asyncio
import sys
import time
from statistics import median

from schemas.records import HealthSignal
from streams.remote.haproxy import HAProxyRuntime
from streams.remote.haproxy_answers import Stat
from topology.bench.healing.pool import BACKEND
from topology.client.publisher import Publisher, now_ms

SOURCE = "bench:probe"
GAP_S = 0.001
LOOKS, LOOKS_FROM_S, LOOK_GAP_S = 3, 0.5, 0.025
"""Looks an interval, if it has the room; so far apart that one pause of this machine does not slow most of them."""


async def look(port: int, timeout_s: float, after_s: float = 0.0) -> float | None:
    """ms of an answer; None = it failed or took longer than the time."""
    await asyncio.sleep(after_s)
    began = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /work HTTP/1.1\r\nhost: probe\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return None
    return (time.monotonic() - began) * 1000 if b" 200 " in head.splitlines()[0] else None


async def looks(port: int, timeout_s: float, after_s: float, count: int) -> list[float | None]:
    return await asyncio.gather(*(look(port, timeout_s, after_s + n * LOOK_GAP_S) for n in range(count)))


def passed_on(stats: tuple[Stat, ...]) -> dict[str, tuple[int, int]]:
    """Requests and failures of each server since HAProxy's start."""
    return {
        s.server: (s.number("stot") or 0, sum(s.number(c) or 0 for c in ("econ", "eresp", "hrsp_5xx")))
        for s in stats
        if s.proxy == BACKEND and s.server not in ("FRONTEND", "BACKEND")
    }


async def run(broker: str, socket: str, interval_s: float, ports: dict[str, int]) -> None:
    publisher, runtime = Publisher(broker, client_id="probe"), HAProxyRuntime(socket)
    before = passed_on(await runtime.stat())
    due, count = time.monotonic(), LOOKS if interval_s >= LOOKS_FROM_S else 1
    while True:
        due = max(due + interval_s, time.monotonic())
        await asyncio.sleep(due - time.monotonic())
        timeout_s = min(0.5, 0.8 * interval_s)
        # Not all at once: they would wait for one another, and all would look slow together.
        seen = await asyncio.gather(*(looks(p, timeout_s, n * GAP_S, count) for n, p in enumerate(ports.values())))
        now, at = passed_on(await runtime.stat()), now_ms()
        signals: list[HealthSignal] = []
        for name, looked in zip(ports, seen, strict=True):
            requests, failures = (a - b for a, b in zip(now[name], before[name], strict=True))
            answered = [ms for ms in looked if ms is not None]
            share = min(1.0, (failures + count - len(answered)) / (requests + count))
            signals.append(_signal(name, "error_rate", share, "share", at))
            signals += [_signal(name, "latency_ms", median(answered), "ms", at)] if answered else []
        before = now
        publisher.publish_signals(signals)
        publisher.flush()


def _signal(name: str, metric: str, value: float, unit: str, at: int) -> HealthSignal:
    return HealthSignal(asset_id=name, metric=metric, value=value, unit=unit, at=at, source=SOURCE)


if __name__ == "__main__":
    named = (argument.split("=") for argument in sys.argv[4:])
    asyncio.run(run(sys.argv[1], sys.argv[2], float(sys.argv[3]), {name: int(port) for name, port in named}))
