"""Windows that come again: a subset of RFC 5545 recurrence rules, as a pure function of event time.

`FREQ=DAILY`, `FREQ=WEEKLY[;BYDAY=SU,TU]`, `FREQ=MONTHLY;BYDAY=2TU` (`-1SU` = the last); `;UNTIL=20271231T000000Z` ends.
The first window gives the wall clock times of all, in the named zone: where the clock is put forward over the start, it
begins by the offset of before, where it is put back the first of the two times counts (RFC 5545, 3.3.5).
"""

from __future__ import annotations

import math
import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
LONGEST = {"DAILY": timedelta(days=1), "WEEKLY": timedelta(days=7), "MONTHLY": timedelta(days=7)}
"""Of one window, so that no two of a rule overlap."""
_DAY = re.compile(r"([+-]?[1-5])?(MO|TU|WE|TH|FR|SA|SU)")


@dataclass(frozen=True, slots=True)
class Recurrence:
    """`days`: (which of the month, 0 = each; weekday, Monday = 0); empty = every day."""

    days: tuple[tuple[int, int], ...]
    zone: ZoneInfo
    begin: datetime
    end: datetime
    """Wall clock of the first window, without an offset."""
    first_at: int
    last_at: int | None
    """No window begins later, event time ms; None = it goes on."""

    def window(self, now: int) -> tuple[int, int] | None:
        """Start and end (excluded) of the window that holds at `now`, all event time ms; None = none does."""
        today = datetime.fromtimestamp(now / 1000, self.zone).date()
        for back in range(math.ceil((self.end - self.begin) / timedelta(days=1)) + 1):
            day = today - timedelta(days=back)
            if self._is_one(day):
                begin_at = self._at(day, self.begin)
                end_at = self._at(day + (self.end.date() - self.begin.date()), self.end)
                if begin_at <= now < end_at and self.first_at <= begin_at <= (self.last_at or begin_at):
                    return begin_at, end_at
        return None

    def _is_one(self, day: date) -> bool:
        return not self.days or any(w == day.weekday() and n in (0, *_numbers(day)) for n, w in self.days)

    def _at(self, day: date, clock: datetime) -> int:
        return round(datetime.combine(day, clock.time(), self.zone).timestamp() * 1000)


def _numbers(day: date) -> tuple[int, int]:
    """The how manieth of its weekday a day is in its month, from the start and from the end."""
    left = monthrange(day.year, day.month)[1] - day.day
    return (day.day - 1) // 7 + 1, -(left // 7 + 1)


@lru_cache(maxsize=1024)
def parse(rule: str, zone: str, starts_at: int, until: int) -> Recurrence:
    """`starts_at`, `until`: the first window, event time ms. Raises ValueError for what is no such rule or zone."""
    fields = dict(part.partition("=")[::2] for part in rule.split(";"))
    frequency, days, last = (fields.pop(name, "") for name in ("FREQ", "BYDAY", "UNTIL"))
    daily_by_day, monthly_by_none = frequency == "DAILY" and days, frequency == "MONTHLY" and not days
    if frequency not in LONGEST or fields or daily_by_day or monthly_by_none:
        known = "FREQ=DAILY, FREQ=WEEKLY[;BYDAY=SU,..], FREQ=MONTHLY;BYDAY=2TU [;UNTIL=..Z]"
        raise ValueError(f"{rule!r} is none of {known}")
    named = named_zone(zone)
    begin, end = (datetime.fromtimestamp(at / 1000, named).replace(tzinfo=None) for at in (starts_at, until))
    if not timedelta(0) < end - begin < LONGEST[frequency]:
        raise ValueError(
            f"a window of {rule!r} lasts less than {LONGEST[frequency].days} days and ends after it begins"
        )
    chosen = tuple(_day(name, frequency) for name in days.split(",")) if days else ()
    if frequency == "WEEKLY" and not chosen:
        chosen = ((0, begin.weekday()),)
    return Recurrence(chosen, named, begin, end, starts_at, _last(last) if last else None)


def named_zone(name: str) -> ZoneInfo:
    """Raises ValueError for what is no time zone."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"{name!r} is no time zone of the IANA data base") from error


def _day(name: str, frequency: str) -> tuple[int, int]:
    found = _DAY.fullmatch(name)
    if found is None or (found[1] is not None) != (frequency == "MONTHLY"):
        raise ValueError(f"BYDAY={name}: {'2TU or -1SU' if frequency == 'MONTHLY' else 'MO, TU, ...'} is expected")
    return int(found[1] or 0), DAYS.index(found[2])


def _last(text: str) -> int:
    return round(datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() * 1000)
