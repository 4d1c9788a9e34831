"""The driver of a layer: order of timers and events, one heap entry a row, stuck timers are an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from schemas.records import HealthSignal
from streams.kit.layer import Emission, Event, Step
from streams.kit.partition import Partition, TimerStuckError


@dataclass(frozen=True)
class Row:
    last: int
    due: int | None


class Echo:
    """Emits each event, arms a timer `delay` later, and emits when it fires."""

    name = "echo"
    inputs = ("health-signals",)
    views = ("performance", "policies")

    def __init__(self, delay: int, repeat: bool = False, stuck: bool = False) -> None:
        self.delay, self.repeat, self.stuck = delay, repeat, stuck

    def new_view(self) -> list[Event]:
        return []

    def see(self, view: list[Event], event: Event) -> None:
        view.append(event)

    def step(self, rows: Mapping[str, Row], view: list[Event], event: Event, now: int) -> Step[Row]:
        return Step({event.key: Row(event.at, now + self.delay)}, (self._emit("event", event.key, now),))

    def on_view(self, rows: Mapping[str, Row], view: list[Event], event: Event, now: int) -> Step[Row]:
        return Step({}, (self._emit("view", event.key, now),))

    def due_at(self, row: Row) -> int | None:
        return row.due

    def on_timer(self, rows: Mapping[str, Row], view: list[Event], key: str, now: int) -> Step[Row]:
        if self.stuck:
            return Step()
        due = now + self.delay if self.repeat else None
        return Step({key: Row(rows[key].last, due)}, (self._emit("timer", key, now),))

    def encode_row(self, row: Row) -> bytes:
        return repr(row).encode()

    def decode_row(self, data: bytes) -> Row:
        raise NotImplementedError

    def _emit(self, what: str, key: str, now: int) -> Emission:
        return Emission(what, key, None, now, what)


def signal(key: str, at: int) -> Event:
    return Event("health-signals", key, HealthSignal(asset_id=key, metric="m", value=1.0, at=at), at, "c")


def told(emissions: list[Emission]) -> list[tuple[str, str, int]]:
    return [(e.topic, e.key, e.at) for e in emissions]


def test_timers_fire_before_the_event_that_is_past_them_and_in_order_of_due_then_key() -> None:
    partition = Partition(Echo(15), [])
    partition.on_event(signal("b", 10))
    partition.on_event(signal("a", 10))
    assert told(partition.on_event(signal("c", 40))) == [("timer", "a", 25), ("timer", "b", 25), ("event", "c", 40)]
    assert partition.clock == 40


def test_a_late_event_does_not_turn_the_clock_back() -> None:
    partition = Partition(Echo(5), [])
    partition.on_event(signal("a", 100))
    assert told(partition.on_event(signal("b", 50))) == [("event", "b", 100)]


def test_a_timer_that_is_moved_by_each_event_keeps_one_heap_entry_and_fires_once() -> None:
    partition = Partition(Echo(30), [])
    for at in range(0, 1000, 10):
        assert told(partition.on_event(signal("a", at))) == [("event", "a", at)]
    assert len(partition._timers) == 1
    assert told(partition.advance(5000)) == [("timer", "a", 1020)]


def test_a_repeating_timer_fires_at_each_of_its_times() -> None:
    partition = Partition(Echo(10, repeat=True), [])
    partition.on_event(signal("a", 0))
    assert [e.at for e in partition.advance(45)] == [10, 20, 30, 40]


def test_only_data_derived_views_move_the_clock() -> None:
    partition = Partition(Echo(10), [])
    partition.on_event(signal("a", 0))
    assert told(partition.on_view(Event("policies", "p", None, 10_000, "c"))) == [("view", "p", 0)]
    assert told(partition.on_view(Event("performance", "a", None, 20, "c"))) == [("timer", "a", 10), ("view", "a", 20)]


def test_timers_survive_a_reload_of_the_rows() -> None:
    partition = Partition(Echo(10), [])
    partition.on_event(signal("a", 0))
    reloaded = Partition(Echo(10), [], dict(partition.rows), partition.clock)
    assert told(reloaded.advance(10)) == [("timer", "a", 10)]


def test_changes_are_taken_once_and_hold_the_newest_row() -> None:
    partition = Partition(Echo(10), [])
    partition.on_event(signal("a", 0))
    partition.on_event(signal("a", 1))
    assert partition.take_changes() == {"a": Row(1, 11)}
    assert partition.take_changes() == {}


def test_a_timer_that_never_moves_on_is_an_error_and_not_an_endless_loop() -> None:
    partition = Partition(Echo(10, stuck=True), [])
    partition.on_event(signal("a", 0))
    with pytest.raises(TimerStuckError, match="echo"):
        partition.advance(100)
