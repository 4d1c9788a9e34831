"""What is seen in OpenTelemetry's traces, metrics and logs, as a source of assets and of what they depend on.

    feeds --bytes--> `reading` --resources, spans--> `sightings` --what changed, each `told_s`--> Change
                                                            +------ seen since the last listing --> list

It is never complete: what is not seen is not gone, it becomes stale after `otel.stands_s`. A message that raises,
whatever it is, costs itself: it is counted, and the log says where it is.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence

import structlog

from schemas.records import Asset
from streams.discovery.ports import Change
from streams.discovery.providers.telemetry.feeds import Feed, Message
from streams.discovery.providers.telemetry.peers import Identify
from streams.discovery.providers.telemetry.reading import Unreadable, read
from streams.discovery.providers.telemetry.sightings import Sightings
from streams.discovery.settings import OtelSettings

_log = structlog.get_logger(__name__)
TAKE_S = 0.2
MOST_NAMED = 10
"""Messages that failed, of those between two listings, that the log names; all are counted."""


class TelemetryProvider:
    """Source `opentelemetry:<name>`. `identify` gives the ids that the telemetry itself bears."""

    complete = False

    def __init__(
        self,
        name: str,
        feeds: Sequence[Feed],
        identify: Identify,
        settings: OtelSettings | None = None,
        freshness_s: float = 60.0,
        told_s: float = 0.5,
    ) -> None:
        """`told_s`: between two looks at what changed."""
        settings = settings or OtelSettings()
        self.source, self.scope = f"opentelemetry:{name}", f"telemetry/{name}"
        self.freshness_s, self.stands_s = min(freshness_s, settings.stands_s / 3), settings.stands_s
        self.sightings = Sightings(self.source, identify, settings)
        self.messages, self.unreadable, self.faults, self.failed = 0, 0, 0, 0
        self._named, self._moved = 0, False
        self._feeds, self._told_s, self._wait_s = feeds, told_s, settings.wait_s
        self._told: dict[str, Asset] = {}
        self._lock = threading.Lock()
        self._last_fault, self._heard_s = "", time.monotonic()

    async def list(self) -> Sequence[Asset]:
        """What was seen since the last listing. Raises what a feed raises."""
        return await asyncio.to_thread(self._listed)

    async def watch(self) -> AsyncIterator[Change]:
        """Raises what a feed raises."""
        due_s = 0.0
        try:
            while True:
                quiet = not await asyncio.to_thread(self._take)
                if quiet:
                    await asyncio.sleep(TAKE_S / 4)
                if time.monotonic() >= due_s:
                    for asset in await asyncio.to_thread(self._changed):
                        yield Change(asset.id, asset)
                    due_s = time.monotonic() + self._told_s
        finally:
            await asyncio.to_thread(self._close)

    def _listed(self) -> Sequence[Asset]:
        self._take()
        self._tell_of_faults()
        with self._lock:
            found = self.sightings.touched()
            self.sightings.forget_touched()
            self._told = {asset.id: asset for asset in found}
            return found

    def _take(self) -> int:
        """How many messages there were. They are read by the thread that took them, so that none is lost with it."""
        with self._lock:
            count = 0
            for feed in self._feeds:
                for message in feed.take(TAKE_S / len(self._feeds)):
                    self._read_or_name(message)
                    count += 1
            self.messages += count
            if count:
                self._heard_s, self._moved = time.monotonic(), True
            elif time.monotonic() - self._heard_s >= self._wait_s:
                self._moved |= self.sightings.end_waits()
            return count

    def _read_or_name(self, message: Message) -> None:
        """Those taken with it are read all the same, and it is not met again: the feed has gone past it."""
        try:
            self._read(message)
        except Exception as error:  # noqa: BLE001 - of a message, anything; what a feed raises fails the source
            said = f"{type(error).__name__}: {error}"
            self.failed, self._last_fault = self.failed + 1, f"{message.where}: {said}"
            if self._named < MOST_NAMED:
                self._named += 1
                _log.error("a message failed", source=self.source, message=message.where, error=said[:200])

    def _read(self, message: Message) -> None:
        try:
            reading = read(message.signal, message.data)
        except Unreadable as error:
            self.unreadable, self._last_fault = self.unreadable + 1, f"{message.where}: {error}"
            return
        if reading.faults:
            self.faults, self._last_fault = self.faults + len(reading.faults), f"{message.where}: {reading.faults[0]}"
        self.sightings.take(reading.resources, message.latest, message.at)

    def _changed(self) -> Sequence[Asset]:
        with self._lock:
            if not self._moved:
                return ()
            self._moved = False
            changed = [asset for asset in self.sightings.touched() if self._told.get(asset.id) != asset]
            self._told |= {asset.id: asset for asset in changed}
            return changed

    def _close(self) -> None:
        with self._lock:
            for feed in self._feeds:
                feed.close()

    def _tell_of_faults(self) -> None:
        if self._last_fault:
            _log.warning("telemetry is damaged", source=self.source, last=self._last_fault[:200], **self.lost())
            self._last_fault, self._named = "", 0

    def lost(self) -> dict[str, int]:
        """Messages that were unreadable or failed, parts left out of others, assets forgotten: since the start."""
        counts = {"unreadable": self.unreadable, "faults": self.faults, "failed": self.failed}
        return counts | {"forgotten": self.sightings.forgotten}
