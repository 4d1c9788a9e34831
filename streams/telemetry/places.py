"""Where the series of a sender's table are: the slots of its numbers, remembered from message to message.

Tables are known by identity: a sender's table and a gatherer's growing one stay the same object.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import orjson

from schemas.columns import Series
from streams.kit.metric_names import meaning
from streams.telemetry.block import UNRESOLVED, Places
from streams.telemetry.table import SeriesTable

REMEMBERED_SERIES = 262_144
"""Over all tables that are remembered; 12 bytes each, and the sender's table itself."""


def key_of(asset_id: str, metric: str) -> bytes:
    """Key of a series' row, as `ids.row_key` makes it; `metric` is the canonical name."""
    return orjson.dumps(("series", asset_id, metric))


class Interned(list[Series]):
    """A table of one's own, for series that come one by one."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers: dict[Series, int] = {}

    def number_of(self, series: Series) -> int:
        number = self._numbers.get(series)
        if number is None:
            number = self._numbers[series] = len(self)
            self.append(series)
        return number


class Sender:
    """One table of series. `places` has an entry for each of its first `len` series."""

    def __init__(self, series: Sequence[Series]) -> None:
        self.series = series
        self.epoch = -1
        self.size = 0
        self.places = Places(np.zeros(0, np.int32), np.zeros(0))

    def follow(self, table: SeriesTable) -> int:
        """Looks up what is new; gives how many series that were."""
        if self.epoch != table.epoch:
            self.epoch, self.size = table.epoch, 0
        first, size = self.size, len(self.series)
        if first == size:
            return 0
        if size > len(self.places.slot):
            room = size if first == 0 else size * 3 // 2
            self.places = Places(
                np.concatenate((self.places.slot[:first], np.full(room - first, UNRESOLVED, np.int32))),
                np.concatenate((self.places.factor[:first], np.ones(room - first))),
            )
        new = [meaning(s.metric, s.unit) for s in self.series[first:size]]
        keys = [key_of(s.asset_id, m.metric) for s, m in zip(self.series[first:size], new, strict=True)]
        slots = table.keys.slots_of(keys)
        # Whether a sample in another unit than its series' is taken is said when it comes.
        same = [slot >= 0 and table.unit_of(slot) == m.unit for slot, m in zip(slots, new, strict=True)]
        self.places.slot[first:size] = np.where(same, slots, UNRESOLVED)
        self.places.factor[first:size] = [m.factor for m in new]
        self.size = size
        return size - first


class Senders:
    """The tables that were used last."""

    def __init__(self, table: SeriesTable) -> None:
        self._table = table
        self._known: OrderedDict[int, Sender] = OrderedDict()
        self._count = 0

    def places_of(self, series: Sequence[Series]) -> Places:
        """Slots by number; the caller fills in those of series that it makes."""
        sender = self._known.get(id(series))
        if sender is None:
            sender = self._known[id(series)] = Sender(series)
        self._known.move_to_end(id(series))
        before = len(sender.places.slot)
        sender.follow(self._table)
        self._count += len(sender.places.slot) - before
        while self._count > REMEMBERED_SERIES and len(self._known) > 1:
            _, oldest = self._known.popitem(last=False)
            self._count -= len(oldest.places.slot)
        return sender.places
