"""Periods of budgets: UTC, end to end, and every moment is in exactly one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.periods import HOUR_MS, PeriodError, parse
from schemas.records import Budget
from schemas.records.base import EARLIEST_AT, LATEST_AT

TEXTS = ("day", "week", "month", "P1D", "P1W", "PT1H", "PT36H", "P10D", "P1M", "P3M", "P1Y", "P1Y6M", "PT1H30M5S")


def ms(text):
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("period", "anchor", "at", "start", "end"),
    [
        ("day", None, "2026-03-01T00:00", "2026-03-01T00:00", "2026-03-02T00:00"),
        ("day", None, "2026-03-01T23:59:59.999", "2026-03-01T00:00", "2026-03-02T00:00"),
        ("week", None, "2026-03-01T12:00", "2026-02-23T00:00", "2026-03-02T00:00"),
        ("month", None, "2026-02-28T23:00", "2026-02-01T00:00", "2026-03-01T00:00"),
        ("month", None, "2024-02-29T00:00", "2024-02-01T00:00", "2024-03-01T00:00"),
        ("month", "2026-01-31T06:00", "2026-02-28T05:59", "2026-01-31T06:00", "2026-02-28T06:00"),
        ("month", "2026-01-31T06:00", "2026-02-28T06:00", "2026-02-28T06:00", "2026-03-31T06:00"),
        ("month", "2026-05-15T00:00", "2026-01-01T00:00", "2025-12-15T00:00", "2026-01-15T00:00"),
        ("P3M", None, "2026-12-31T00:00", "2026-10-01T00:00", "2027-01-01T00:00"),
        ("P1Y", None, "2026-12-31T00:00", "2026-01-01T00:00", "2027-01-01T00:00"),
        ("PT36H", "2026-01-01T12:00", "2026-01-03T00:00", "2026-01-03T00:00", "2026-01-04T12:00"),
        ("PT1H", None, "2026-01-01T00:59:59", "2026-01-01T00:00", "2026-01-01T01:00"),
    ],
)
def test_where_periods_begin_and_end(period, anchor, at, start, end):
    anchor_at = ms(anchor) if anchor is not None else None
    assert parse(period, anchor_at).bounds(ms(at)) == (ms(start), ms(end))


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "hour", "Day", "P1M1D", "P0D", "P1.5D", "-P1D", "PT59M", "P11Y", "P999999W"]
)
def test_what_is_no_period_is_refused_in_words_and_with_the_budget(text):
    with pytest.raises(PeriodError):
        parse(text)
    with pytest.raises(ValueError, match=r"not day, week, month|not between 1 hour and 10 years"):
        Budget(scope="*", limit_usd_per_hour=1, period=text)


def test_an_anchor_needs_a_period():
    with pytest.raises(ValueError, match="anchor_at without a period"):
        Budget(scope="*", limit_usd_per_hour=1, anchor_at=0)


times = st.integers(EARLIEST_AT, LATEST_AT)


@given(text=st.sampled_from(TEXTS), anchor=st.none() | times, at=times)
@example(text="month", anchor=ms("2024-02-29T00:00"), at=ms("2027-02-28T00:00"))
@example(text="P1Y", anchor=ms("2024-02-29T00:00"), at=ms("2028-02-29T00:00"))
def test_periods_lie_end_to_end(text, anchor, at):
    period = parse(text, anchor)
    start, end = period.bounds(at)
    assert start <= at < end
    assert end - start >= HOUR_MS
    assert period.bounds(start) == period.bounds(end - 1) == (start, end)
    assert period.bounds(end)[0] == end
    assert period.bounds(start - 1)[1] == start
