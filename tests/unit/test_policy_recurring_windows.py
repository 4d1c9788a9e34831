"""Maintenance windows that come again, at the wall clock of their zone, also where the clock is put forward or back."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from schemas.codec import decode, encode
from schemas.records import Pause, PolicyRecord, RegisteredAsset
from schemas.recurrence import named_zone
from streams.kit.world import World
from streams.policy.modes import pause_ends, paused, pauses_used
from topology.sources.timestamps import event_time_ms

ASSET = RegisteredAsset(id="a", tenant="acme")
BERLIN = "Europe/Berlin"


def at(text: str, zone: str = BERLIN) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def sundays(
    begin: str = "2026-01-04T02:00", end: str = "2026-01-04T04:00", rule: str = "FREQ=WEEKLY;BYDAY=SU"
) -> World:
    return world(Pause(holder="upgrade", starts_at=at(begin), until=at(end), rrule=rule, zone=BERLIN))


def world(pause: Pause) -> World:
    known = World()
    known.policies["w"] = PolicyRecord(id="w", kind="pause", version="1", at=1, pause=pause)
    return known


def holds(known: World, text: str) -> bool:
    return paused(known, ASSET, at(text)) == "upgrade"


def test_a_window_of_sundays_holds_on_sundays_from_two_to_four_and_not_before_the_first():
    w = sundays()
    assert [holds(w, f"2026-06-{day}T02:30") for day in ("06", "07", "08", "14")] == [False, True, False, True]
    assert [holds(w, f"2026-06-07T{clock}") for clock in ("01:59", "02:00", "03:59", "04:00")] == [
        False,
        True,
        True,
        False,
    ]
    assert not holds(w, "2025-12-28T03:00")
    assert holds(w, "2026-01-04T02:00")
    assert pause_ends(w, ASSET, at("2026-06-07T02:30")) == at("2026-06-07T04:00")
    (used,) = pauses_used(w, ASSET, at("2026-06-07T02:30"))
    assert used.reason == "paused by upgrade from 2026-06-07T00:00:00Z until 2026-06-07T02:00:00Z"


def test_where_the_clock_is_put_forward_over_the_start_it_begins_by_the_offset_of_before():
    """29 March 2026: 02:00 does not exist. In winter time it would be 03:00 of summer time; 04:00 is an hour later."""
    w = sundays()
    hours = [paused(w, ASSET, at(f"2026-03-29T00:{m}0", "UTC")) for m in range(6)]
    assert hours == [None] * 6
    assert paused(w, ASSET, at("2026-03-29T01:00", "UTC")) == "upgrade"
    assert pause_ends(w, ASSET, at("2026-03-29T01:00", "UTC")) == at("2026-03-29T02:00", "UTC")


def test_where_the_clock_is_put_back_it_lasts_an_hour_longer():
    """25 October 2026: 02:00 comes twice, and the first one counts."""
    w = sundays()
    found = [
        paused(w, ASSET, at(f"2026-10-{clock}", "UTC")) for clock in ("24T23:59", "25T00:00", "25T02:59", "25T03:00")
    ]
    assert found == [None, "upgrade", "upgrade", None]


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins():
    w = sundays("2026-01-04T23:00", "2026-01-05T01:00")
    assert [holds(w, t) for t in ("2026-06-07T23:30", "2026-06-08T00:30", "2026-06-08T23:30")] == [True, True, False]


def test_every_day_and_the_second_tuesday_and_the_last_friday():
    daily = sundays(rule="FREQ=DAILY")
    assert all(holds(daily, f"2026-06-{day:02d}T03:00") for day in range(1, 31))
    second = sundays("2026-01-13T02:00", "2026-01-13T04:00", "FREQ=MONTHLY;BYDAY=2TU")
    last = sundays("2026-01-30T02:00", "2026-01-30T04:00", "FREQ=MONTHLY;BYDAY=-1FR")
    assert [d for d in range(1, 31) if holds(second, f"2026-06-{d:02d}T03:00")] == [9]
    assert [d for d in range(1, 31) if holds(last, f"2026-06-{d:02d}T03:00")] == [26]


def test_a_rule_without_days_takes_the_first_window_s_and_until_ends_it():
    w = sundays(rule="FREQ=WEEKLY;UNTIL=20260601T000000Z")
    assert holds(w, "2026-05-31T03:00")
    assert not holds(w, "2026-06-07T03:00")


@pytest.mark.parametrize(
    "fields",
    [
        {"rrule": "FREQ=YEARLY"},
        {"rrule": "FREQ=WEEKLY;BYDAY=2TU"},
        {"rrule": "FREQ=MONTHLY"},
        {"rrule": "FREQ=WEEKLY;BYDAY=XX"},
        {"rrule": "FREQ=WEEKLY;INTERVAL=2"},
        {"rrule": "FREQ=WEEKLY;UNTIL=tomorrow"},
        {"rrule": "FREQ=DAILY", "until": at("2026-01-05T02:00")},
        {"rrule": "FREQ=DAILY", "zone": "Europe/Atlantis"},
        {"rrule": "FREQ=DAILY", "until": None},
        {"zone": BERLIN},
    ],
)
def test_a_rule_that_would_not_be_what_it_says_is_refused(fields):
    first = {"starts_at": at("2026-01-04T02:00"), "until": at("2026-01-04T04:00")}
    with pytest.raises(ValidationError):
        Pause.model_validate({"holder": "upgrade", **first, **fields})


def test_a_recurring_window_goes_over_the_wire():
    record = sundays().policies["w"]
    assert decode((PolicyRecord,), encode(record)) == record


def test_a_time_without_an_offset_is_what_the_clock_of_the_zone_shows():
    berlin = named_zone(BERLIN)
    assert event_time_ms("2026-07-05T02:00", berlin) == at("2026-07-05T00:00", "UTC")
    assert event_time_ms("07/05/2026 02:00", berlin) == at("2026-07-05T00:00", "UTC")
    assert event_time_ms("2026-07-05T02:00Z", berlin) == at("2026-07-05T02:00", "UTC")
    with pytest.raises(ValueError, match="no time zone"):
        named_zone("Europe/Atlantis")
