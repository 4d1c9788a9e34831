"""The times of the last accepted samples, so that a repeated late one is recognised: 12 of them, 4 bytes each.

Only the low 32 bits of a time are kept: what is 24 days older than the newest is forgotten, the grace is at most one.
"""

from __future__ import annotations

from streams.kit.kernel import kernel
from streams.telemetry.record import STAMPS, SeriesRecord

LOW = 0xFFFFFFFF
SPAN_MS = 1 << 31


@kernel
def remember(s: SeriesRecord, at: int) -> None:
    """`at` is newer than all before it; `s.last_at` is still the one before."""
    if at - s.last_at >= SPAN_MS:
        s.remembered = 0
    for i in range(STAMPS - 1):
        s.stamps[i] = s.stamps[i + 1]
    s.stamps[STAMPS - 1] = at & LOW
    s.remembered = min(s.remembered + 1, STAMPS)
    while (at - int(s.stamps[STAMPS - s.remembered])) & LOW >= SPAN_MS:
        s.remembered -= 1


@kernel
def ago(s: SeriesRecord, i: int) -> int:
    """How much older than `last_at` the stamp `i` is, ms."""
    return int(s.last_at - s.stamps[i]) & LOW


@kernel
def remember_late(s: SeriesRecord, at: int) -> None:
    """`at` is older than `last_at`; the oldest stamp goes if there is no room."""
    i = STAMPS - s.remembered - 1
    if s.remembered < STAMPS:
        s.remembered += 1
    else:
        i = 0
    while i + 1 < STAMPS and ago(s, i + 1) > s.last_at - at:
        s.stamps[i] = s.stamps[i + 1]
        i += 1
    s.stamps[i] = at & LOW


@kernel
def is_remembered(s: SeriesRecord, at: int) -> bool:
    """Was a sample of time `at` (<= `last_at`) among the last ones?"""
    found = False
    for i in range(STAMPS - s.remembered, STAMPS):
        if ago(s, i) == s.last_at - at:
            found = True
    return found


@kernel
def oldest(s: SeriesRecord) -> int:
    """Time of the oldest remembered sample; needs one."""
    return s.last_at - ago(s, STAMPS - s.remembered)
