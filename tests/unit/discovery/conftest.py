"""A discovery story: sources speak at given seconds; what the registry then holds and has told is kept for the test."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from schemas.records import Asset, DiscoveryEvent, LifecycleEvent, Op, PolicyRecord, Record, RegisteredAsset
from streams.discovery.engine import DiscoveryLayer
from streams.discovery.settings import DiscoverySettings
from streams.discovery.state import Row
from streams.kit.layer import Emission, Event
from streams.kit.partition import Partition
from streams.kit.world import World
from streams.policy.port import PolicyHook

T0_MS = 1_700_000_000_000


class Story:
    """Every row goes through its bytes after each event, so that a restart between any two is part of every test."""

    def __init__(self, policy: PolicyHook | None = None, **settings: object) -> None:
        self.layer = DiscoveryLayer(DiscoverySettings.model_validate(settings), policy)
        self.partition: Partition[Row, World] = Partition(self.layer, self.layer.new_view())
        self.emissions: list[Emission] = []
        self.registry: dict[str, RegisteredAsset] = {}
        self._line = 0

    def upsert(self, source: str, asset: Asset, at: float, snapshot: str | None = None, scope: str = "all") -> None:
        self._say(Op.UPSERT, source, scope, at, snapshot_id=snapshot, asset_id=asset.id, asset=asset)

    def delete(self, source: str, asset_id: str, at: float, scope: str = "all") -> None:
        self._say(Op.DELETE, source, scope, at, asset_id=asset_id)

    def begin(self, source: str, snapshot: str, at: float, scope: str = "all") -> None:
        self._say(Op.SNAPSHOT_BEGIN, source, scope, at, snapshot_id=snapshot)

    def complete(self, source: str, snapshot: str, at: float, scope: str = "all") -> None:
        self._say(Op.SNAPSHOT_COMPLETE, source, scope, at, snapshot_id=snapshot)

    def fail(self, source: str, at: float, reason: str = "timeout", scope: str = "all") -> None:
        self._say(Op.SOURCE_FAILED, source, scope, at, reason=reason)

    def scan(self, source: str, snapshot: str, assets: Iterable[Asset], at: float, scope: str = "all") -> None:
        """A whole snapshot at one time."""
        self.begin(source, snapshot, at, scope)
        for asset in assets:
            self.upsert(source, asset, at, snapshot, scope)
        self.complete(source, snapshot, at, scope)

    def policy(self, record: PolicyRecord) -> None:
        event = Event("policies", record.id, record, record.at, f"policies:{record.version}")
        self.layer.see(self.partition.view, event)
        self._keep(self.partition.on_view(event))

    def wait_until(self, at: float) -> None:
        self._keep(self.partition.advance(ms(at)))

    def take(self, value: Record | None, at: float = 0, key: str = "k") -> None:
        self._line += 1
        event = Event("discovery-events", key, value, ms(at), f"discovery-events:{self._line}")
        self._keep(self.partition.on_event(event))

    def told(self, change: str | None = None, about: str | None = None) -> list[LifecycleEvent]:
        events = [e.value for e in self.emissions if isinstance(e.value, LifecycleEvent)]
        return [e for e in events if change in (None, e.change.value) and about in (None, e.asset_id)]

    def changes(self, about: str | None = None) -> list[str]:
        return [e.change.value for e in self.told(about=about)]

    def records(self, asset_id: str) -> list[RegisteredAsset | None]:
        """What was published of the asset on `assets`, in order; None = tombstone."""
        return [e.value for e in self.emissions if e.topic == "assets" and e.key == asset_id]  # type: ignore[misc]

    def _say(self, op: Op, source: str, scope: str, at: float, **fields: object) -> None:
        fields = {"source": source, "scope": scope, "op": op, "at": ms(at), **fields}
        self.take(DiscoveryEvent.model_validate(fields), at)

    def _keep(self, emissions: list[Emission]) -> None:
        self.emissions += emissions
        for emission in emissions:
            if emission.topic == "assets" and isinstance(emission.value, RegisteredAsset):
                self.registry[emission.key] = emission.value
            elif emission.topic == "assets":
                del self.registry[emission.key]
        for key, row in self.partition.take_changes().items():
            if row is not None:
                restored = self.layer.decode_row(self.layer.encode_row(row))
                assert restored == row
                self.partition._rows[key] = restored


def ms(at_s: float) -> int:
    return T0_MS + round(at_s * 1000)


@pytest.fixture
def story() -> Callable[..., Story]:
    """`story(policy, setting=value, ...)`."""
    return Story
