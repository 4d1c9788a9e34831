"""A step in the making: rows read through what was already changed, and the records to emit, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from schemas.records import LifecycleChange, LifecycleEvent, RegisteredAsset
from streams.discovery.state import (
    BUCKETS,
    AssetRow,
    MemberRow,
    Row,
    ScopeRow,
    Sighting,
    asset_key,
    bucket_of,
    member_key,
    scope_key,
)
from streams.kit import ids
from streams.kit.layer import Emission, Step
from streams.kit.world import World


@dataclass(frozen=True, slots=True)
class Cause:
    """Who set this step off, and when: what every record of it says. `at` is event time in ms."""

    source: str
    cause_id: str
    at: int


class Draft:
    def __init__(self, rows: Mapping[str, Row], world: World, cause: Cause) -> None:
        self.world = world
        self.cause = cause
        self._rows = rows
        self._changed: dict[str, Row | None] = {}
        self._emissions: list[Emission] = []

    def step(self) -> Step[Row]:
        return Step(self._changed, tuple(self._emissions))

    # --- rows ---------------------------------------------------------------------------------------------------

    def asset(self, asset_id: str) -> AssetRow:
        found = self._get(asset_key(asset_id))
        return found if isinstance(found, AssetRow) else AssetRow(asset_id=asset_id)

    def put_asset(self, row: AssetRow) -> None:
        self._changed[asset_key(row.asset_id)] = row

    def drop_asset(self, row: AssetRow) -> None:
        self._changed[asset_key(row.asset_id)] = None

    def scope(self, source: str, scope: str) -> ScopeRow:
        found = self._get(scope_key(source, scope))
        return found if isinstance(found, ScopeRow) else ScopeRow(source=source, scope=scope)

    def put_scope(self, row: ScopeRow) -> None:
        self._changed[scope_key(row.source, row.scope)] = row

    def sighting(self, source: str, scope: str, asset_id: str) -> Sighting | None:
        found = self._get(member_key(source, scope, bucket_of(asset_id)))
        return found.sightings.get(asset_id) if isinstance(found, MemberRow) else None

    def put_sighting(self, source: str, scope: str, asset_id: str, sighting: Sighting | None) -> None:
        key = member_key(source, scope, bucket_of(asset_id))
        found = self._get(key)
        sightings = dict(found.sightings) if isinstance(found, MemberRow) else {}
        sightings.pop(asset_id, None)
        if sighting is not None:
            sightings[asset_id] = sighting
        row = MemberRow.model_construct(source=source, scope=scope, sightings=sightings) if sightings else None
        self._changed[key] = row

    def members(self, source: str, scope: str) -> Iterator[tuple[str, Sighting]]:
        """Every asset that the source claims in the scope, in order of id."""
        found = (self._get(member_key(source, scope, bucket)) for bucket in range(BUCKETS))
        return iter(sorted(entry for row in found if isinstance(row, MemberRow) for entry in row.sightings.items()))

    def _get(self, key: str) -> Row | None:
        return self._changed[key] if key in self._changed else self._rows.get(key)

    # --- emissions ----------------------------------------------------------------------------------------------

    def publish(self, asset_id: str, asset: RegisteredAsset | None) -> None:
        """`asset` None = a tombstone: it is removed."""
        self._emit("assets", asset_id, asset)

    def tell(
        self, about: str, change: LifecycleChange, reason: str, mark: tuple[str, ...], fields: tuple[str, ...] = ()
    ) -> None:
        """`mark` makes the id unique: what, besides the asset, the change and the time, tells two events apart."""
        cause = self.cause
        event = LifecycleEvent(
            id=ids.derive("lifecycle", about, change.value, cause.at, cause.source, *mark),
            asset_id=about,
            change=change,
            changed_fields=fields,
            source=cause.source,
            cause_id=cause.cause_id,
            reason=reason,
            at=cause.at,
        )
        self._emit("lifecycle-events", about, event)

    def _emit(self, topic: str, key: str, value: RegisteredAsset | LifecycleEvent | None) -> None:
        self._emissions.append(Emission(topic, key, value, self.cause.at, self.cause.cause_id))
