"""Layers as `maestro worker` runs them, in one process: MODULE BROKER FOLDER SETTINGS (JSON) LAYER... Says `ready`."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path

from topology import app
from topology.settings import Settings


async def main(broker: str, folder: Path, settings: Settings, layers: list[str]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    workers = app.build(settings, broker, layers or app.LAYER_NAMES, folder=folder)
    await app.run(workers, stop, lambda: print("ready", flush=True))


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), Settings(**json.loads(sys.argv[3])), sys.argv[4:]))
