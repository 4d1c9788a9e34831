"""A process that runs layers by `topology.app`, for the tests to kill: arguments broker, folder, settings, layers."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path

from streams.atleastonce import AtLeastOnceError
from topology import app
from topology.settings import Settings


async def main(broker: str, folder: Path, settings: Settings, names: list[str]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    workers = app.build(settings, broker, names or app.LAYER_NAMES, folder=folder)
    await app.run(workers, stop, lambda: print("ready", flush=True))
    print("stopped", flush=True)


if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(asctime)s %(name)s %(message)s")
    try:
        asyncio.run(main(sys.argv[1], Path(sys.argv[2]), Settings(**json.loads(sys.argv[3])), sys.argv[4:]))
    except AtLeastOnceError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        sys.exit(int(error.status))
