"""Times as they stand in recorded series -> event time in ms."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, tzinfo

from schemas.records import EARLIEST_AT, LATEST_AT

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_AMERICAN = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})[ T]+(\d{1,2}):(\d{2})(?::(\d{2}))?")


class TimestampError(ValueError):
    """The text is no time in a form that is read; the message says which are."""


def event_time_ms(text: str, zone: tzinfo = UTC) -> int:
    """ISO 8601, `MM/DD/YYYY HH:MM[:SS]` or epoch seconds (fractions allowed).

    A time of day without an offset is what a clock in `zone` shows.

    Raises TimestampError, also for times before 1970 or after 2100: there, the unit is wrong.
    """
    stripped = text.strip()
    at_ms = _parse(stripped, zone)
    if not EARLIEST_AT <= at_ms <= LATEST_AT:
        hint = " (epoch seconds are expected, not milliseconds)" if _NUMBER.fullmatch(stripped) else ""
        raise TimestampError(f"{text!r} is before 1970 or after 2100{hint}")
    return at_ms


def _parse(text: str, zone: tzinfo) -> int:
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        return round(seconds * 1000) if math.isfinite(seconds * 1000) else LATEST_AT + 1
    try:
        if american := _AMERICAN.fullmatch(text):
            month, day, year, hour, minute, second = (int(part or 0) for part in american.groups())
            moment = datetime(year, month, day, hour, minute, second)
        else:
            moment = datetime.fromisoformat(text)
    except ValueError:
        raise TimestampError(
            f"{text!r} is neither ISO 8601 nor MM/DD/YYYY HH:MM nor epoch seconds" if text else "the timestamp is empty"
        ) from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1000)
