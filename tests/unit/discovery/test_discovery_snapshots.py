"""Snapshots, the mass-delete guard, grace, silence: when an asset may go, and when it is in doubt."""

from __future__ import annotations

import pytest

from schemas.records import Asset, AssetState, SourceState

FLEET = [Asset(id=f"svc-{i:02}") for i in range(10)]


def removed(s):
    return [e.asset_id for e in s.told("removed")]


def test_mass_delete_is_held_and_said(story):
    s = story()
    s.scan("k8s:prod", "s1", FLEET, at=0)
    s.scan("k8s:prod", "s2", FLEET[:7], at=60)
    assert removed(s) == []
    (held,) = s.told("held")
    assert held.asset_id == "all"
    assert "3 of 10 (30 %)" in held.reason
    assert "svc-07, svc-08, svc-09" in held.reason
    assert [s.registry[a.id].state for a in FLEET] == [AssetState.REGISTERED] * 7 + [AssetState.STALE] * 3


def test_next_complete_snapshot_confirms_and_the_returned_stay(story):
    s = story()
    s.scan("k8s:prod", "s1", FLEET, at=0)
    s.scan("k8s:prod", "s2", FLEET[:5], at=60)
    s.scan("k8s:prod", "s3", FLEET[:7], at=120)
    assert removed(s) == ["svc-07", "svc-08", "svc-09"]
    assert "confirms" in s.told("removed")[0].reason
    assert s.changes("svc-05") == ["registered", "stale", "updated"]


def test_explicit_delete_passes_the_guard(story):
    s = story()
    s.scan("k8s:prod", "s1", FLEET, at=0)
    s.scan("k8s:prod", "s2", [], at=60)
    s.delete("k8s:prod", "svc-03", at=61)
    assert removed(s) == ["svc-03"]


@pytest.mark.parametrize(("share", "gone"), [(0.2, 0), (0.3, 3)])
def test_setting_mass_delete_share(story, share, gone):
    s = story(mass_delete_share=share)
    s.scan("k8s:prod", "s1", FLEET, at=0)
    s.scan("k8s:prod", "s2", FLEET[:7], at=60)
    assert len(removed(s)) == gone


@pytest.mark.parametrize(("least", "gone"), [(1, 0), (2, 2)])
def test_setting_mass_delete_min(story, least, gone):
    s = story(mass_delete_min=least)
    s.scan("k8s:prod", "s1", FLEET[:3], at=0)
    s.scan("k8s:prod", "s2", FLEET[:1], at=60)
    assert len(removed(s)) == gone


@pytest.mark.parametrize("confirmations", [1, 2])
def test_setting_mass_delete_confirmations(story, confirmations):
    s = story(mass_delete_confirmations=confirmations)
    for scan in range(4):
        s.scan("k8s:prod", f"s{scan}", FLEET if scan == 0 else [], at=60 * scan)
        assert len(s.registry) == (0 if scan > confirmations else 10)


def test_a_held_asset_starts_over_once_listed(story):
    s = story()
    s.scan("k8s:prod", "s1", FLEET, at=0)
    s.scan("k8s:prod", "s2", FLEET[:5], at=60)
    s.scan("k8s:prod", "s3", FLEET, at=120)
    s.scan("k8s:prod", "s4", FLEET[:5], at=180)
    assert removed(s) == []
    assert len(s.told("held")) == 2


def test_small_losses_are_let_go_at_once(story):
    s = story()
    s.scan("k8s:prod", "s1", FLEET, at=0)
    s.scan("k8s:prod", "s2", FLEET[:8], at=60)
    assert removed(s) == ["svc-08", "svc-09"]
    assert s.told("held") == []


def test_grace_keeps_then_removes_by_timer(story):
    """0 s listed . 60 s absent, stale . 90 s still there . 160 s grace of 100 s over."""
    s = story(grace_s=100)
    s.scan("k8s:prod", "s1", FLEET, at=0)
    s.scan("k8s:prod", "s2", FLEET[:9], at=60)
    s.wait_until(90)
    assert s.registry["svc-09"].state is AssetState.STALE
    s.scan("k8s:prod", "s3", FLEET[:9], at=100)  # absent again: the grace is not prolonged
    s.wait_until(159)
    assert removed(s) == []
    s.wait_until(160)
    assert removed(s) == ["svc-09"]
    assert s.told("removed")[0].at == s.told("registered")[0].at + 160_000


def test_grace_ends_when_reported_again(story):
    s = story(grace_s=100)
    s.scan("k8s:prod", "s1", FLEET, at=0)
    s.scan("k8s:prod", "s2", FLEET[:9], at=60)
    s.scan("k8s:prod", "s3", FLEET, at=100)
    s.wait_until(300)
    assert s.changes("svc-09") == ["registered", "stale", "updated"]


