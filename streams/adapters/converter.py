"""Points to samples: names, units, rates, quantiles, figures of ours. Pure; one a partition of a foreign topic.

Everything that it remembers is in its `Rows`, so that what comes out does not depend on how messages were batched, and
goes on after a takeover.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from schemas.columns import NAME_MAX_LENGTH
from schemas.records import LATEST_AT
from streams.adapters import prom_types, units
from streams.adapters.canonical import DIRECT, DURATIONS, SHARES, Served, figures, is_error
from streams.adapters.points import (
    Attributes,
    Distribution,
    Ended,
    Kind,
    Number,
    Origin,
    Point,
    Reading,
    Untyped,
    attribute_text,
    mark,
    matches,
)
from streams.adapters.rates import end, interval, rate
from streams.adapters.rounds import Figure, Requests, Shares
from streams.adapters.rows import Rows
from streams.adapters.settings import IntakeSettings
from streams.kit import ids

SET_MS = 3_600_000
"""An attribute set is noted once an hour, and makes room for a new one when it has been silent for a day."""
FORGOTTEN_MS = 86_400_000
UNITS_SHOWN = 100


class Converter:
    """`counts`: what was done with points, by a word for it; `unknown_units` the units that were kept as they came."""

    def __init__(self, settings: IntakeSettings, rows: Rows) -> None:
        self.rows = rows
        self.counts: Counter[str] = Counter()
        self.unknown_units: set[str] = set()
        self._settings = settings
        self._shares, self._requests = Shares(rows), Requests(rows)

    def take(self, reading: Reading) -> list[Figure]:
        """The samples that follow from one message, in its order."""
        for name, kind in sorted(reading.types.items()):
            self._note("type", name, kind)
        for name, unit in sorted(reading.units.items()):
            self._note("unit", name, unit)
        found: list[Figure] = []
        for point in reading.points:
            found += self._of_point(point, reading.version == 1)
        if reading.whole:
            found += [*self._shares.close(), *self._requests.close()]
        self._shares.leave_open()
        self._requests.leave_open()
        self.counts["samples"] += len(found)
        return found

    def _of_point(self, point: Point, units_apart: bool) -> Iterator[Figure]:
        """`units_apart`: units of points without one may have come in messages of their own."""
        if matches(point.origin.metric, self._settings.ignored_metrics):
            self.counts["ignored"] += 1
        elif not self._has_room(point.origin, point.at):
            self.counts["over_attribute_sets"] += 1
        else:
            typed: Point | None = point
            if isinstance(point, Untyped):
                typed = prom_types.typed(self.rows, point, self._type_of, self.counts)
            if units_apart and isinstance(typed, Number | Distribution) and not typed.origin.unit:
                typed = self._with_unit(typed)
            if isinstance(typed, Number):
                yield from self._of_number(typed)
            elif isinstance(typed, Distribution):
                yield from self._of_distribution(typed)
            elif isinstance(typed, Ended):
                self.counts["ended"] += 1
                end(self.rows, typed)

    # --- numbers ---

    def _of_number(self, point: Number) -> Iterator[Figure]:
        origin = point.origin
        if point.kind is Kind.LEVEL:
            value, unit = point.value, units.emitted(origin.metric, origin.unit)
        else:
            origin = origin._replace(metric=rate_name(origin.metric))
            value, unit = rate(self.rows, point), units.per_second(origin.unit)
        if value is None:
            self.counts["ended" if point.value is None else "first_or_late"] += 1
            return
        yield from self._named(origin, point.at, value, unit)
        if (share := SHARES.get(origin.metric)) is not None:
            yield from self._shares.take(share, owner_of(share.by, origin.metric), origin, point.at, value)

    def _named(self, origin: Origin, at: int, value: float, unit: units.Unit) -> Iterator[Figure]:
        ours = self._settings.metric_names.get(origin.metric)
        ours = ours or ("" if origin.attributes else DIRECT.get(origin.metric))
        if ours:
            canonical = units.as_canonical(ours, unit.name)
            unit = units.Unit(canonical.name, unit.factor * canonical.factor, unit.known)
        if not unit.known:
            self._note_unit(origin.unit)
        name = named(ours or origin.metric, origin.attributes)
        yield Figure(origin.asset_id, name, unit.name, at, value * unit.factor)

    # --- distributions ---

    def _of_distribution(self, point: Distribution) -> Iterator[Figure]:
        found = interval(self.rows, point)
        if found is None:
            self.counts["first_or_late"] += 1
            return
        origin = point.origin
        ours = origin.metric in DURATIONS
        if not ours or origin.attributes:
            unit = units.emitted(origin.metric, origin.unit)
            if not unit.known:
                self._note_unit(origin.unit)
            if found.seconds:
                name = named(rate_name(origin.metric), origin.attributes)
                yield Figure(origin.asset_id, name, "1/s", point.at, found.count / found.seconds)
            for which, value in figures(found) if found.count > 0 else ():
                name = named(f"{origin.metric}{which or '_mean'}", origin.attributes)
                yield Figure(origin.asset_id, name, unit.name, point.at, value * unit.factor)
        if ours:
            factor = units.normal(origin.unit or "ms").factor
            part = Served(found, is_error(origin.attributes))
            taken = self._requests.take(origin.metric, origin, point.at, part, factor)
            if taken is None and not origin.attributes:
                self.counts["reported_twice"] += 1
            yield from taken or ()

    # --- what is remembered beside totals ---

    def _has_room(self, origin: Origin, at: int) -> bool:
        """Whether the metric may have (one more) series with these attributes."""
        if not origin.attributes:
            return True
        key = ids.row_key("sets", origin.asset_id, origin.metric)
        newest, sets = self.rows.get(key) or [0, {}]
        name = mark(origin)
        noted = sets.get(name)
        if noted is not None and at - noted < SET_MS:
            return True
        if noted is None and len(sets) >= self._settings.attribute_sets:
            sets = {one: seen for one, seen in sets.items() if at - seen < FORGOTTEN_MS}
            if len(sets) >= self._settings.attribute_sets:
                return False
        sets[name] = at
        self.rows.put(key, [max(at, newest), sets])
        return True

    def _note(self, what: str, name: str, text: str) -> None:
        """Metadata of a metric family: its `type` or its `unit`."""
        key = ids.row_key(what, name)
        if self.rows.get(key) != [LATEST_AT, text]:
            self.rows.put(key, [LATEST_AT, text])

    def _type_of(self, name: str) -> str:
        return self._noted("type", name)

    def _noted(self, what: str, name: str) -> str:
        row = self.rows.get(ids.row_key(what, name))
        return "" if row is None else str(row[1])

    def _with_unit(self, point: Number | Distribution) -> Number | Distribution:
        name = point.origin.metric
        unit = self._noted("unit", name) or self._noted("unit", name.removesuffix("_total"))
        origin = point.origin._replace(unit=unit)
        return point._replace(origin=origin) if isinstance(point, Number) else replace(point, origin=origin)

    def _note_unit(self, unit: str) -> None:
        self.counts["unknown_unit"] += 1
        if len(self.unknown_units) < UNITS_SHOWN:
            self.unknown_units.add(unit)


def rate_name(metric: str) -> str:
    return f"{metric.removesuffix('_total')}_per_s"


def owner_of(by: tuple[str, ...], metric: str) -> str:
    """Figures whose parts are metrics of different names are owned by all of them."""
    return metric if by else ""


@lru_cache(maxsize=65_536)
def named(metric: str, attributes: Attributes) -> str:
    """`metric{name=value,...}`; a name that no record takes is cut, with a digest of all of it at the end."""
    full = f"{metric}{{{attribute_text(attributes)}}}" if attributes else metric
    if len(full) <= NAME_MAX_LENGTH:
        return full
    return f"{full[: NAME_MAX_LENGTH - 20]}...{hashlib.sha256(full.encode()).hexdigest()[:16]}}}"
