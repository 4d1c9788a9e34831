"""A column of times as they stand -> event times in ms: as `timestamps.event_time_ms` reads each, but many at once.

The first text says which form the column has and where its digits are. Texts of that very form are read together; all
others (another length, another separator, a 31st of June) are left to `event_time_ms`, so that both always agree.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from schemas.records import EARLIEST_AT, LATEST_AT
from topology.sources.timestamps import TimestampError, event_time_ms

UNREADABLE = -1
"""Stands where a text is no time that is read; no event time is below 0."""

Integers: TypeAlias = NDArray[np.int64]
Span: TypeAlias = tuple[int, int]

_FORMS = tuple(
    re.compile(form, re.ASCII)
    for form in (
        r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)[ T](?P<hour>\d\d):(?P<minute>\d\d)"
        r"(?::(?P<second>\d\d)(?:\.(?P<ms>\d{3})(?:000)?)?)?(?:Z|[+-]\d\d:\d\d)?",
        r"(?P<month>\d\d)/(?P<day>\d\d)/(?P<year>\d{4})[ T](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d))?",
        r"(?P<epoch_s>\d{1,10})",
    )
)
"""What no group holds (separators, the offset from UTC) must be the same in all texts that are read at once."""


def event_times_ms(texts: Sequence[str]) -> Integers:
    """int64[len(texts)], ms; UNREADABLE where `event_time_ms` would raise."""
    at = np.full(len(texts), UNREADABLE, np.int64)
    if texts and (fields := _fields_of(texts[0])) is not None:
        _read_alike(texts, fields, at)
    for i in np.flatnonzero(at == UNREADABLE).tolist():
        at[i] = _alone(texts[i])
    return at


def _fields_of(text: str) -> dict[str, Span] | None:
    match = next((found for form in _FORMS if (found := form.fullmatch(text))), None)
    return None if match is None else {name: match.span(name) for name, part in match.groupdict().items() if part}


def _alone(text: str) -> int:
    try:
        return event_time_ms(text)
    except TimestampError:
        return UNREADABLE


def _read_alike(texts: Sequence[str], fields: dict[str, Span], at: Integers) -> None:
    """Fills `at` where a text has the form of the first and is a time; the offset of the first holds for all."""
    first = _alone(texts[0])
    width = len(texts[0])
    alike = np.fromiter(map(len, texts), np.int64, len(texts)) == width
    joined = "".join(texts if alike.all() else [text for text in texts if len(text) == width])
    if first == UNREADABLE or not joined.isascii():
        return
    characters = np.frombuffer(joined.encode("ascii"), np.uint8).reshape(-1, width)
    values, good = _digits(characters, fields)
    local, exists = _local_ms(values)
    ms = local + (first - local[0])
    good &= exists & (ms >= EARLIEST_AT) & (ms <= LATEST_AT)
    at[np.flatnonzero(alike)[good]] = ms[good]


def _digits(characters: NDArray[np.uint8], fields: dict[str, Span]) -> tuple[dict[str, Integers], NDArray[np.bool_]]:
    """The number in each field, and which rows have digits in all fields and elsewhere what the first row has."""
    good = np.ones(len(characters), np.bool_)
    values = {}
    literal = np.ones(characters.shape[1], np.bool_)
    for name, (start, end) in fields.items():
        literal[start:end] = False
        value = np.zeros(len(characters), np.int64)
        for column in range(start, end):
            digit = characters[:, column] - np.uint8(ord("0"))  # wraps below "0", to more than 9
            good &= digit <= 9
            value = value * 10 + digit
        values[name] = value
    good &= (characters[:, literal] == characters[0, literal]).all(axis=1)
    return values, good


def _local_ms(values: dict[str, Integers]) -> tuple[Integers, NDArray[np.bool_]]:
    """ms since 1970 by the clock of the text, and which rows are times that there are."""
    if "epoch_s" in values:
        seconds = values["epoch_s"]
        return seconds * 1000, np.ones(len(seconds), np.bool_)
    year, month, day, hour, minute = (values[name] for name in ("year", "month", "day", "hour", "minute"))
    nothing = np.zeros_like(hour)
    second, ms = values.get("second", nothing), values.get("ms", nothing)
    this_month = (year - 1970) * 12 + month - 1
    start, end = _first_day(this_month), _first_day(this_month + 1)
    exists = (month >= 1) & (month <= 12) & (day >= 1) & (day <= end - start)
    exists &= (hour < 24) & (minute < 60) & (second < 60)
    minutes = ((start + day - 1) * 24 + hour) * 60 + minute
    return (minutes * 60 + second) * 1000 + ms, exists


def _first_day(month: Integers) -> Integers:
    """Days since 1970 of the first of each month (months since 1970)."""
    return month.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
