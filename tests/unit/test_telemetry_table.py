"""The parts of the table of series, each against the plain thing it stands for."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.kit import ids
from streams.telemetry import causes, timers
from streams.telemetry.keys import Keys
from streams.telemetry.places import key_of
from streams.telemetry.record import SERIES
from streams.telemetry.state import SeriesState, encode
from streams.telemetry.table import SeriesTable


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.binary(max_size=12), max_size=40), max_size=6), st.lists(st.binary(max_size=12), max_size=40)
)
def test_keys_are_found_where_they_were_put(added: list[list[bytes]], asked: list[bytes]) -> None:
    keys, expected = Keys(), dict[bytes, int]()
    for some in added:
        new = [key for key in dict.fromkeys(some) if key not in expected]
        expected |= {key: len(expected) + i for i, key in enumerate(new)}
        keys.add(new)
    wanted = [*expected, *asked]
    assert keys.slots_of(wanted) == [expected.get(key, -1) for key in wanted]
    assert [keys.slot_of(key) for key in wanted] == keys.slots_of(wanted)
    assert (
        keys.of(np.arange(len(expected), dtype=np.int32))
        == [keys[slot] for slot in range(len(expected))]
        == list(expected)
    )


@settings(max_examples=100, deadline=None)
@given(st.text(), st.text())
def test_the_key_of_a_series_is_its_row_key(asset_id: str, metric: str) -> None:
    assert key_of(asset_id, metric).decode() == ids.row_key("series", asset_id, metric)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 1_000)), max_size=120), st.integers(1, 40))
def test_timers_fire_as_a_plain_heap_would(moves: list[tuple[int, int]], every: int) -> None:
    """Timers are moved later by their record alone, sooner by `arm`; what is due is taken every now and then."""
    records, entries = np.zeros(10, SERIES), timers.empty(10)
    for step, (slot, due) in enumerate(moves):
        records[slot]["timer_at"] = due
        timers.arm(entries, slot, due)
        if step % every:
            continue
        wanted = [(int(at), slot) for slot, at in enumerate(records["timer_at"]) if at]
        heapq.heapify(wanted)
        assert timers.earliest(entries, records) == (wanted[0][0] if wanted else timers.NEVER)
        if wanted:
            found = np.zeros(10, np.int32)
            count = timers.take_due(entries, records, wanted[0][0], found)
            assert sorted(found[:count].tolist()) == sorted(slot for due, slot in wanted if due == wanted[0][0])
            records["timer_at"][found[:count]] = 0


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("health-signals:3:17", (17, -1)),
        ("health-signals:3:17#4", (17, 4)),
        ("a:0:0#0", (0, 0)),
        ("anomaly-0f3a", (-1, -1)),
        ("t:0:007", (-1, -1)),
        ("t:0:1#01", (-1, -1)),
        ("t:0:99999999999999999999", (-1, -1)),
        (":1", (-1, -1)),
        ("", (-1, -1)),
        ("line\nbreak:5", (5, -1)),
    ],
)
def test_a_cause_is_kept_as_numbers_where_they_give_its_name_back(name: str, numbers: tuple[int, int]) -> None:
    cause = causes.read(name)
    assert (cause.number, cause.row) == numbers
    assert cause.name() == name


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab:#01 29", max_size=12))
def test_every_name_of_a_cause_survives(name: str) -> None:
    assert causes.read(name).name() == name


def test_what_was_taken_for_a_flush_does_not_change_with_the_table() -> None:
    table = SeriesTable()
    row = SeriesState("ms", "t:0:5#1")
    row.samples, row.timer_at = 3, 50
    (slot,) = table.add([b"one"])
    table.put(slot, row)
    table.note(slot)
    taken = table.snapshot(table.take_changes())
    table.end(slot)
    table.add([b"%d" % i for i in range(500)])
    assert list(taken) == [(b"one", encode(row))]
    assert list(table.snapshot(table.take_changes())) == [(b"one", None)]


def test_a_series_takes_less_than_a_kilobyte_of_memory_with_its_key_timer_and_place() -> None:
    count, table = 100_000, SeriesTable()
    table.add([key_of(f"asset-{i // 25:05d}", f"metric_{i % 25}_ms") for i in range(count)])
    per_slot = (table._bytes, table.unit, table.prefix, *table.timers[:3], table.changes.slots, table.changes.is_in)
    keys = table.keys
    size = sum(a.itemsize * a[0].size for a in per_slot)
    size += (int(keys._ends[keys.count]) + keys._ends.nbytes + keys._table.nbytes) / count
    assert size < 1_000
