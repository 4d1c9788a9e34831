"""What discovery told, by broker times: lifecycle events, ids on `assets`, and the first word of sources."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from confluent_kafka import Consumer, Message, TopicPartition

from schemas.codec import decode
from schemas.records import LifecycleChange, LifecycleEvent
from topology.bench.watched import SideError

EVENTS, ASSETS, LIFECYCLE = "discovery-events", "assets", "lifecycle-events"
LOOK_S = 0.1


class Told:
    """Read from the beginning, as a context manager. Each of the three topics has one partition."""

    def __init__(self, broker: str) -> None:
        self.spoken: list[int] = []
        """Of each event of a source."""
        self.assets: dict[str, int] = {}
        """By id, when it was first there."""
        self.changes: dict[tuple[str, LifecycleChange], int] = {}
        """The first of each; only those whose id `follow` names are kept."""
        self.follow: Callable[[str], bool] = lambda _: False
        self._consumer = Consumer({"bootstrap.servers": broker, "group.id": "bench-discovery"})
        self._consumer.assign([TopicPartition(topic, 0, 0) for topic in (EVENTS, ASSETS, LIFECYCLE)])

    def __enter__(self) -> Told:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._consumer.close()

    def until(self, holds: Callable[[], bool], stuck_s: float, what: str, look: Callable[[], None]) -> None:
        """Reads on, and calls `look` each 0.1 s. Raises SideError if it does not hold and nothing came for so long."""
        deadline = time.monotonic() + stuck_s
        while not holds():
            for message in self._consumer.consume(2_000, LOOK_S):
                if message.error() is None:
                    self._take(message)
                    deadline = time.monotonic() + stuck_s
            look()
            if time.monotonic() > deadline:
                raise SideError(f"nothing came for {stuck_s:g} s: {what}, {len(self.assets)} assets are there")

    def _take(self, message: Message) -> None:
        at, key = message.timestamp()[1], (message.key() or b"").decode()
        if message.topic() == EVENTS:
            self.spoken.append(at)
        elif message.topic() == ASSETS:
            self.assets.setdefault(key, at)
        elif self.follow(key):
            event = decode((LifecycleEvent,), message.value(), message.headers())
            if isinstance(event, LifecycleEvent):
                self.changes.setdefault((event.asset_id, event.change), at)
