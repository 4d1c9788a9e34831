"""Times as they stand in recorded series -> event time in ms."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from schemas.records import EARLIEST_AT, LATEST_AT

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_AMERICAN = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})[ T]+(\d{1,2}):(\d{2})(?::(\d{2}))?")


class TimestampError(ValueError):
    """The text is no time in a form that is read; the message says which are."""


def event_time_ms(text: str) -> int:
    """ISO 8601, `MM/DD/YYYY HH:MM[:SS]` or epoch seconds (fractions allowed); without an offset it is UTC.

    Raises TimestampError, also for times before 1970 or after 2100: there, the unit is wrong.
    """
    stripped = text.strip()
    at_ms = _parse(stripped)
    if not EARLIEST_AT <= at_ms <= LATEST_AT:
        hint = " (epoch seconds are expected, not milliseconds)" if _NUMBER.fullmatch(stripped) else ""
        raise TimestampError(f"{text!r} is before 1970 or after 2100{hint}")
    return at_ms


def in_zone(text: str, zone: str) -> str:
    """A time without an offset, as the clock in a time zone shows it, with its offset; others as they are.

    Raises TimestampError for an unknown zone.
    """
    try:
        named = ZoneInfo(zone)
    except (KeyError, OSError, ValueError) as error:
        raise TimestampError(f"{zone!r} is no time zone of the IANA data base") from error
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return text
    return text if moment.tzinfo else moment.replace(tzinfo=named).isoformat()


def _parse(text: str) -> int:
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
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
