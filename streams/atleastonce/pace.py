"""How often the partitions of an app may write: a share of a core, given in the order in which they ask. Pure.

    cost of a flush (CPU s)   c1          c2            c3
    may begin at             |-- c1/share --|-- c2/share --|-- c3/share --|   at once, if nothing was written lately

A turn may begin `ahead_s` before its place in that row: outputs which come at about the same time do not wait for one
another, while no more is written in the long run. A flush with few rows costs next to nothing. Under full load
thousands of rows change between any two flushes: what a flush costs beyond `SMALL_S` is taken from a smaller share,
since the same rows would only be written more often.
"""

from __future__ import annotations

SMALL_S = 0.005
"""CPU of a flush of some hundred rows."""


class Pace:
    """`share` of one core that flushing may take, `bulk_share` of it large flushes; nobody waits for longer than
    `most_s` for its turn. Of the time that flushes reserve, `ahead_s` may be in use before it is there."""

    def __init__(self, share: float, most_s: float, bulk_share: float | None = None, ahead_s: float = 0.0) -> None:
        self._share, self._most_s, self._ahead_s = share, most_s, ahead_s
        self._bulk_share = share if bulk_share is None else min(share, bulk_share)
        self._free_at_s = 0.0

    def turn_s(self, expected_cost_s: float, now_s: float) -> float:
        """Reserves a turn for a flush of that cost; gives when it may begin, at the earliest `now_s`."""
        begin_s = min(max(self._free_at_s - self._ahead_s, now_s), now_s + self._most_s)
        free_at_s = max(now_s, min(self._free_at_s, begin_s + self._ahead_s))
        self._free_at_s = free_at_s + self._time_s(expected_cost_s)
        return begin_s

    def correct(self, expected_cost_s: float, cost_s: float) -> None:
        """What a turn really cost: the turns reserved from now on are earlier or later by the difference."""
        self._free_at_s += self._time_s(cost_s) - self._time_s(expected_cost_s)

    def _time_s(self, cost_s: float) -> float:
        """In which nothing else is flushed."""
        small_s = min(cost_s, SMALL_S)
        return small_s / self._share + (cost_s - small_s) / self._bulk_share
