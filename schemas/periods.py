"""Calendar periods in UTC: a day, a week, a month, or any ISO 8601 duration, laid end to end from an anchor.

...|----- start <= at < end -----|----------|...      anchor: any of the bars
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * HOUR_MS
_NAMED: Final = {"day": "P1D", "week": "P1W", "month": "P1M"}
_FORM: Final = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_UNITS_MS: Final = (7 * _DAY_MS, _DAY_MS, HOUR_MS, 60_000, 1_000)
_MONDAY: Final = 4 * _DAY_MS
"""1970-01-05, the first Monday after the epoch."""
_MOST_MONTHS: Final = 120


class PeriodError(ValueError):
    """Not a period: its text says what one is."""


@dataclass(frozen=True, slots=True)
class Period:
    """`months` or `ms` is the length, the other is 0; `anchor_at` in ms is the start of one of them."""

    months: int
    ms: int
    anchor_at: int

    def bounds(self, at: int) -> tuple[int, int]:
        """(start, end) of the period that `at` is in, all UTC ms; `at` may be before the anchor."""
        if self.ms:
            start = self.anchor_at + (at - self.anchor_at) // self.ms * self.ms
            return start, start + self.ms
        guess = (at - self.anchor_at) // (31 * _DAY_MS * self.months)
        while self._start(guess + 1) <= at:
            guess += 1
        while self._start(guess) > at:
            guess -= 1
        return self._start(guess), self._start(guess + 1)

    def _start(self, number: int) -> int:
        """Of the so-many-th period after the anchor's; where a month has no such day, its last."""
        anchor = datetime.fromtimestamp(self.anchor_at // 1000, UTC)
        years, month = divmod(anchor.month - 1 + number * self.months, 12)
        year = anchor.year + years
        day = min(anchor.day, monthrange(year, month + 1)[1])
        moved = anchor.replace(year=year, month=month + 1, day=day)
        return round(moved.timestamp()) * 1000 + self.anchor_at % 1000


@lru_cache(maxsize=1024)
def parse(text: str, anchor_at: int | None = None) -> Period:
    """`day`, `week` (from Monday), `month` (from the 1st), or an ISO 8601 duration, of 1 hour to 10 years.

    Without an anchor multiples of weeks begin on a Monday, all else at the epoch. Raises PeriodError.
    """
    found = _FORM.fullmatch(_NAMED.get(text, text))
    years, months, *rest = (int(g) if g else 0 for g in found.groups()) if found is not None else (0, 0)
    length_ms = sum(count * unit for count, unit in zip(rest, _UNITS_MS, strict=False))
    length_months = 12 * years + months
    if bool(length_ms) == bool(length_months):
        raise PeriodError(f"{text!r} is not day, week, month, or an ISO 8601 duration of months or of weeks to seconds")
    if length_months > _MOST_MONTHS or (length_ms and not HOUR_MS <= length_ms <= 3_653 * _DAY_MS):
        raise PeriodError(f"{text!r} is not between 1 hour and 10 years")
    default = _MONDAY if length_ms and length_ms % (7 * _DAY_MS) == 0 else 0
    return Period(length_months, length_ms, default if anchor_at is None else anchor_at)
