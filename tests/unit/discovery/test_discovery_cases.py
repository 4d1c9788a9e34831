"""The seed's cases D1-D6, each as a story."""

from __future__ import annotations

from schemas.records import Asset, AssetState, Capability, Endpoint


def test_d1_two_providers_do_not_flap(story):
    s = story()
    for scan in range(3):
        s.scan("p1", f"a{scan}", [Asset(id="svc", name="one", region="eu")], at=60 * scan)
        s.scan("p2", f"b{scan}", [Asset(id="svc", name="two", owner="ops")], at=60 * scan + 1)
    assert s.changes("svc") == ["registered", "updated"]  # `updated`: p2 brought the owner and, later, the name
    assert s.registry["svc"].name == "two"
    assert s.registry["svc"].provenance == {"name": "p2", "region": "p1", "owner": "p2"}
    assert len(s.records("svc")) == 2


def test_d1_precedence_decides_before_freshness(story):
    s = story()
    s.upsert("manual:ops", Asset(id="svc", name="stated"), at=0)
    for scan in range(3):
        s.scan("host:h1", f"a{scan}", [Asset(id="svc", name="seen", version=None)], at=60 * scan + 1)
    assert s.changes("svc") == ["registered"]
    assert s.registry["svc"].provenance == {"name": "manual:ops"}
    assert [x.source for x in s.registry["svc"].sources] == ["host:h1", "manual:ops"]


def test_d2_same_fields_in_another_order_is_no_event(story):
    one = Asset(
        id="svc",
        labels={"a": "1", "b": "2"},
        compliance=("soc2", "hipaa"),
        data_regions=("us", "eu"),
        depends_on=("x", "y"),
        capabilities=(Capability(name="c1", latency_ms=1), Capability(name="c2")),
        endpoints=(Endpoint(type="http", url="u1"), Endpoint(type="grpc", url="u2")),
    )
    other = Asset(
        id="svc",
        labels={"b": "2", "a": "1"},
        compliance=("hipaa", "soc2", "hipaa"),
        data_regions=("eu", "us"),
        depends_on=("y", "x"),
        capabilities=one.capabilities[::-1],
        endpoints=one.endpoints[::-1],
    )
    s = story()
    s.upsert("k8s:prod", one, at=0)
    s.upsert("k8s:prod", other, at=1)
    assert s.changes() == ["registered"]
    assert len(s.records("svc")) == 1


def test_d2_order_of_fallbacks_has_a_meaning(story):
    s = story()
    s.upsert("k8s:prod", Asset(id="svc", fallback_ids=("a", "b")), at=0)
    s.upsert("k8s:prod", Asset(id="svc", fallback_ids=("b", "a")), at=1)
    assert s.told("updated")[0].changed_fields == ("fallback_ids",)


def test_d3_last_source_drops_the_asset_one_removed_everywhere(story):
    s = story()
    s.scan("k8s:prod", "a1", [Asset(id="svc")], at=0)
    s.scan("cmdb:main", "b1", [Asset(id="svc")], at=1)
    s.scan("k8s:prod", "a2", [], at=60)
    assert s.told("removed") == []
    s.scan("cmdb:main", "b2", [], at=61)
    s.scan("cmdb:main", "b3", [], at=121)
    assert s.changes("svc") == ["registered", "removed"]
    assert s.records("svc")[-1] is None
    assert "svc" not in s.registry
    assert [key for key in s.partition.rows if "svc" in key] == []
    assert "cmdb:main" in s.told("removed")[0].reason


def test_d4_a_failed_source_keeps_its_assets_marked_stale(story):
    s = story()
    s.scan("p1", "a1", [Asset(id="one"), Asset(id="shared")], at=0)
    s.scan("p2", "b1", [Asset(id="two"), Asset(id="shared")], at=1)
    s.fail("p1", at=60, reason="connection refused")
    s.scan("p2", "b2", [Asset(id="two"), Asset(id="shared"), Asset(id="new")], at=61)
    assert s.registry["one"].state is AssetState.STALE
    assert "connection refused" in s.told("stale", "one")[0].reason
    assert s.registry["two"].state is AssetState.REGISTERED
    assert s.registry["new"].state is AssetState.REGISTERED
    shared = s.registry["shared"]
    assert shared.state is AssetState.REGISTERED
    assert {x.source: x.stale for x in shared.sources} == {"p1": True, "p2": False}
    assert s.told("removed") == []


