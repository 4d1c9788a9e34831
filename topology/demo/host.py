"""This host as a live asset: its processes by discovery, its metrics as signals. Real, not simulated."""

from __future__ import annotations

import asyncio
import threading

from streams.discovery.providers.host import HostProvider
from streams.discovery.providers.poll import poll_once
from streams.discovery.settings import PollSettings
from topology.client.publisher import Publisher, now_ms
from topology.sources.host import host_signals


class HostFeed:
    """Publishes in a thread of its own until `stop`."""

    def __init__(self, broker: str, interval_s: float = 1.0) -> None:
        self.published = 0
        self.failure: Exception | None = None
        self._publisher = Publisher(broker, client_id="maestro-host")
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="host-feed", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        try:
            asyncio.run(self._feed())
        except Exception as error:  # noqa: BLE001 - the caller asks for it and says so
            self.failure = error

    async def _feed(self) -> None:
        for event in await poll_once(HostProvider(), now_ms, PollSettings()):
            self._publisher.publish("discovery-events", event, key=event.asset_id or event.scope)
        async for signal in host_signals(now_ms, self._interval_s):
            if self._stop.is_set():
                return
            self._publisher.publish("health-signals", signal)
            self.published += 1
