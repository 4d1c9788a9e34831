"""The receiver in a thread of its own, with a loop of its own: a layer that is busy never makes a sender wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from aiohttp import web

from streams.adapters.statsd import Aggregator
from streams.atleastonce import AtLeastOnceSettings
from streams.atleastonce.producer import ConfirmedProducer
from streams.kit.addresses import host_port
from topology.client.publisher import now_ms
from topology.receiver.requests import Limits
from topology.receiver.server import Receiver
from topology.receiver.statsd import StatsdListener, flush_for_ever
from topology.settings import Settings
from topology.topics import EXTERNAL

START_S = 30.0


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the receiver can be reached; `statsd_port` None = no StatsD."""

    host: str
    port: int
    statsd_port: int | None

    @property
    def url(self) -> str:
        return f"http://{host_port(self.host, self.port)}"


def topics_of(settings: Settings) -> dict[str, str]:
    """Where each format goes: the first topic that the setting `adapters` names for it, else the usual one."""
    found = {external.format: external.name for external in EXTERNAL}
    for entry in reversed(settings.adapters):
        name, _, topic = entry.partition(":")
        found[name] = topic
    return found


@contextmanager
def receiving(settings: Settings, broker: str, port: int) -> Iterator[Listening]:
    """Receives while the block runs. The topics must exist. OSError if a port is taken."""
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found: list[Listening | BaseException] = []

    async def run() -> None:
        try:
            async with _served(settings, broker, port) as listening:
                found.append(listening)
                ready.set()
                await stop.wait()
        except Exception as error:  # noqa: BLE001 - raised where the start is waited for
            found.append(error)
            ready.set()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), name="receiver", daemon=True)
    thread.start()
    ready.wait(START_S)
    if not found or isinstance(found[0], BaseException):
        raise found[0] if found and isinstance(found[0], BaseException) else TimeoutError("the receiver did not start")
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_S)
        loop.close()


@asynccontextmanager
async def _served(settings: Settings, broker: str, port: int) -> AsyncIterator[Listening]:
    own = settings.receiver
    limits = Limits(settings.max_signal_bytes, own.max_unpacked_bytes, topics_of(settings), settings.intake)
    confirmed = AtLeastOnceSettings(
        max_record_bytes=settings.max_record_bytes, delivery_timeout_s=max(1.0, own.confirm_timeout_s)
    )
    producer = ConfirmedProducer(broker, "maestro-receiver", confirmed)
    receiver = Receiver(producer, limits, own.max_waiting_bytes, own.confirm_timeout_s)
    runner = web.AppRunner(receiver.app(), auto_decompress=False, access_log=None)
    flusher: asyncio.Task[None] | None = None
    try:
        await runner.setup()
        await web.TCPSite(runner, own.host, port).start()
        statsd_port = None
        if own.statsd_port is not None:
            aggregator = Aggregator(own.statsd_identity, settings.intake.unidentified_asset)
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: StatsdListener(aggregator), local_addr=(own.host, own.statsd_port)
            )
            statsd_port = transport.get_extra_info("sockname")[1]
            flusher = asyncio.create_task(flush_for_ever(aggregator, producer, own.statsd_flush_s, now_ms))
        yield Listening(own.host, runner.addresses[0][1], statsd_port)
    finally:
        if flusher is not None:
            flusher.cancel()
        await runner.cleanup()
        await asyncio.to_thread(producer.stop)
