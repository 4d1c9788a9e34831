"""Which reports are about one asset: ids, strong keys, weak keys; what becomes of it when they change."""

from __future__ import annotations

import pytest

from schemas.records import Asset, AssetKind


def asset(asset_id: str, strong: str = "", weak: str = "", **fields: object) -> Asset:
    keys = {"strong_keys": strong.split(), "weak_keys": weak.split()}
    return Asset.model_validate({"id": asset_id, **keys, **fields})


def test_a_strong_key_makes_two_reports_one_asset(story):
    s = story()
    s.upsert("k8s:p", asset("pod-1", strong="uid:1", region="eu"), at=0)
    s.upsert("cmdb:m", asset("CI0001", strong="uid:1 serial:9", owner="ops"), at=1)
    assert s.registry.keys() == {"pod-1"}
    record = s.registry["pod-1"]
    assert (record.region, record.owner, record.aliases) == ("eu", "ops", ("CI0001",))
    assert record.strong_keys == ("serial:9", "uid:1")
    assert [x.source for x in record.sources] == ["cmdb:m", "k8s:p"]
    assert s.changes("pod-1") == ["registered", "updated"]


def test_two_providers_claim_one_asset_and_one_goes(story):
    s = story()
    s.upsert("k8s:p", asset("pod-1", strong="uid:1", region="eu"), at=0)
    s.scan("cmdb:m", "s1", [asset("CI0001", strong="uid:1", owner="ops"), asset("CI0002")], at=1)
    s.delete("k8s:p", "pod-1", at=2)
    record = s.registry["pod-1"]  # an asset keeps its id for as long as anybody claims it
    assert (record.region, record.owner, [x.source for x in record.sources]) == (None, "ops", ["cmdb:m"])
    assert s.told("removed") == []
    s.scan("cmdb:m", "s2", [asset("CI0002")], at=3)
    assert s.registry.keys() == {"CI0002"}
    assert s.changes("pod-1") == ["registered", "updated", "updated", "removed"]
    assert s.records("pod-1")[-1] is None


def test_an_asset_moves_between_providers(story):
    """A machine leaves one cluster and joins another, under another id: it is the same asset throughout."""
    s = story()
    s.scan("k8s:old", "a1", [asset("old/node", strong="machine-id:7", zone="a"), asset("old/rest")], at=0)
    s.scan("k8s:new", "b1", [asset("new/node", strong="machine-id:7", zone="b")], at=10)
    s.scan("k8s:old", "a2", [asset("old/rest")], at=20)
    record = s.registry["old/node"]
    assert (record.zone, record.provenance["zone"], record.aliases) == ("b", "k8s:new", ("new/node",))
    assert s.told("removed") == []
    s.scan("k8s:new", "b2", [], at=30)
    assert s.registry.keys() == {"old/rest"}


def test_two_assets_that_turn_out_to_be_one_are_joined(story):
    s = story()
    s.upsert("k8s:p", asset("pod-1", strong="uid:1", region="eu"), at=0)
    s.upsert("cmdb:m", asset("CI0001", owner="ops"), at=1)
    assert s.registry.keys() == {"pod-1", "CI0001"}
    s.upsert("cmdb:m", asset("CI0001", strong="uid:1", owner="ops"), at=2)
    assert s.registry.keys() == {"pod-1"}
    assert s.registry["pod-1"].owner == "ops"
    (removed,) = s.told("removed")
    assert removed.asset_id == "CI0001"
    assert removed.reason.startswith("CI0001 is pod-1: both have the strong key uid:1")
    s.upsert("cmdb:m", asset("CI0001", strong="uid:1", owner="dev"), at=3)
    assert s.registry["pod-1"].owner == "dev"


def test_a_source_that_lists_two_with_one_strong_key_is_told_and_they_stay_two(story):
    s = story()
    s.scan("cmdb:m", "s1", [asset("a", strong="serial:1"), asset("b", strong="serial:1")], at=0)
    assert s.registry.keys() == {"a", "b"}
    assert "strong key serial:1" in s.told("warned")[0].reason


def test_a_strong_key_that_changes_ends_the_link(story):
    s = story()
    s.upsert("k8s:p", asset("node-1", strong="machine-id:1"), at=0)
    s.upsert("cmdb:m", asset("CI1", strong="machine-id:1", owner="ops"), at=1)
    s.upsert("cmdb:m", asset("CI1", strong="machine-id:2", owner="ops"), at=2)
    assert s.registry["node-1"].owner is None
    assert s.registry["CI1"].owner == "ops"
    assert s.changes("CI1") == ["registered"]


