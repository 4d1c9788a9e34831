"""Who runs which sources, and with which fencing epoch. Pure.

The slots (partitions of a small compacted topic) are shared out by Kafka's consumer group. A new owner reads its slot
to the end and then claims it: the epoch is higher than any before it in the log, and counts once it has been read
back. What an instance that was cut off still sends bears a lower epoch, and discovery drops it.

    assigned --read to the end--> claiming --own claim read back--> holding
       ^                             ^                                 |
       +-- revoked ------------------+-- a higher claim of another ----+
"""

from __future__ import annotations

from dataclasses import dataclass

SLOTS = 16
"""Partitions of the topic: the most instances that share the sources."""


@dataclass(slots=True)
class Slot:
    """One that this instance is assigned. Epochs are ms at least, so that they rise even if the topic is made anew."""

    highest: int = 0
    claimed: int | None = None
    """The epoch of the claim that was sent; None = not yet."""
    holding: bool = False

    def at_end(self, now_ms: int) -> int | None:
        """The slot has been read to its end: the epoch to claim, or None if one is under way or held."""
        return self._claim(now_ms) if self.claimed is None else None

    def read(self, epoch: int, own: bool, now_ms: int) -> int | None:
        """A claim of the log, `own` if of this process. Gives the epoch to claim anew if another's is higher."""
        self.highest = max(self.highest, epoch)
        if self.claimed is None:
            return None
        if own and epoch == self.claimed and self.highest == epoch:
            self.holding = True
        elif not own and epoch >= self.claimed:
            return self._claim(now_ms)
        return None

    def _claim(self, now_ms: int) -> int:
        self.claimed, self.holding = max(self.highest + 1, now_ms), False
        return self.claimed
