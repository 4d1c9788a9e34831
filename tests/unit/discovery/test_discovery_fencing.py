"""Epochs: what an instance still sends after another has taken its source over is not heard."""

from __future__ import annotations

from schemas.records import Asset, DiscoveryEvent, Op


def say(s, op, at, epoch, scope="all", **fields):
    event = {"source": "k8s:p", "scope": scope, "op": op, "at": 1_700_000_000_000 + 1000 * at, "epoch": epoch}
    s.take(DiscoveryEvent.model_validate({**event, **fields}), at)


def listed(s, at, epoch, snapshot, *ids, end=True):
    say(s, Op.SNAPSHOT_BEGIN, at, epoch, snapshot_id=snapshot)
    for asset_id in ids:
        say(s, Op.UPSERT, at, epoch, snapshot_id=snapshot, asset=Asset(id=asset_id))
    if end:
        say(s, Op.SNAPSHOT_COMPLETE, at, epoch, snapshot_id=snapshot)


def test_an_instance_that_lost_its_source_can_neither_add_nor_remove(story):
    s = story()
    listed(s, 0, 5, "old-1", "a", "b")
    listed(s, 10, 6, "new-1", "a", "b", "c")
    listed(s, 11, 5, "old-2", "a", "z")  # was paused, and does not know
    say(s, Op.DELETE, 12, 5, asset_id="a")
    say(s, Op.SOURCE_FAILED, 13, 5, reason="late")
    assert s.registry.keys() == {"a", "b", "c"}
    (warned,) = s.told("warned")
    assert "epoch 5" in warned.reason
    assert "took over with epoch 6" in warned.reason


def test_a_snapshot_that_was_begun_before_the_takeover_is_void(story):
    s = story(mass_delete_share=1.0)
    listed(s, 0, 5, "old-1", "a", "b")
    listed(s, 10, 5, "old-2", "a", end=False)
    say(s, Op.UPSERT, 11, 6, asset=Asset(id="c"))
    say(s, Op.SNAPSHOT_COMPLETE, 12, 5, snapshot_id="old-2")
    say(s, Op.SNAPSHOT_COMPLETE, 13, 6, snapshot_id="old-2")
    assert s.registry.keys() == {"a", "b", "c"}


def test_scopes_are_fenced_apart_and_who_has_no_epoch_is_not(story):
    s = story()
    say(s, Op.UPSERT, 0, 6, asset=Asset(id="a"))
    say(s, Op.UPSERT, 1, 3, scope="other", asset=Asset(id="b"))
    say(s, Op.DELETE, 2, None, asset_id="a")
    assert s.registry.keys() == {"b"}
    assert s.told("warned") == []


def test_the_next_old_epoch_is_told_too(story):
    s = story()
    say(s, Op.UPSERT, 0, 9, asset=Asset(id="a"))
    for epoch in (5, 5, 7, 7):
        say(s, Op.UPSERT, 1, epoch, asset=Asset(id="z"))
    assert len(s.told("warned")) == 2


def test_a_source_that_is_no_more_is_stale_until_a_person_says_twice_that_it_has_nothing(story):
    s = story()
    for number in range(3):
        listed(s, number * 60, 6, f"own-{number}", "a", "b", "c")
    s.wait_until(30 * 86_400)
    assert {row.state.value for row in s.registry.values()} == {"stale"}
    listed(s, 30 * 86_400 + 1, None, "retired-1")
    assert s.registry.keys() == {"a", "b", "c"}
    listed(s, 30 * 86_400 + 2, None, "retired-2")
    assert s.registry == {}