def test_silence_makes_stale_by_timer_and_coming_back_updates(story):
    s = story(stale_after_s=100, stale_after_intervals=0)
    s.scan("k8s:prod", "s1", [Asset(id="svc")], at=0)
    s.scan("k8s:prod", "s2", [Asset(id="svc")], at=10)
    s.wait_until(109)
    assert s.changes("svc") == ["registered"]
    s.wait_until(1_000)
    assert s.changes("svc") == ["registered", "stale"]
    assert "silent for 100 s" in s.told("stale")[0].reason
    s.scan("k8s:prod", "s3", [Asset(id="svc")], at=2_000)
    assert s.changes("svc") == ["registered", "stale", "updated"]
    s.wait_until(1e6)
    assert s.changes("svc")[3:] == ["stale"]


def test_setting_stale_after_intervals_follows_the_sources_own_rhythm(story):
    states = []
    for intervals in (0, 3):
        s = story(stale_after_s=100, stale_after_intervals=intervals)
        for scan in range(3):
            s.scan("k8s:prod", f"s{scan}", [Asset(id="svc")], at=3600 * scan)
        states.append(s.changes("svc"))
    assert states == [["registered", "stale", "updated"], ["registered"]]


def test_who_published_once_is_not_silent(story):
    s = story()
    s.upsert("manual:ops", Asset(id="by-hand"), at=0)
    s.scan("static:file", "s1", [Asset(id="once")], at=0)
    s.wait_until(1e7)
    assert s.changes() == ["registered", "registered"]


def test_a_complete_that_nobody_began_removes_nothing(story):
    s = story()
    s.scan("k8s:prod", "s1", FLEET[:1], at=0)
    s.complete("k8s:prod", "s2", at=60)
    s.begin("k8s:prod", "s3", at=61)
    s.complete("k8s:prod", "other", at=62)
    assert removed(s) == []
    assert ["no snapshot is open" in e.reason for e in s.told("warned")] == [True, False]
    s.complete("k8s:prod", "s3", at=63)
    assert removed(s) == ["svc-00"]
    s.complete("k8s:prod", "s3", at=63)  # a repeat is no contradiction
    assert len(s.told("warned")) == 2


def test_a_source_may_use_a_snapshot_id_again(story):
    s = story()
    s.scan("k8s:prod", "same", FLEET, at=0)
    s.scan("k8s:prod", "same", FLEET[:9], at=60)
    assert removed(s) == ["svc-09"]
    assert s.told("warned") == []


def test_a_repeated_begin_does_not_forget_what_was_listed(story):
    s = story()
    s.scan("k8s:prod", "s1", FLEET[:2], at=0)
    s.begin("k8s:prod", "s2", at=60)
    s.upsert("k8s:prod", FLEET[0], 60, "s2")
    s.begin("k8s:prod", "s2", at=60)
    s.upsert("k8s:prod", FLEET[1], 60, "s2")
    s.complete("k8s:prod", "s2", at=61)
    assert removed(s) == []


def test_what_a_watch_reports_during_a_listing_is_not_absent_from_it(story):
    s = story()
    s.scan("k8s:prod", "s1", FLEET[:1], at=0)
    s.begin("k8s:prod", "s2", at=60)
    s.upsert("k8s:prod", Asset(id="born"), 60.5)
    s.upsert("k8s:prod", FLEET[0], 60, "s2")
    s.upsert("k8s:prod", Asset(id="born"), 60.6, "s2")
    s.complete("k8s:prod", "s2", at=61)
    assert removed(s) == []
    assert s.told("warned") == []


def test_a_late_report_is_void_but_a_late_listing_shows_presence(story):
    s = story()
    s.scan("k8s:prod", "s1", [Asset(id="svc", version="2")], at=100)
    s.upsert("k8s:prod", Asset(id="svc", version="1"), at=50)
    s.delete("k8s:prod", "svc", at=50)
    s.fail("k8s:prod", at=110)
    s.begin("k8s:prod", "s2", at=120)
    s.upsert("k8s:prod", Asset(id="svc", version="1"), 99, "s2")
    s.complete("k8s:prod", "s2", at=121)
    assert s.changes("svc") == ["registered", "stale", "updated"]
    assert s.registry["svc"].version == "2"


def test_freshness_and_completeness_ride_along(story):
    s = story()
    s.scan("k8s:prod", "s1", [Asset(id="svc")], at=0)
    s.scan("k8s:prod", "s2", [Asset(id="svc", version="2")], at=60)
    first, second = s.records("svc")
    assert first.sources[0].complete is False  # told while the first listing was still under way
    assert second.sources == (SourceState(source="k8s:prod", fresh_at=second.sources[0].fresh_at, complete=True),)
    assert second.sources[0].fresh_at - first.sources[0].fresh_at == 60_000


@pytest.mark.parametrize(("republish_s", "records"), [(900, 1), (100, 3)])
def test_setting_republish_s_bounds_the_age_of_freshness(story, republish_s, records):
    s = story(republish_s=republish_s)
    for scan in range(6):
        s.scan("k8s:prod", f"s{scan}", [Asset(id="svc")], at=50 * scan)
    assert len(s.records("svc")) == records
    assert s.changes() == ["registered"]
