"""Assets as columns: one slot an asset, one numpy array a property. Changed slot by slot, never rebuilt.

NaN = not known. Slots are reused and depend on the order of arrival, so no decision may depend on a slot's number.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.records import Asset, AssetState, Performance, RegisteredAsset
from streams.kit import ids

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.intp]
Tag = tuple[str, str]
"""(kind, name): kind is capability, compliance or data_region; of a figure latency or failure with a capability."""

NOT_KNOWN: Final = -1
NO_SUCH: Final = -2
_FIRST_SLOTS = 64
_PLACES_KEPT = 256
_DECLARED = ("cost", "carbon", "capacity", "latency_any", "failure_any")
_MEASURED = ("latency_p50", "latency_p95", "error_rate", "saturation", "measured_cost", "measured_at")
_FLAGS = ("present", "stale", "removed", "drained")
_CODES = ("region", "cloud", "domain", "severity")


def failure_domain(asset: Asset) -> str | None:
    """What fails together: the declared domain, else zone, region or cloud, the narrowest that is known."""
    return asset.failure_domain or asset.zone or asset.region or asset.cloud or None


class Columns:
    def __init__(self) -> None:
        self.slots: dict[str, int] = {}
        self.ids: list[str] = []
        self.texts: list[dict[str, str | None]] = []
        self._free: list[int] = []
        self._capacity = _FIRST_SLOTS
        self.floats: dict[str, Floats] = {name: self._nan() for name in (*_DECLARED, *_MEASURED)}
        self.flags: dict[str, Flags] = {name: np.zeros(_FIRST_SLOTS, np.bool_) for name in _FLAGS}
        self.codes: dict[str, Codes] = {name: np.full(_FIRST_SLOTS, NOT_KNOWN, np.int32) for name in _CODES}
        self.hashes: Hashes = np.zeros(_FIRST_SLOTS, np.uint64)
        self.tags: dict[Tag, Flags] = {}
        self.figures: dict[Tag, Floats] = {}
        self._tagged: Counter[Tag] = Counter()
        self._tags_of: dict[int, tuple[Tag, ...]] = {}
        self._places: dict[int, tuple[tuple[str, ...], Places]] = {}
        self._codebooks: dict[str, dict[str, int]] = {name: {} for name in _CODES}

    def __len__(self) -> int:
        return len(self.slots)

    def code(self, column: str, name: str) -> int:
        return self._codebooks[column].get(name, NO_SUCH)

    def places(self, asset_ids: tuple[str, ...]) -> Places:
        """The slots of these assets, -1 = not registered. Kept by the tuple's identity until an asset comes or goes."""
        found = self._places.get(id(asset_ids))
        if found is None:
            if len(self._places) >= _PLACES_KEPT:
                self._places.clear()
            # The tuple is kept too, so that no other one can get its identity meanwhile.
            slots = np.array([self.slots.get(asset_id, -1) for asset_id in asset_ids], np.intp)
            found = self._places[id(asset_ids)] = asset_ids, slots
        return found[1]

    def put(self, key: str, asset: RegisteredAsset) -> int:
        """Writes what the registry says of an asset; its slot. Measurements and health stay as they are."""
        slot = self.slots.get(key)
        if slot is None:
            slot = self._take(key)
        self._untag(slot)
        self.flags["stale"][slot] = asset.state in (AssetState.STALE, AssetState.UNKNOWN)
        self.flags["removed"][slot] = asset.state is AssetState.REMOVED
        self.texts[slot] = {"region": asset.region, "cloud": asset.cloud, "domain": failure_domain(asset)}
        for name, value in self.texts[slot].items():
            self.codes[name][slot] = self._encode(name, value)
        self.floats["cost"][slot] = _known(asset.cost_usd_per_hour)
        self.floats["carbon"][slot] = _known(asset.carbon_g_per_kwh)
        self.floats["capacity"][slot] = _known(asset.capacity_units)
        self._put_tags(slot, asset)
        return slot

    def measure(self, slot: int, seen: Performance | None) -> None:
        """Writes the latest measurements of a slot; None = there are none."""
        values = (seen.latency_ms_p50, seen.latency_ms_p95, seen.error_rate, seen.saturation,
                  seen.cost_usd_per_hour, float(seen.at)) if seen is not None else (None,) * len(_MEASURED)  # fmt: skip
        for name, value in zip(_MEASURED, values, strict=True):
            self.floats[name][slot] = _known(value)

    def remove(self, key: str) -> None:
        slot = self.slots.pop(key, None)
        if slot is None:
            return
        self._places.clear()
        self._untag(slot)
        for flags in self.flags.values():
            flags[slot] = False
        self._free.append(slot)

    def _take(self, key: str) -> int:
        if self._free:
            slot = self._free.pop()
            self.ids[slot] = key
        else:
            slot = len(self.ids)
            if slot == self._capacity:
                self._grow()
            self.ids.append(key)
            self.texts.append({})
        self.slots[key] = slot
        self._places.clear()
        self.flags["present"][slot] = True
        self.hashes[slot] = ids.tie_break(key)
        return slot

    def _put_tags(self, slot: int, asset: Asset) -> None:
        tags = {("capability", c.name) for c in asset.capabilities}
        tags |= {("compliance", c) for c in asset.compliance} | {("data_region", r) for r in asset.data_regions}
        self._tags_of[slot] = tuple(tags)
        for tag in tags:
            if tag not in self.tags:
                self._new_tag(tag)
            self.tags[tag][slot] = True
            self._tagged[tag] += 1
        for c in asset.capabilities:
            self.figures["latency", c.name][slot] = _known(c.latency_ms)
            self.figures["failure", c.name][slot] = 1.0 - _known(c.reliability)
        latencies = [c.latency_ms for c in asset.capabilities if c.latency_ms is not None]
        reliabilities = [c.reliability for c in asset.capabilities if c.reliability is not None]
        self.floats["latency_any"][slot] = _known(max(latencies, default=None))
        self.floats["failure_any"][slot] = 1.0 - _known(min(reliabilities, default=None))

    def _new_tag(self, tag: Tag) -> None:
        self.tags[tag] = np.zeros(self._capacity, np.bool_)
        if tag[0] == "capability":
            for figure in ("latency", "failure"):
                self.figures[figure, tag[1]] = self._nan()

    def _untag(self, slot: int) -> None:
        """Also forgets a tag that no asset has any more, so that the columns do not grow for ever."""
        for tag in self._tags_of.pop(slot, ()):
            self.tags[tag][slot] = False
            for figure in ("latency", "failure"):
                if tag[0] == "capability":
                    self.figures[figure, tag[1]][slot] = np.nan
            self._tagged[tag] -= 1
            if not self._tagged[tag]:
                del self._tagged[tag], self.tags[tag]
                if tag[0] == "capability":
                    del self.figures["latency", tag[1]], self.figures["failure", tag[1]]

    def _encode(self, column: str, name: str | None) -> int:
        book = self._codebooks[column]
        return NOT_KNOWN if not name else book.setdefault(name, len(book))

    def _nan(self) -> Floats:
        return np.full(self._capacity, np.nan)

    def _grow(self) -> None:
        more = self._capacity
        self._capacity += more
        unknown, unset = np.full(more, np.nan), np.zeros(more, np.bool_)
        self.floats = {n: np.concatenate((a, unknown)) for n, a in self.floats.items()}
        self.figures = {t: np.concatenate((a, unknown)) for t, a in self.figures.items()}
        self.flags = {n: np.concatenate((a, unset)) for n, a in self.flags.items()}
        self.tags = {t: np.concatenate((a, unset)) for t, a in self.tags.items()}
        self.codes = {n: np.concatenate((a, np.full(more, NOT_KNOWN, np.int32))) for n, a in self.codes.items()}
        self.hashes = np.concatenate((self.hashes, np.zeros(more, np.uint64)))


@dataclass(frozen=True, slots=True)
class Frame:
    """The slots `start` to `stop` of the columns, as views: all assets, or just one."""

    columns: Columns
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def id_of(self, index: int) -> str:
        return self.columns.ids[self.start + index]

    def text(self, name: str, index: int) -> str | None:
        """Its region, cloud or failure domain; None = not known."""
        return self.columns.texts[self.start + index].get(name)

    def floats(self, name: str) -> Floats:
        return self.columns.floats[name][self.start : self.stop]

    def flags(self, name: str) -> Flags:
        return self.columns.flags[name][self.start : self.stop]

    def codes(self, name: str) -> Codes:
        return self.columns.codes[name][self.start : self.stop]

    def hashes(self) -> Hashes:
        return self.columns.hashes[self.start : self.stop]

    def tag(self, kind: str, name: str) -> Flags:
        column = self.columns.tags.get((kind, name))
        return np.zeros(len(self), np.bool_) if column is None else column[self.start : self.stop]

    def figure(self, kind: str, capability: str) -> Floats:
        column = self.columns.figures.get((kind, capability))
        return np.full(len(self), np.nan) if column is None else column[self.start : self.stop]


def _known(value: float | None) -> float:
    return np.nan if value is None else value
