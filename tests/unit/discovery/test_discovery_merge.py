"""Which source a field comes from, and what counts as a change."""

from __future__ import annotations

import pytest

from schemas.records import Asset, AssetKind, Capability
from streams.discovery.merge import changed_fields, merge, version_hash
from streams.discovery.settings import DiscoverySettings
from streams.discovery.state import Claim


def claim(source: str, since: int = 0, changed: dict[str, int] | None = None, **fields: object) -> Claim:
    asset = Asset.model_validate({"id": "svc", **fields})
    return Claim(source=source, scope="all", asset=asset, since=since, changed=changed or {})


def merged(*claims: Claim, **settings: object):
    return merge("svc", claims, DiscoverySettings.model_validate(settings))


def test_each_field_names_its_source():
    result = merged(
        claim("host:h", kind="microservice", region="eu", labels={"env": "prod", "seen": "yes"}),
        claim("cmdb:main", owner="ops", region="eu-1", labels={"env": "production"}),
        claim("manual:ann", cost_usd_per_hour=0.0),
    )
    assert result.asset == Asset(
        id="svc",
        kind=AssetKind.MICROSERVICE,
        region="eu-1",
        owner="ops",
        labels={"env": "production", "seen": "yes"},
        cost_usd_per_hour=0.0,
    )
    assert result.provenance == {
        "kind": "host:h",
        "region": "cmdb:main",
        "owner": "cmdb:main",
        "cost_usd_per_hour": "manual:ann",  # 0 is a value
        "labels.env": "cmdb:main",
        "labels.seen": "host:h",
    }


def test_what_is_not_said_is_left_to_the_next():
    result = merged(claim("manual:a", name="", kind="unknown", compliance=[]), claim("zzz", name="n", compliance=["x"]))
    assert (result.asset.name, result.asset.compliance) == ("n", ("x",))


def test_between_equals_who_changed_the_field_last():
    early = claim("a", since=5, name="a", owner="a")
    late = claim("b", since=1, changed={"owner": 9}, name="b", owner="b")
    assert merged(early, late).provenance == {"name": "a", "owner": "b"}


def test_between_equally_fresh_the_source_name():
    assert merged(claim("b", name="b"), claim("a", name="a")).asset.name == "a"


def test_setting_precedence():
    claims = (claim("k8s:p", name="k"), claim("cmdb:m", name="c"))
    assert merged(*claims).asset.name == "c"
    assert merged(*claims, precedence=["k8s:*", "cmdb:*"]).asset.name == "k"


def test_setting_field_precedence():
    claims = (
        claim("k8s:p", name="k", labels={"x": "k", "y": "k"}),
        claim("cmdb:m", name="c", labels={"x": "c", "y": "c"}),
    )
    fields = {"name": ["k8s:*"], "labels": ["k8s:*"], "labels.y": ["cmdb:*"]}
    result = merged(*claims, field_precedence=fields).asset
    assert (result.name, result.labels) == ("k", {"x": "k", "y": "c"})


def test_version_hash_is_of_what_is_visible():
    one = Asset(id="svc", labels={"a": "1", "b": "2"})
    assert version_hash(one) == version_hash(Asset(id="svc", labels={"b": "2", "a": "1"}))
    assert version_hash(one) != version_hash(Asset(id="svc", labels={"a": "1", "b": "3"}))


def test_changed_fields_name_labels_singly():
    old = Asset(id="svc", name="n", labels={"a": "1", "b": "2"})
    new = Asset(id="svc", name="m", labels={"b": "3", "c": "4"}, capabilities=(Capability(name="c"),))
    assert changed_fields(old, new) == ("name", "capabilities", "labels.a", "labels.b", "labels.c")


def test_an_update_says_from_what_to_what(story):
    s = story()
    s.upsert("k8s:p", Asset(id="svc", version="1", capacity_units=2), at=0)
    s.upsert("k8s:p", Asset(id="svc", version="2", labels={"tier": "gold"}), at=1)
    (event,) = s.told("updated")
    assert event.changed_fields == ("version", "capacity_units", "labels.tier")
    assert event.reason == (
        "k8s:p reports it in all; version '1' -> '2', capacity_units 2 -> none, labels.tier none -> 'gold'"
    )


def test_a_source_that_leaves_hands_its_fields_over(story):
    s = story()
    s.upsert("manual:a", Asset(id="svc", name="stated"), at=0)
    s.upsert("host:h", Asset(id="svc", name="seen"), at=1)
    s.delete("manual:a", "svc", at=2)
    assert s.registry["svc"].name == "seen"
    assert s.registry["svc"].provenance == {"name": "host:h"}
    assert s.told("updated")[0].changed_fields == ("name",)


def test_a_new_source_with_nothing_new_is_shown_without_an_event(story):
    s = story()
    s.upsert("manual:a", Asset(id="svc", name="n"), at=0)
    s.upsert("host:h", Asset(id="svc", name="n"), at=1)
    assert s.changes() == ["registered"]
    assert [x.source for x in s.registry["svc"].sources] == ["host:h", "manual:a"]


@pytest.mark.parametrize("scopes", [("a", "b"), ("b", "a")])
def test_one_source_in_two_scopes_is_one_entry(story, scopes):
    s = story()
    for at, scope in enumerate(scopes):
        s.upsert("k8s:p", Asset(id="svc"), at=at, scope=scope)
    s.fail("k8s:p", at=5, scope="a")
    (entry,) = s.registry["svc"].sources
    assert entry.stale
    assert s.registry["svc"].state == "registered"
    s.delete("k8s:p", "svc", at=6, scope="a")
    assert not s.registry["svc"].sources[0].stale
