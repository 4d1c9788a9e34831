"""Flap damping: a series whose state changes in too many of its last 20 samples keeps one incident open meanwhile."""

from __future__ import annotations

from streams.kit.kernel import kernel
from streams.telemetry.record import SeriesRecord
from streams.telemetry.scratch import SettingsRecord

HISTORY_BITS = 21
HISTORY_MASK = (1 << HISTORY_BITS) - 1


@kernel
def note_state(s: SeriesRecord, abnormal: bool) -> None:
    """Keeps the last 21 states (1 = abnormal), newest in bit 0."""
    s.state_bits = (s.state_bits << 1 | (1 if abnormal else 0)) & HISTORY_MASK


@kernel
def flaps(s: SeriesRecord) -> int:
    """State changes among the last 20 samples."""
    changes, count = s.state_bits ^ s.state_bits >> 1, 0
    for i in range(HISTORY_BITS - 1):
        count += changes >> i & 1
    return count


@kernel
def holds(s: SeriesRecord, c: SettingsRecord) -> bool:
    """Is an incident that is quiet held open? Weighted as Icinga 2 does: the newest change 1.2, the oldest 0.8."""
    changes, share = s.state_bits ^ s.state_bits >> 1, 0.0
    for i in range(HISTORY_BITS - 1):
        if changes >> i & 1:
            share += (1.2 - 0.4 * i / (HISTORY_BITS - 2)) / (HISTORY_BITS - 1)
    s.flapping = 1 if share > (c.flap_off_share if s.flapping else c.flap_on_share) else 0
    return s.flapping == 1
