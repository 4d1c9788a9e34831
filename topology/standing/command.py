"""`maestro recommend --serve`: the board, fed from the beginning of `recommendations`, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable

from aiohttp import web

from schemas.records import Recommendation
from streams.kit.addresses import host_port
from topology.client.reading import Read, TopicReader
from topology.clock import now_ms
from topology.standing.board import Board
from topology.standing.server import StandingServer

TOPIC = "recommendations"
LOOPBACK = "127.0.0.1"
_POLL_S = 0.2


def parse_address(text: str) -> tuple[str, int]:
    """`[HOST:]PORT`; the loopback address without a host, port 0 = any free one. ValueError if it is neither."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise ValueError(f"{text!r} is not [HOST:]PORT with a port from 0 to 65535")
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port)


def run_serve(broker: str, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serves until a signal; `say` is told the address. Raises FeedError, OSError if the port is taken."""
    with TopicReader(broker, (TOPIC,), from_beginning=True) as reader:
        asyncio.run(_serve(reader, host, port, say))


async def _serve(reader: TopicReader, host: str, port: int, say: Callable[[str], None]) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = StandingServer(Board(), now_ms)
    runner = web.AppRunner(server.app(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        say(f"recommendations at http://{host_port(host, runner.addresses[0][1])}/units/ASSET_ID and /metrics")
        while not stop.is_set():
            feed(server, await asyncio.to_thread(reader.poll, _POLL_S))
            server.caught_up = server.caught_up or reader.caught_up
            server.board.drop_expired(now_ms())
    finally:
        await runner.cleanup()


def feed(server: StandingServer, reads: Iterable[Read]) -> None:
    """What cannot be read changes nothing that stands; it is counted."""
    for read in reads:
        if isinstance(read.value, Recommendation):
            server.board.hear(read.value)
        elif read.error:
            server.unreadable += 1
        else:
            server.board.forget(read.key)
