"""Assets and dependencies that telemetry shows, until they lapse. Pure: time is the latest time seen, ms.

A field that different processes of one asset say differently is not told while they do: it would change with each
listing. Of what there is no room for, the longest unseen is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.records import Asset
from streams.discovery.providers.telemetry.matching import Answered, Call, Matching
from streams.discovery.providers.telemetry.peers import Identify, peer_of
from streams.discovery.providers.telemetry.reading import CLIENT, CONSUMER, PRODUCER, Resource
from streams.discovery.providers.telemetry.resources import asset_of, says
from streams.discovery.settings import OtelSettings

ROOM = 4
"""Dependencies remembered for each that is told."""
MOST_VALUES = 4
"""Of one field, to know that there are several."""


@dataclass(slots=True)
class Edge:
    calls: int = 0
    seen_at: int = 0


@dataclass(slots=True)
class Seen:
    """`fields`: field -> value -> when it was last said. `peer`: what callers say of what has no telemetry."""

    fields: dict[str, dict[str, int]] = field(default_factory=dict)
    edges: dict[str, Edge] = field(default_factory=dict)
    peer: Asset | None = None


class Sightings:
    def __init__(self, source: str, identify: Identify, settings: OtelSettings) -> None:
        self.now = 0
        self.nameless, self.forgotten = 0, 0
        self._source, self._identify, self._settings = source, identify, settings
        self._lapse_ms, self._stands_ms = round(settings.edge_lapse_s * 1000), round(settings.stands_s * 1000)
        self._matching = Matching(round(settings.wait_s * 1000), settings.max_spans)
        self._assets: OrderedDict[str, Seen] = OrderedDict()
        self._answered: OrderedDict[str, int] = OrderedDict()
        self._touched: set[str] = set()

    def take(self, resources: Iterable[Resource], latest: int, at: int | None) -> None:
        """`latest`: no right clock shows more, ms. `at`: the time of resources without spans; None = not known."""
        for resource in resources:
            asset_id = self._identify(resource.attributes)
            times = [min(span.at, latest) for span in resource.spans]
            self.now = max(self.now, *times, at or 0) if times or at else self.now
            if not asset_id:
                self.nameless += 1
                continue
            seen = self._see(asset_id)
            seen.peer = None
            for name, value in says(resource.attributes).items():
                _note(seen.fields.setdefault(name, {}), value, max(times, default=at or self.now))
            self._take_spans(asset_id, resource, latest)
        self._settle(self.now)

    def end_waits(self) -> bool:
        """For telemetry that has ended: nobody will answer any more. True: somebody had been waited for."""
        return self._settle(1 << 62)

    def touched(self) -> list[Asset]:
        """What was seen since the last `forget_touched`, as it is now; in order of id, what only callers know first.

        The registry may know it by another id, and rewrites a caller's dependency when it hears of the caller.
        """
        known = [asset_id for asset_id in sorted(self._touched) if self._describes(self._assets[asset_id])]
        return [self._asset(asset_id) for asset_id in sorted(known, key=lambda a: self._assets[a].peer is None)]

    def forget_touched(self) -> None:
        self._touched.clear()

    def edges(self, asset_id: str) -> dict[str, Edge]:
        """Callee -> calls and when the last was, ms; without those that have lapsed."""
        seen = self._assets.get(asset_id, Seen())
        return {
            to: edge
            for to, edge in sorted(seen.edges.items())
            if edge.seen_at + self._lapse_ms > self.now and not self._is_another(to)
        }

    def _take_spans(self, asset_id: str, resource: Resource, latest: int) -> None:
        for span in resource.spans:
            called = span.kind in (CLIENT, PRODUCER, CONSUMER)
            peer = peer_of(self._source, span.attributes, self._identify) if called else None
            self._count(self._matching.take(asset_id, span._replace(at=min(span.at, latest)), peer, self.now))

    def _settle(self, until: int) -> bool:
        expired = list(self._matching.expire(until))
        self._count(expired)
        while self._answered and next(iter(self._answered.values())) + self._lapse_ms <= self.now:
            self._answered.popitem(last=False)
        return bool(expired)

    def _count(self, found: Iterable[Call | Answered]) -> None:
        for one in found:
            if isinstance(one, Answered):
                self._answered[one.peer_id] = max(one.at, self._answered.pop(one.peer_id, 0))
                if len(self._answered) > self._settings.max_assets:
                    self._answered.popitem(last=False)
            elif one.peer is None or not self._is_answered(one.peer.id):
                self._call(one)

    def _is_answered(self, peer_id: str) -> bool:
        """Those behind it have telemetry of their own; an answer that is missing was sampled away."""
        return peer_id in self._answered and self._answered[peer_id] + self._lapse_ms > self.now

    def _is_another(self, asset_id: str) -> bool:
        seen = self._assets.get(asset_id)
        return seen is not None and seen.peer is not None and self._is_answered(asset_id)

    @staticmethod
    def _describes(seen: Seen) -> bool:
        """False for what was forgotten and then came up in a late call: nothing is known of it."""
        return bool(seen.fields) or seen.peer is not None

    def _call(self, call: Call) -> None:
        if call.peer is not None:
            known = self._see(call.callee)
            if not known.fields:
                known.peer = call.peer
        edges = self._see(call.caller).edges
        edge = edges.setdefault(call.callee, Edge())
        edge.calls, edge.seen_at = edge.calls + 1, max(edge.seen_at, call.at)
        if len(edges) > ROOM * self._settings.max_dependencies:
            del edges[min(edges, key=lambda to: (edges[to].seen_at, to))]

    def _see(self, asset_id: str) -> Seen:
        seen = self._assets.setdefault(asset_id, Seen())
        self._assets.move_to_end(asset_id)
        self._touched.add(asset_id)
        while len(self._assets) > self._settings.max_assets:
            gone, _ = self._assets.popitem(last=False)
            self._touched.discard(gone)
            self.forgotten += 1
        return seen

    def _asset(self, asset_id: str) -> Asset:
        seen = self._assets[asset_id]
        live = self.edges(asset_id)
        most = sorted(live, key=lambda to: (-live[to].calls, to))[: self._settings.max_dependencies]
        depends_on = tuple(sorted(most))
        if seen.peer is not None:
            return seen.peer.model_copy(update={"depends_on": depends_on})
        return asset_of(asset_id, dict(self._agreed(seen)), depends_on)

    def _agreed(self, seen: Seen) -> Iterable[tuple[str, str]]:
        for name, values in seen.fields.items():
            current = [value for value, at in values.items() if at + self._stands_ms > self.now]
            if len(current) == 1:
                yield name, current[0]


def _note(values: dict[str, int], value: str, at: int) -> None:
    values[value] = max(at, values.get(value, 0))
    if len(values) > MOST_VALUES:
        del values[min(values, key=lambda v: (values[v], v))]
