"""`maestro receive`: the receiver, and the adapters that make signals of what it takes."""

from __future__ import annotations

import asyncio
import signal

import structlog

from topology import adapters
from topology.admin import TopicAdmin, wanted_topics
from topology.receiver.running import receiving, topics_of
from topology.settings import Settings
from topology.worker import ADAPTERS, run_worker

log = structlog.get_logger()
DEFAULT_PORT = 4318
"""OTLP/HTTP's own."""
RECEIVED = ("otlp", "remote-write")


def run_receive(settings: Settings, broker: str, port: int | None = None, *, with_adapters: bool = True) -> int:
    """Until SIGTERM or SIGINT; gives the exit status. Raises what `run_worker` raises."""
    settings = with_received(settings)
    create_received(settings, broker)
    wanted = next((p for p in (port, settings.receiver.port) if p is not None), DEFAULT_PORT)
    with receiving(settings, broker, wanted) as listening:
        log.info("receiving", url=listening.url, statsd_port=listening.statsd_port)
        if with_adapters:
            return run_worker(settings, broker, [ADAPTERS])
        asyncio.run(_until_signal())
    return 0


def with_received(settings: Settings) -> Settings:
    """The settings with an adapter for each format that is received; one that is named already stays."""
    named = {entry.partition(":")[0] for entry in settings.adapters}
    usual = topics_of(settings)
    missing = tuple(f"{name}:{usual[name]}" for name in RECEIVED if name not in named)
    return settings.model_copy(update={"adapters": (*settings.adapters, *missing)})


def create_received(settings: Settings, broker: str) -> None:
    """Our topics and those that what is received goes to. AdminError if they cannot be made."""
    topics = topics_of(settings)
    received = (adapters.wanted(topics[name], settings, broker) for name in RECEIVED)
    TopicAdmin(broker).create([*wanted_topics(settings), *received])


async def _until_signal() -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
