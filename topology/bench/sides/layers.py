"""Layers as `maestro worker --layers` runs them, in one process: MODULE BROKER LAYERS APP_ID FOLDER.

Prints a line when all of them are ready, and runs until SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import time
from pathlib import Path

from topology import app
from topology.bench.work import PARTITIONS
from topology.settings import Settings


def main() -> None:
    broker, layers, app_id, folder = sys.argv[1:]
    logging.basicConfig(level=logging.ERROR)
    settings = Settings(app_id=app_id, partitions=PARTITIONS)
    asyncio.run(_run(app.build(settings, broker, layers.split(","), folder=Path(folder))))


async def _run(workers: list[app.Worker]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await app.run(workers, stop, _ready)


def _ready() -> None:
    print(json.dumps({"s": time.monotonic(), "cpu_s": time.process_time(), "samples": 0}), flush=True)


if __name__ == "__main__":
    main()