def test_d4_repeated_failures_are_told_once_and_recovery_updates(story):
    s = story()
    s.scan("p1", "a1", [Asset(id="one")], at=0)
    s.fail("p1", at=60)
    s.fail("p1", at=65)
    s.scan("p1", "a2", [Asset(id="one")], at=120)
    assert s.changes("one") == ["registered", "stale", "updated"]
    assert s.told("updated")[0].changed_fields == ("state",)
    assert len(s.told("warned")) == 1
    assert s.registry["one"].state is AssetState.UPDATED


def test_d4_a_source_that_always_fails_half_way_does_not_flap(story):
    """As `providers.poll` sends it: begin, what came, source_failed; then it is whole again."""
    s = story()
    s.scan("p1", "s0", [Asset(id="one"), Asset(id="two")], at=0)
    for scan in range(1, 6):
        s.begin("p1", f"s{scan}", at=60 * scan)
        s.upsert("p1", Asset(id="one", version="2" if scan > 2 else None), 60 * scan, f"s{scan}")
        if scan == 3:
            s.upsert("p1", Asset(id="new"), 60 * scan, f"s{scan}")
        s.fail("p1", at=60 * scan + 1)
    assert s.changes("one") == ["registered", "stale", "updated"]  # the update is the version, in doubt as it is
    assert s.registry["one"].state is AssetState.STALE
    assert s.changes("new") == ["registered", "stale"]
    assert len(s.told("warned")) == 1
    s.scan("p1", "s9", [Asset(id="one", version="2"), Asset(id="two"), Asset(id="new")], at=600)
    assert {a.state for a in s.registry.values()} == {AssetState.UPDATED}
    assert s.changes("two") == ["registered", "stale", "updated"]


def test_d5_half_a_snapshot_then_failure_deletes_nothing(story):
    assets = [Asset(id=f"svc-{i}") for i in range(10)]
    s = story()
    s.scan("k8s:prod", "s1", assets, at=0)
    s.begin("k8s:prod", "s2", at=60)
    for asset in assets[:5]:
        s.upsert("k8s:prod", asset, 60, "s2")
    s.fail("k8s:prod", at=61)
    s.complete("k8s:prod", "s2", at=62)  # of a snapshot that was broken off: no evidence
    assert len(s.registry) == 10
    assert s.told("removed") == []
    assert "s2" in s.told("warned")[-1].reason


def test_d5_absence_counts_only_in_its_own_source_and_scope(story):
    s = story()
    s.scan("k8s:prod", "s1", [Asset(id="a")], at=0, scope="cluster/a")
    s.scan("k8s:prod", "s1", [Asset(id="b")], at=0, scope="cluster/b")
    s.scan("k8s:test", "s1", [Asset(id="c")], at=0, scope="cluster/a")
    s.scan("k8s:prod", "s2", [], at=60, scope="cluster/a")
    assert [e.asset_id for e in s.told("removed")] == ["a"]


def test_d6_one_id_twice_in_a_snapshot_is_one_record_and_a_warning(story):
    s = story()
    s.begin("k8s:prod", "s1", at=0)
    s.upsert("k8s:prod", Asset(id="svc", name="first"), 0, "s1")
    s.upsert("k8s:prod", Asset(id="svc", name="second"), 0, "s1")
    s.upsert("k8s:prod", Asset(id="svc", name="third"), 0, "s1")
    s.complete("k8s:prod", "s1", at=1)
    assert len(s.records("svc")) == 1
    assert s.registry["svc"].name == "first"
    assert s.changes("svc") == ["registered", "warned"]
    assert "provider k8s:prod" in s.told("warned")[0].reason
