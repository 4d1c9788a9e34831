"""What a source says for a time (`stands_s`): stale when it is not said again, never removed by silence.

0 s          60        100 s                              (each word stands 60 s)
|-- said ----|-- stale  |-- said, fresh --|160 stale
"""

from __future__ import annotations

from schemas.records import Asset, AssetState, DiscoveryEvent, Op
from streams.discovery.state import asset_key


def seen(s, at, stands_s=60.0, source="opentelemetry:eu", **fields):
    event = {"source": source, "scope": "telemetry/eu", "op": Op.UPSERT, "at": 1_700_000_000_000 + round(1000 * at)}
    s.take(DiscoveryEvent.model_validate({**event, "asset": Asset(id="svc", **fields), "stands_s": stands_s}), at)


def test_it_is_stale_when_it_was_not_said_again_and_fresh_once_it_is(story):
    s = story()
    seen(s, 0)
    s.wait_until(59.9)
    assert s.registry["svc"].state is AssetState.REGISTERED
    s.wait_until(60)
    assert s.registry["svc"].state is AssetState.STALE
    assert s.told("stale")[0].reason == "opentelemetry:eu has not seen it for 60 s"
    assert s.told("stale")[0].at == 1_700_000_060_000
    s.wait_until(99)
    seen(s, 100)
    assert s.registry["svc"].state is AssetState.UPDATED
    s.wait_until(160)
    assert s.changes() == ["registered", "stale", "updated", "stale"]
    s.wait_until(1_000_000)
    assert s.registry["svc"].state is AssetState.STALE


def test_each_word_prolongs_it_and_costs_no_row_of_the_asset(story):
    s = story()
    seen(s, 0)
    before = s.partition.rows[asset_key("svc")]
    for at in range(10, 60, 10):
        seen(s, at)
        assert s.partition.rows[asset_key("svc")] == before
    s.wait_until(109)
    assert s.changes() == ["registered"]
    s.wait_until(110)
    assert s.told("stale")[0].at == 1_700_000_110_000


def test_another_source_that_still_claims_it_keeps_it_fresh(story):
    s = story()
    s.upsert("static:a", Asset(id="svc", name="Checkout"), 0)
    seen(s, 0)
    s.wait_until(61)
    assert s.registry["svc"].state is not AssetState.STALE
    assert [(x.source, x.stale) for x in s.registry["svc"].sources] == [("opentelemetry:eu", True), ("static:a", False)]
    assert s.told("stale") == []


def test_another_time_counts_from_the_word_that_says_it_and_none_has_no_end(story):
    s = story()
    seen(s, 0)
    seen(s, 10, stands_s=100.0)
    s.wait_until(109)
    assert s.told("stale") == []
    seen(s, 109, stands_s=None)
    s.wait_until(10_000)
    assert s.told("stale") == []


def test_the_grace_of_one_claim_and_the_time_of_another_end_at_once(story):
    s = story(grace_s=10.0, mass_delete_share=1.0)
    s.scan("k8s:p", "s1", [Asset(id="svc"), Asset(id="b")], 0)
    seen(s, 0, stands_s=30.0)
    s.scan("k8s:p", "s2", [Asset(id="b")], 20)
    s.wait_until(30)
    record = s.registry["svc"]
    assert record.state is AssetState.STALE
    assert [x.source for x in record.sources] == ["opentelemetry:eu"]
