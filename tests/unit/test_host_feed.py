"""What this host's feed tells of a listing, and what it does not while Kafka has not confirmed it."""

from __future__ import annotations

import pytest

from schemas.records import DiscoveryEvent, Op
from topology.client.publisher import DeliveryError
from topology.sources.feed import HostFeed

BEGIN, COMPLETE = (
    DiscoveryEvent(op=op, source="host:a", scope="host/a", snapshot_id="s1", at=1)
    for op in (Op.SNAPSHOT_BEGIN, Op.SNAPSHOT_COMPLETE)
)


class Broker:
    """In the publisher's place: confirms all, or, while `down`, nothing."""

    def __init__(self) -> None:
        self.down = False
        self.told: list[Op] = []
        self.confirmed: list[Op] = []

    def publish(self, topic: str, value: DiscoveryEvent, key: str | None = None) -> None:
        assert topic == "discovery-events"
        assert key == value.scope
        self.told.append(value.op)

    def flush(self) -> None:
        if self.down:
            raise DeliveryError(["discovery-events: not confirmed"])
        self.confirmed = list(self.told)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr("topology.sources.feed.Publisher", lambda *_, **__: broker)
    return broker


async def test_the_end_of_a_listing_follows_its_confirmation(broker: Broker) -> None:
    feed = HostFeed("127.0.0.1:9")
    await feed._announce(BEGIN)
    await feed._announce(COMPLETE)
    assert broker.confirmed == [Op.SNAPSHOT_BEGIN], "confirmed before its end was told"
    assert broker.told == [Op.SNAPSHOT_BEGIN, Op.SNAPSHOT_COMPLETE]


async def test_a_listing_that_kafka_has_not_whole_has_no_end(broker: Broker) -> None:
    """What a complete listing lacks is removed: a lost upsert would have been a deletion."""
    feed = HostFeed("127.0.0.1:9")
    await feed._announce(BEGIN)
    broker.down = True
    await feed._announce(COMPLETE)
    assert broker.told == [Op.SNAPSHOT_BEGIN]
    broker.down = False
    await feed._announce(BEGIN)
    await feed._announce(COMPLETE)
    assert broker.told[-1] is Op.SNAPSHOT_COMPLETE, "the feed goes on"
