"""Who calls whom, by the parent relation of spans that come in any order, in bounded memory. Pure.

    caller's span ----> OPEN --callee's span names it----> call(caller, callee); stays open for more of them
                         |  `wait_ms` over, or no room
                         +--> none named it: call(caller, peer of its attributes), if it has one
    callee's span, its caller not there yet --> EARLY --the caller's span--> call
                                                  `wait_ms` over, or no room: forgotten

A queue is a party of its own: a span that names one is a call of it at once, whoever reads from it later. Time is the
latest time seen (`now`, ms), so that what is oldest is what came first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from schemas.records import Asset, AssetKind
from streams.discovery.providers.telemetry.reading import CLIENT, CONSUMER, PRODUCER, SERVER, Span, SpanId

CALLERS, CALLEES = (CLIENT, PRODUCER), (SERVER, CONSUMER)
MOST_CALLEES = 64
"""Of one span that is not there yet."""


class Call(NamedTuple):
    """`peer`: the callee is not known by telemetry of its own. `at`: ms."""

    caller: str
    callee: str
    at: int
    peer: Asset | None = None


class Answered(NamedTuple):
    """What is behind `peer_id` has telemetry of its own. `at`: ms."""

    peer_id: str
    at: int


@dataclass(slots=True)
class Open:
    asset_id: str
    peer: Asset | None
    at: int
    came_at: int
    answered: bool = False


class Matching:
    def __init__(self, wait_ms: int, most: int) -> None:
        self._wait_ms, self._most = wait_ms, most
        self._open: OrderedDict[SpanId, Open] = OrderedDict()
        self._early: OrderedDict[SpanId, tuple[int, dict[str, int]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open) + len(self._early)

    def take(self, asset_id: str, span: Span, peer: Asset | None, now: int) -> Iterator[Call | Answered]:
        if peer is not None and peer.kind is AssetKind.QUEUE:
            yield Call(asset_id, peer.id, span.at, peer)
            peer = None
        if span.kind in CALLERS and span.id not in self._open:
            yield from self._called(asset_id, span, peer, now)
        if span.kind in CALLEES:
            for caller in span.callers:
                yield from self._serve(asset_id, caller, span.at, now)
        while len(self._open) > self._most:
            yield from _unanswered(self._open.popitem(last=False)[1])
        while len(self._early) > self._most:
            self._early.popitem(last=False)

    def expire(self, until: int) -> Iterator[Call]:
        """Ends the waits that began `wait_ms` before `until`, or earlier."""
        while self._open and next(iter(self._open.values())).came_at + self._wait_ms <= until:
            yield from _unanswered(self._open.popitem(last=False)[1])
        while self._early and next(iter(self._early.values()))[0] + self._wait_ms <= until:
            self._early.popitem(last=False)

    def _called(self, asset_id: str, span: Span, peer: Asset | None, now: int) -> Iterator[Call | Answered]:
        opened = self._open[span.id] = Open(asset_id, peer, span.at, now)
        if span.id in self._early:
            _, callees = self._early.pop(span.id)
            for callee, at in callees.items():
                yield from _answer(opened, callee, at)

    def _serve(self, asset_id: str, caller: SpanId, at: int, now: int) -> Iterator[Call | Answered]:
        if (opened := self._open.get(caller)) is not None:
            yield from _answer(opened, asset_id, at)
            return
        _, callees = self._early.setdefault(caller, (now, {}))
        if asset_id in callees or len(callees) < MOST_CALLEES:
            callees[asset_id] = max(at, callees.get(asset_id, 0))


def _answer(opened: Open, callee: str, at: int) -> Iterator[Call | Answered]:
    opened.answered = True
    if opened.asset_id != callee:
        yield Call(opened.asset_id, callee, max(at, opened.at))
    if opened.peer is not None and opened.peer.id != callee:
        yield Answered(opened.peer.id, at)


def _unanswered(opened: Open) -> Iterator[Call]:
    if not opened.answered and opened.peer is not None and opened.peer.id != opened.asset_id:
        yield Call(opened.asset_id, opened.peer.id, opened.at, opened.peer)
