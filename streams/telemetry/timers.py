"""Timers of a table of series: a binary heap over (due, slot) with one entry a slot. Kernels.

A sample mostly puts its series' timer off. The entry is left where it is then and moves only when it comes to the top,
so that a sample costs the heap nothing: an entry's `due` is never after its record's `timer_at`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.kit.kernel import kernel

NEVER = 2**63 - 1
NOWHERE = -1


class Timers(NamedTuple):
    """`due` and `slot` are the heap, in their first `size[0]` entries; `place[slot]` is where a slot's entry is."""

    due: NDArray[np.int64]
    slot: NDArray[np.int32]
    place: NDArray[np.int32]
    size: NDArray[np.int64]


def empty(capacity: int) -> Timers:
    """Room for one entry of each slot."""
    return Timers(
        np.zeros(capacity, np.int64),
        np.zeros(capacity, np.int32),
        np.full(capacity, NOWHERE, np.int32),
        np.zeros(1, np.int64),
    )


@kernel
def arm(timers: Timers, slot: int, due: int) -> None:
    """From now on the series may want its timer at `due`; an entry that is earlier already stays."""
    place = timers.place[slot]
    if place == NOWHERE:
        place = timers.size[0]
        timers.size[0] += 1
    elif timers.due[place] <= due:
        return
    while place > 0:
        above = (place - 1) >> 1
        if timers.due[above] <= due:
            break
        _put(timers, place, timers.due[above], timers.slot[above])
        place = above
    _put(timers, place, due, slot)


@kernel
def earliest(timers: Timers, records: NDArray[np.void]) -> int:
    """When the first timer is due, or NEVER. Late entries move to where their records want them."""
    while timers.size[0] > 0:
        due = records[timers.slot[0]].timer_at
        if due == timers.due[0]:
            return int(due)
        if due == 0:
            _drop_top(timers)
        else:
            _sink(timers, due, timers.slot[0])
    return NEVER


@kernel
def take_due(timers: Timers, records: NDArray[np.void], due: int, slots: NDArray[np.int32]) -> int:
    """Takes out the entries that are due at `due`, the earliest time; gives how many, and their `slots`."""
    count = 0
    while earliest(timers, records) == due:
        slots[count] = timers.slot[0]
        count += 1
        _drop_top(timers)
    return count


@kernel
def _drop_top(timers: Timers) -> None:
    timers.place[timers.slot[0]] = NOWHERE
    timers.size[0] -= 1
    last = timers.size[0]
    if last > 0:
        _sink(timers, timers.due[last], timers.slot[last])


@kernel
def _sink(timers: Timers, due: int, slot: int) -> None:
    """Puts an entry in the place of the top one."""
    size, place = timers.size[0], 0
    while True:
        below = 2 * place + 1
        if below >= size:
            break
        if below + 1 < size and timers.due[below + 1] < timers.due[below]:
            below += 1
        if timers.due[below] >= due:
            break
        _put(timers, place, timers.due[below], timers.slot[below])
        place = below
    _put(timers, place, due, slot)


@kernel
def _put(timers: Timers, place: int, due: int, slot: int) -> None:
    timers.due[place] = due
    timers.slot[place] = slot
    timers.place[slot] = place
