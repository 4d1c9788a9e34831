"""An open-loop load generator: FILE PORT RATE. A JSON line every 0.1 s: at, ok, slow and failed of what ended since.

`slow`: answered well, but later than 250 ms. Requests are begun at the rate whatever becomes of those before.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter

SLOW_S, TIMEOUT_S, EVERY_S, MOST_IDLE = 0.25, 3.0, 0.1, 64
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def ask(port: int, idle: list[Connection]) -> int:
    """The status of one answer. The connection is kept if it is still good."""
    reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /work HTTP/1.1\r\nhost: bench\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:] if b": " in line)
    await reader.readexactly(int(fields.get(b"content-length", b"0")))
    if fields.get(b"connection") == b"close" or len(idle) >= MOST_IDLE:
        writer.close()
    else:
        idle.append((reader, writer))
    return int(head.split(b" ", 2)[1])


async def one(port: int, idle: list[Connection], counts: Counter[str]) -> None:
    began = time.monotonic()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            status = await ask(port, idle)
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        status = 0
    late = time.monotonic() - began > SLOW_S
    counts["failed" if status != 200 else "slow" if late else "ok"] += 1


async def run(port: int, rate: float) -> None:
    idle: list[Connection] = []
    counts: Counter[str] = Counter()
    tasks: set[asyncio.Task[None]] = set()
    begun, number, told = time.monotonic(), 0, time.monotonic()
    while True:
        task = asyncio.create_task(one(port, idle, counts))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        number += 1
        if time.monotonic() - told >= EVERY_S:
            told = time.monotonic()
            print(json.dumps({"at": time.time(), **{k: counts[k] for k in ("ok", "slow", "failed")}}), flush=True)
            counts.clear()
        await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(run(int(sys.argv[1]), float(sys.argv[2])))
