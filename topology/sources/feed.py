"""This host as a live asset: its processes by discovery, its metrics as signals. Real, not simulated."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import structlog

from schemas.records import DiscoveryEvent, Op
from streams.discovery.ports import DiscoveryProvider
from streams.discovery.providers.host import HostProvider
from streams.discovery.providers.poll import run_all
from streams.discovery.settings import PollSettings
from topology.client.publisher import DeliveryError, Publisher, now_ms
from topology.sources.host import host_signals

log = structlog.get_logger()


class HostFeed:
    """Publishes in a thread of its own until `stop`."""

    def __init__(
        self,
        broker: str,
        providers: Sequence[DiscoveryProvider] = (),
        polling: PollSettings | None = None,
        interval_s: float = 1.0,
    ) -> None:
        """`providers`: those of plug-ins, run beside this host's own."""
        self._providers = (HostProvider(), *providers)
        self._polling = polling or PollSettings()
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
        except Exception as error:
            self.failure = error
            log.exception("this host is not reported any more")

    async def _feed(self) -> None:
        discovery = asyncio.create_task(run_all(self._providers, self._announce, now_ms, self._polling))
        try:
            async for signal in host_signals(now_ms, self._interval_s):
                if self._stop.is_set():
                    return
                if discovery.done():
                    discovery.result()
                self._publisher.publish("health-signals", signal)
                self.published += 1
        finally:
            discovery.cancel()

    async def _announce(self, event: DiscoveryEvent) -> None:
        """The end of a listing is told only when the whole of it is on Kafka: what it lacks counts as gone."""
        if event.op is Op.SNAPSHOT_COMPLETE:
            try:
                await asyncio.to_thread(self._publisher.flush)
            except DeliveryError as error:
                log.warning("a listing is not whole on Kafka; the next one is", source=event.source, error=str(error))
                return
        self._publisher.publish("discovery-events", event, key=event.asset_id or event.scope)
