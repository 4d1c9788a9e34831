"""Who is in a scope, and when each was last reported: rows that stay small however many there are. Pure.

    ["members", source, scope, "17"]      at most FULL members, whose ids have the bucket 17
         | one more than FULL
         v
    ["members", source, scope, "17"]      `parts`: they lie in so many rows, by the next digits of the id's hash
    ["members", source, scope, "17.0"] ... ["members", source, scope, "17.7"]       each split in its turn

A report writes the row of its member only, so what it costs does not grow with the scope. Rows are not joined again:
of a scope that was large once, a row without members is left of each that was split.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from streams.discovery.state import BUCKETS, MemberRow, Row, Sighting, member_key
from streams.kit.ids import tie_break

FULL = 32
"""Members of a row: some 2 kB."""
PARTS = 8
DEEPEST = 16
"""Splits of one bucket above each other: by then nothing is left of the hash's 64 bits."""


class Rows(Protocol):
    def row(self, key: str) -> Row | None: ...

    def put_row(self, key: str, row: Row | None) -> None: ...


class Members:
    """Of one scope of one source."""

    def __init__(self, rows: Rows, source: str, scope: str) -> None:
        self._rows, self._source, self._scope = rows, source, scope

    def sighting(self, asset_id: str) -> Sighting | None:
        _, row = self._find(asset_id)
        return None if row is None else row.sightings.get(asset_id)

    def put(self, asset_id: str, sighting: Sighting | None) -> None:
        """None: it is no member any more."""
        place, row = self._find(asset_id)
        sightings = {} if row is None else dict(row.sightings)
        sightings.pop(asset_id, None)
        if sighting is not None:
            sightings[asset_id] = sighting
        self._write(place, sightings)

    def all(self) -> Iterator[tuple[str, Sighting]]:
        """In order of the ids."""
        return iter(sorted(entry for bucket in range(BUCKETS) for entry in self._below(str(bucket))))

    def _below(self, place: str) -> Iterator[tuple[str, Sighting]]:
        row = self._at(place)
        if row is not None:
            yield from row.sightings.items()
            for part in range(row.parts or 0):
                yield from self._below(f"{place}.{part}")

    def _find(self, asset_id: str) -> tuple[str, MemberRow | None]:
        """The place of the row that has the member, or would have it, and that row."""
        rest, bucket = divmod(tie_break(asset_id), BUCKETS)
        place = str(bucket)
        while (row := self._at(place)) is not None and row.parts is not None:
            rest, part = divmod(rest, row.parts)
            place = f"{place}.{part}"
        return place, row

    def _write(self, place: str, sightings: dict[str, Sighting]) -> None:
        depth = place.count(".")
        if len(sightings) <= FULL or depth >= DEEPEST:
            self._put(place, sightings)
            return
        self._put(place, {}, PARTS)
        below: list[dict[str, Sighting]] = [{} for _ in range(PARTS)]
        for asset_id, sighting in sightings.items():
            below[tie_break(asset_id) // (BUCKETS * PARTS**depth) % PARTS][asset_id] = sighting
        for part, few in enumerate(below):
            if few:
                self._write(f"{place}.{part}", few)

    def _put(self, place: str, sightings: dict[str, Sighting], parts: int | None = None) -> None:
        row = None
        if sightings or parts is not None:
            row = MemberRow.model_construct(source=self._source, scope=self._scope, sightings=sightings, parts=parts)
        self._rows.put_row(member_key(self._source, self._scope, place), row)

    def _at(self, place: str) -> MemberRow | None:
        row = self._rows.row(member_key(self._source, self._scope, place))
        return row if isinstance(row, MemberRow) else None
