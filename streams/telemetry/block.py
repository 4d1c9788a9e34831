"""The loop over the samples of many series, compiled. It stops where only the caller can go on.

It goes sample by sample, in the order in which they came: first the timers that are due by a sample's time, then the
sample. So nothing depends on where a block begins or ends.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.kit.kernel import kernel
from streams.telemetry.facts import FACTS, write_facts
from streams.telemetry.incident import NONE
from streams.telemetry.monitor import DUPLICATE, LATE, TOO_LATE, PatienceRecord, is_overdue, look_at, order
from streams.telemetry.observing import absorb_late, observe, usable
from streams.telemetry.record import SeriesRecord
from streams.telemetry.rounding import POWERS
from streams.telemetry.scratch import ReadingRecord, SettingsRecord
from streams.telemetry.timers import Timers, arm, earliest

DONE, TIMER, STRANGER, SILENCE, FULL = range(5)
"""Why the loop stops before a sample: it was the last; a timer is due by its time; its series has no slot, or none
that lives; it ends an absence; there is no more room in `told`."""
UNRESOLVED, REFUSED = -1, -2
"""Instead of a slot: not looked up yet; its samples are refused for their unit."""
TOLD = 64


class Samples(NamedTuple):
    """Sample i is of series `number[i]`; it came with message `cause_number[i]`, row `cause_row[i]`."""

    number: NDArray[np.int32]
    at: NDArray[np.int64]
    value: NDArray[np.float64]
    cause_number: NDArray[np.int64]
    cause_row: NDArray[np.int32]


class Places(NamedTuple):
    """By series number: its slot, and the factor from its unit to the canonical one."""

    slot: NDArray[np.int32]
    factor: NDArray[np.float64]


class Changes(NamedTuple):
    """Slots written since they were last taken: `slots[:size[0]]`, each once; `is_in[slot]` tells."""

    slots: NDArray[np.int32]
    is_in: NDArray[np.uint8]
    size: NDArray[np.int64]


class Told(NamedTuple):
    """What there is to tell: the first `size[0]` entries of `facts`; `powers` are `rounding.POWERS`."""

    facts: NDArray[np.void]
    size: NDArray[np.int64]
    powers: NDArray[np.float64]


def nothing_told() -> Told:
    return Told(np.zeros(TOLD, FACTS), np.zeros(1, np.int64), POWERS)


@kernel
def run(
    start: int,
    is_welcome: bool,
    samples: Samples,
    places: Places,
    records: NDArray[np.void],
    timers: Timers,
    changes: Changes,
    told: Told,
    clock: NDArray[np.int64],
    prefixes: NDArray[np.int32],
    prefix: int,
    c: SettingsRecord,
    p: PatienceRecord,
    m: ReadingRecord,
) -> tuple[int, int]:
    """Takes the samples from `start` on; gives the row of the first that was not taken, and why.

    `is_welcome`: the caller has done what the first sample was waiting for. `clock[0]` becomes the greatest time so
    far; `prefixes[slot]` becomes `prefix`, the name before the cause's number.
    """
    for row in range(start, len(samples.at)):
        at = samples.at[row]
        number = samples.number[row]
        slot = places.slot[number]
        x = samples.value[row] * places.factor[number]
        if not (is_welcome and row == start):
            if timers.size[0] > 0 and timers.due[0] <= at and earliest(timers, records) <= at:
                return row, TIMER
            if at > clock[0]:
                clock[0] = at
            if not usable(x):
                continue
            if slot < 0 or records[slot].samples == 0:
                return row, STRANGER
            if at <= records[slot].last_at:
                if _is_learned(records[slot], c, p, at, x):
                    note(changes, slot)
                continue
            if records[slot].absent_at != 0 or is_overdue(records[slot], p, at):
                return row, SILENCE
            if told.size[0] == TOLD:
                return row, FULL
        s = records[slot]
        kind = s.kind
        change = observe(s, c, m, at, x)[1]
        s.cause_number = samples.cause_number[row]
        s.cause_row = samples.cause_row[row]
        prefixes[slot] = prefix
        note(changes, slot)
        s.timer_at = look_at(s, p)
        arm(timers, slot, s.timer_at)
        if change != NONE:
            k = told.size[0]
            write_facts(told.facts[k], told.powers, slot, row, change, kind, s, c, m)
            told.size[0] = k + 1
    return len(samples.at), DONE


@kernel
def _is_learned(s: SeriesRecord, c: SettingsRecord, p: PatienceRecord, at: int, x: float) -> bool:
    """A sample that is not newer than the last one: does the record change?"""
    found = order(s, p, at)
    if found == LATE:
        absorb_late(s, c, at, x)
    elif found == TOO_LATE:
        s.late_dropped += 1
    return found != DUPLICATE


@kernel
def note(changes: Changes, slot: int) -> None:
    """The record in `slot` was written."""
    if not changes.is_in[slot]:
        changes.is_in[slot] = 1
        changes.slots[changes.size[0]] = slot
        changes.size[0] += 1