def test_a_weak_key_links_as_long_as_it_holds(story):
    s = story()
    s.upsert("k8s:p", asset("pod-1", weak="address:10.0.0.7:80"), at=0)
    s.upsert("consul:c", asset("web-1", weak="address:10.0.0.7:80", owner="ops"), at=1)
    assert s.registry.keys() == {"pod-1"}
    s.upsert("consul:c", asset("web-1", weak="address:10.0.0.8:80", owner="ops"), at=2)
    assert s.registry.keys() == {"pod-1", "web-1"}
    assert s.registry["pod-1"].owner is None


def test_a_link_holds_while_another_source_says_the_key_of_this_id(story):
    s = story()
    s.upsert("k8s:p", asset("pod-1", weak="dns:a"), at=0)
    s.upsert("consul:c", asset("web-1", weak="dns:a"), at=1)
    for at in range(2, 6):
        s.upsert("cmdb:m", asset("web-1", owner="ops"), at=at)
    assert s.registry.keys() == {"pod-1"}
    assert s.changes() == ["registered", "updated"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (asset("a", weak="dns:x", kind=AssetKind.QUEUE), asset("b", weak="dns:x", kind=AssetKind.MICROSERVICE)),
        (asset("a", weak="dns:x", strong="uid:1"), asset("b", weak="dns:x", strong="uid:2")),
    ],
)
def test_what_speaks_against_a_weak_key(story, first, second):
    s = story()
    s.upsert("k8s:p", first, at=0)
    s.upsert("consul:c", second, at=1)
    assert s.registry.keys() == {"a", "b"}


def test_a_weak_key_of_two_assets_links_nothing(story):
    s = story()
    s.scan("k8s:p", "s1", [asset("a", weak="dns:x"), asset("b", weak="dns:x")], at=0)
    s.upsert("consul:c", asset("c", weak="dns:x"), at=1)
    assert s.registry.keys() == {"a", "b", "c"}


def test_strong_keys_go_before_weak_ones(story):
    s = story()
    s.upsert("k8s:p", asset("a", weak="dns:x"), at=0)
    s.upsert("k8s:p", asset("b", strong="uid:1"), at=0)
    s.upsert("consul:c", asset("c", weak="dns:x", strong="uid:1", owner="ops"), at=1)
    assert (s.registry["a"].owner, s.registry["b"].owner) == (None, "ops")


def test_what_refers_to_an_alias_refers_to_the_asset(story):
    s = story()
    s.upsert("k8s:p", asset("pod-1", strong="uid:1"), at=0)
    s.upsert("cmdb:m", asset("CI1", strong="uid:1"), at=1)
    s.upsert("cmdb:m", asset("shop", depends_on=["CI1", "db"], fallback_ids=["CI1"]), at=2)
    assert s.registry["shop"].depends_on == ("db", "pod-1")
    assert s.registry["shop"].fallback_ids == ("pod-1",)


def test_sources_that_contradict_each_other_are_reported_with_both_values(story):
    s = story()
    s.upsert("cmdb:m", asset("a", region="eu-1", owner="ops", labels={"tier": "gold"}), at=0)
    s.upsert("k8s:p", asset("a", region="us-2", owner="ops", labels={"tier": "tin"}), at=1)
    record = s.registry["a"]
    assert (record.region, record.provenance["region"]) == ("eu-1", "cmdb:m")
    assert [(c.field, c.source, c.value) for c in record.conflicts] == [
        ("region", "k8s:p", '"us-2"'),
        ("labels.tier", "k8s:p", '"tin"'),
    ]
    assert s.changes("a") == ["registered"]  # what is seen did not change
    s.upsert("k8s:p", asset("a", region="eu-1", labels={"tier": "gold"}), at=2)
    assert s.registry["a"].conflicts == ()


def test_nothing_is_left_of_what_is_gone(story):
    s = story()
    s.upsert("k8s:p", asset("pod-1", strong="uid:1", weak="dns:a"), at=0)
    s.upsert("cmdb:m", asset("CI1", strong="uid:1", weak="dns:b"), at=1)
    s.delete("k8s:p", "pod-1", at=2)
    s.delete("cmdb:m", "CI1", at=3)
    assert s.registry == {}
    assert all(key.startswith('["scope"') for key in s.partition.rows)
