"""The journal: runs are joined, ticks merge, taking empties it."""

from __future__ import annotations

import orjson

from streams.runtime.journal import Journal


def taken(journal: Journal) -> object:
    data = journal.take()
    return None if data is None else [entry for entry in orjson.loads(data) if entry[0] != "flush"]


def test_consecutive_offsets_are_one_entry() -> None:
    journal = Journal()
    journal.took("in", "t", 0, 5, 9)
    journal.took("in", "t", 0, 10, 10)
    journal.took("in", "t", 0, 11, 20)
    assert taken(journal) == [["in", "t", 0, 5, 20]]


def test_a_gap_another_partition_topic_or_kind_begins_a_new_entry() -> None:
    journal = Journal()
    entries = [("in", "t", 0, 0), ("in", "t", 0, 2), ("in", "t", 1, 3), ("in", "u", 1, 4)]
    for kind, topic, partition, first in [*entries, ("view", "u", 1, 5), ("in", "u", 1, 5)]:
        journal.took(kind, topic, partition, first, first)
    assert taken(journal) == [
        ["in", "t", 0, 0, 0], ["in", "t", 0, 2, 2], ["in", "t", 1, 3, 3], ["in", "u", 1, 4, 4],
        ["view", "u", 1, 5, 5], ["in", "u", 1, 5, 5],
    ]  # fmt: skip


def test_a_repeat_is_not_joined() -> None:
    journal = Journal()
    journal.took("in", "t", 0, 5, 9)
    journal.took("in", "t", 0, 9, 12)
    assert taken(journal) == [["in", "t", 0, 5, 9], ["in", "t", 0, 9, 12]]


def test_what_lies_between_keeps_runs_apart() -> None:
    journal = Journal()
    journal.took("in", "t", 0, 0, 0)
    journal.tick(7)
    journal.took("in", "t", 0, 1, 1)
    assert taken(journal) == [["in", "t", 0, 0, 0], ["tick", 7], ["in", "t", 0, 1, 1]]


def test_ticks_in_a_row_are_the_last_one() -> None:
    journal = Journal()
    for at in (5, 6, 9):
        journal.tick(at)
    assert taken(journal) == [["tick", 9]]


def test_a_start_tells_view_offsets_in_order() -> None:
    journal = Journal()
    journal.start({"policies:0": 2, "assets:0": 5}, 77)
    data = journal.take()
    assert data is not None
    assert b'["start",{"assets:0":5,"policies:0":2},77' in data


def test_taking_empties_it_and_an_empty_one_gives_nothing() -> None:
    journal = Journal()
    assert journal.take() is None
    journal.tick(1)
    assert journal.take() is not None
    assert journal.take() is None
