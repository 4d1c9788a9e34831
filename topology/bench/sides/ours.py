"""The telemetry worker as `maestro worker --layers telemetry` runs it. A sample is done when its flush is.

With the option `toy` the peers' z-score is in the place of the detector (`topology.bench.toy`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from topology import app
from topology.bench import toy
from topology.bench.load import SAMPLES_A_MESSAGE
from topology.bench.work import report
from topology.settings import Settings


def main() -> None:
    broker, workload, app_id, folder, *options = sys.argv[1:]
    logging.basicConfig(level=logging.ERROR)
    if "toy" in options:
        app.REGISTER["telemetry"] = toy.register
    [worker] = app.build(Settings(app_id=app_id), broker, ["telemetry"], folder=Path(folder))

    def done() -> int:
        flushed: int = worker.app.metrics.flushed_messages
        return flushed * SAMPLES_A_MESSAGE[workload]

    report(done)
    if "profile" not in options:
        asyncio.run(_until_stopped(lambda stop: app.run([worker], stop), lambda: None))
        return
    from topology.bench.profiling import Sampler

    sampler = Sampler(done)
    asyncio.run(_until_stopped(lambda stop: app.run([worker], stop), sampler.start))
    os.write(2, sampler.told(done(), worker.app.metrics).encode())


async def _until_stopped(run: Callable[[asyncio.Event], Awaitable[None]], started: Callable[[], None]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    started()
    await run(stop)


if __name__ == "__main__":
    main()
