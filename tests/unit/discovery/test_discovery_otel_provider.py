"""The provider under the runner, from a file that grows; and in the registry beside other sources."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import structlog
from otel_spans import client, identify, message, recorded, server
from watching import until

from schemas.records import Asset, AssetState, DiscoveryEvent, Op
from streams.discovery.ports import DiscoveryProvider, Listing, Standing, Watching
from streams.discovery.providers.poll import poll_once, run
from streams.discovery.providers.telemetry.feeds import FileFeed, Message
from streams.discovery.providers.telemetry.provider import MOST_NAMED, TelemetryProvider
from streams.discovery.settings import OtelSettings, PollSettings

NOW_MS = 4_000_000_000_000


class Messages:
    """A feed of what it is given."""

    def __init__(self, *messages: bytes) -> None:
        self.waiting, self.closed = list(messages), 0

    def take(self, wait_s: float) -> list[Message]:
        found, self.waiting = self.waiting, []
        return [Message("spans", data, NOW_MS, where=f"otlp_spans:0:{i}") for i, data in enumerate(found)]

    def close(self) -> None:
        self.closed += 1


def of(*feeds, **settings) -> TelemetryProvider:
    return TelemetryProvider("eu", feeds, identify, OtelSettings(**settings), told_s=0.02)


async def events_of(provider, at=1) -> list[DiscoveryEvent]:
    return await poll_once(provider, lambda: at, PollSettings())


def file_of(path: Path, *lines: bytes) -> FileFeed:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return FileFeed(path, lambda: NOW_MS)


async def test_it_lists_what_it_saw_since_the_last_listing_and_says_how_long_that_stands():
    feed = Messages(message("a", server(1)))
    provider = of(feed, stands_s=100)
    for port in (DiscoveryProvider, Listing, Watching, Standing):
        assert isinstance(provider, port)
    first = await events_of(provider)
    assert [(e.op, e.source, e.asset_id, e.stands_s) for e in first] == [(Op.UPSERT, "opentelemetry:eu", "a", 100)]
    feed.waiting = [message("b", server(2))]
    assert [e.asset_id for e in await events_of(provider)] == ["b"]
    assert await events_of(provider) == []
    assert provider.freshness_s <= 100 / 3


async def test_the_wait_for_an_answer_ends_with_the_telemetry():
    provider = of(Messages(message("a", client(1, peer__service="b"))), wait_s=0.2)
    assert [e.asset.depends_on for e in await events_of(provider)] == [()]
    await asyncio.sleep(0.25)
    assert [(e.asset_id, e.asset.depends_on) for e in await events_of(provider)] == [("b", ()), ("a", ("b",))]


async def test_damage_is_counted_and_the_rest_goes_on():
    damaged = server(3)
    damaged.trace_id = b"x"
    provider = of(Messages(b"\xff\xff", message("a", server(1), damaged), b"{}", message("b", server(2))))
    assert [e.asset_id for e in await events_of(provider)] == ["a", "b"]
    assert (provider.messages, provider.unreadable, provider.faults) == (4, 2, 1)


def failing(attributes) -> str:
    if attributes.get("service.name") == "bad":
        raise LookupError("nobody thought of this")
    return identify(attributes)


async def test_a_message_that_raises_what_nobody_expects_fails_alone_and_is_named():
    feed = Messages(message("a", server(1)), message("bad", server(2)), message("b", server(3)))
    provider = TelemetryProvider("eu", (feed,), failing, OtelSettings())
    with structlog.testing.capture_logs() as logs:
        events = await events_of(provider)
    assert [(e.op, e.asset_id) for e in events] == [(Op.UPSERT, "a"), (Op.UPSERT, "b")]
    assert (provider.messages, provider.failed) == (3, 1)
    assert [(log["message"], log["error"]) for log in logs if "message" in log] == [
        ("otlp_spans:0:1", "LookupError: nobody thought of this")
    ]
    feed.waiting = [message("c", server(4))]
    assert [e.asset_id for e in await events_of(provider)] == ["c"]


async def test_of_many_that_fail_the_first_are_named_and_all_are_counted():
    provider = TelemetryProvider("eu", (Messages(*[message("bad", server(1))] * 50),), failing, OtelSettings())
    with structlog.testing.capture_logs() as logs:
        assert await events_of(provider) == []
    assert len([log for log in logs if "message" in log]) == MOST_NAMED
    assert (logs[-1]["event"], logs[-1]["failed"]) == ("telemetry is damaged", 50)


def test_a_line_of_a_file_is_named_by_its_place(tmp_path):
    feed = file_of(tmp_path / "t.json", b"{}", b'{"a": 1}')
    assert [one.where for one in feed.take(0)] == [f"{tmp_path}/t.json:0", f"{tmp_path}/t.json:3"]


async def test_damage_says_where_it_was():
    with structlog.testing.capture_logs() as logs:
        await events_of(of(Messages(message("a", server(1)), b"{}")))
    assert logs[-1]["last"].startswith("otlp_spans:0:1: no OTLP")


async def test_what_is_new_is_told_at_once_and_what_has_not_changed_is_not():
    events: list[DiscoveryEvent] = []
    feed = Messages(message("a", server(1)))

    async def publish(event: DiscoveryEvent) -> None:
        events.append(event)

    task = asyncio.create_task(run(of(feed), publish, lambda: 1, PollSettings()))
    try:
        await until(lambda: len(events) == 1)
        feed.waiting = [message("a", server(2), client(3)), message("b", server(4, parent=3))]
        await until(lambda: len(events) == 3)
        feed.waiting = [message("a", server(5))]
        await asyncio.sleep(0.3)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [(e.asset_id, e.asset.depends_on) for e in events] == [("a", ()), ("a", ("b",)), ("b", ())]
    assert feed.closed == 1


async def test_a_file_is_read_as_it_grows_and_anew_when_it_is_replaced(tmp_path):
    path = tmp_path / "traces.json"
    lines = recorded()
    provider = of(file_of(path, *lines[:4]))
    assert "shop/web/web-1" in {e.asset_id for e in await events_of(provider)}
    assert await events_of(provider) == []
    with path.open("ab") as file:
        file.write(lines[4][:50])
        file.flush()
        assert await events_of(provider) == []
        file.write(lines[4][50:] + b"\nno json\n")
    assert [e.asset_id for e in await events_of(provider)] == [
        "opentelemetry:eu/queue/kafka/orders",
        "shop/mail/mail-1",
    ]
    assert provider.unreadable == 1
    other = tmp_path / "other"
    file_of(other, lines[4])
    other.replace(path)
    assert "shop/mail/mail-1" in {e.asset_id for e in await events_of(provider)}


async def test_a_file_that_is_not_there_fails_the_source(tmp_path):
    [event] = await events_of(of(FileFeed(tmp_path / "none", lambda: 1)))
    assert event.op is Op.SOURCE_FAILED
    assert "none" in event.reason


async def test_in_the_registry_it_fills_in_beside_others_and_silence_makes_it_stale(story):
    """An address that another source knows is that asset; what nobody else reports is stale, never removed."""
    s = story()
    s.upsert("k8s:p", Asset(id="k8s:p/shop/service/db", weak_keys=("address:10.0.0.5:5432",)), at=0)
    s.upsert("static:f", Asset(id="a", name="Alpha"), at=0)
    call = client(1, server__address="10.0.0.5", server__port=5432)
    later = message("z", server(9, at=5))
    given = (message("a", call, service__version="7"), message("c", server(2)), later)
    for event in await events_of(of(Messages(*given), wait_s=0, stands_s=60), at=1_700_000_010_000):
        s.take(event, at=10)
    a = s.registry["a"]
    assert (a.name, a.version, a.depends_on) == ("Alpha", "7", ("k8s:p/shop/service/db",))
    assert (a.provenance["depends_on"], a.provenance["name"]) == ("opentelemetry:eu", "static:f")
    assert s.registry["k8s:p/shop/service/db"].aliases == ("opentelemetry:eu/address/10.0.0.5:5432",)
    s.wait_until(69)
    assert s.told("stale") == []
    s.wait_until(10_000)
    assert (s.registry["c"].state, s.registry["a"].state) == (AssetState.STALE, AssetState.UPDATED)
    assert s.told("removed") == []


@pytest.mark.parametrize("encoding", ["otlp_proto", "otlp_json"])
async def test_the_recorded_shop_through_provider_and_registry(story, encoding):
    s = story()
    provider = of(Messages(*recorded(encoding)), wait_s=0.1)
    await events_of(provider)
    await asyncio.sleep(0.15)
    for event in await events_of(provider, at=1_700_000_010_000):
        s.take(event, at=10)
    assert s.registry["shop/checkout/checkout-1"].provenance["depends_on"] == "opentelemetry:eu"
    assert "shop/cart/cart-1" in s.registry["shop/checkout/checkout-1"].depends_on
