"""Bad, repeated and odd input; rows from other versions; ids."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from schemas.records import Asset, DiscoveryEvent, JobOutcome, JobResult, Op
from streams.discovery.state import ScopeRow, asset_key, member_key, scope_key
from streams.kit.layer import Event


def test_a_tombstone_and_a_foreign_record_do_nothing(story):
    s = story()
    s.take(None)
    s.take(JobOutcome(job_id="j", target_id="t", outcome=JobResult.SUCCEEDED, at=1))
    assert s.emissions == []
    assert dict(s.partition.rows) == {}


@pytest.mark.parametrize(
    "event",
    [
        DiscoveryEvent(source="s", scope="all", op=Op.UNKNOWN, at=5),
        DiscoveryEvent.model_construct(source="s", scope="all", op=Op.UPSERT, asset=None, snapshot_id=None, at=5),
        DiscoveryEvent.model_construct(source="s", scope="all", op=Op.DELETE, asset_id=None, snapshot_id=None, at=5),
    ],
)
def test_an_event_that_says_nothing_is_told_and_ignored(story, event):
    s = story()
    s.take(event)
    assert [e.change for e in s.told()] == ["warned"]
    assert dict(s.partition.rows) == {}


def test_deleting_what_nobody_claims_is_no_event(story):
    s = story()
    s.upsert("a", Asset(id="svc"), at=0)
    s.delete("b", "svc", at=1)
    s.delete("a", "other", at=1)
    assert s.changes() == ["registered"]


def test_a_whole_story_repeated_changes_nothing(story):
    s = story()
    for _ in range(2):
        s.scan("k8s:p", "s1", [Asset(id="a"), Asset(id="b")], at=0)
    assert s.changes("a") == ["registered"]


def test_an_empty_scope_and_a_failure_of_one_that_nobody_knows(story):
    s = story()
    s.scan("k8s:p", "s1", [], at=0)
    s.fail("k8s:q", at=1, reason="")
    assert s.registry == {}
    assert [e.reason for e in s.told()] == ["k8s:q failed; its 0 assets in all stay, marked stale"]


def test_keys_keep_ids_with_separators_apart():
    assert scope_key("a:b", "c") != scope_key("a", "b:c")
    assert member_key("a", 'b","c', "1") != member_key("a", "b", "1")
    assert asset_key('x","y') != asset_key("x")


def test_removed_and_registered_in_one_ms_have_their_own_ids(story):
    s = story()
    s.upsert("a", Asset(id="svc"), at=0)
    s.upsert("a", Asset(id="svc", name="n"), at=0)
    s.upsert("a", Asset(id="svc"), at=0)
    s.upsert("a", Asset(id="svc", name="n"), at=0)
    s.delete("a", "svc", at=0)
    ids = [e.id for e in s.told()]
    assert s.changes() == ["registered", "updated", "updated", "updated", "removed"]
    assert len(set(ids)) == len(ids)


def test_every_emission_names_its_cause(story):
    s = story()
    s.upsert("a", Asset(id="svc"), at=0)
    s.upsert("a", Asset(id="svc", name="n"), at=1)
    assert [e.cause_id for e in s.emissions] == ["discovery-events:1"] * 2 + ["discovery-events:2"] * 2


def test_rows_of_another_version_are_refused(story):
    layer = story().layer
    data = layer.encode_row(ScopeRow(source="a", scope="b"))
    assert layer.decode_row(data) == ScopeRow(source="a", scope="b")
    with pytest.raises(ValidationError):
        layer.decode_row(data.replace(b'"version":4', b'"version":5'))


@pytest.mark.parametrize("version", [b"1", b"2", b"3"])
def test_rows_of_before_are_read_and_written_anew(story, version):
    layer = story().layer
    of_before = (
        b'{"version":' + version + b',"row":"scope","source":"a","scope":"b","size":3,"heard_at":7,"open_id":"s"}'
    )
    row = layer.decode_row(of_before)
    assert row == ScopeRow(source="a", scope="b", size=3, heard_at=7, open_id="s")
    assert b'"version":4' in layer.encode_row(row)


def test_a_step_leaves_its_rows_alone_and_repeats_itself(story):
    s = story()
    s.scan("k8s:p", "s1", [Asset(id="a"), Asset(id="b")], at=0)
    before = {key: s.layer.encode_row(row) for key, row in s.partition.rows.items()}
    event = DiscoveryEvent(source="k8s:p", scope="all", op=Op.SOURCE_FAILED, at=1_700_000_009_000)
    wrapped = Event("discovery-events", "k", event, event.at, "c")
    steps = [s.layer.step(s.partition.rows, s.partition.view, wrapped, event.at) for _ in range(2)]
    assert steps[0] == steps[1]
    assert {key: s.layer.encode_row(row) for key, row in s.partition.rows.items()} == before


def test_labels_that_come_and_go_do_not_grow_the_row(story):
    s = story()
    sizes = []
    for i in range(1_000, 1_200):
        s.upsert("a", Asset(id="svc", labels={f"build-{i}": "x"}), at=i)
        sizes.append(len(s.layer.encode_row(s.partition.rows[asset_key("svc")])))
    assert sizes[-1] <= sizes[1] + 10
