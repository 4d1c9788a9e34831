"""A step in the making: rows read through what was already changed, and the records to emit, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from schemas.records import LifecycleChange, LifecycleEvent, RegisteredAsset
from streams.discovery.members import Members
from streams.discovery.state import (
    AliasRow,
    AssetRow,
    KeyRow,
    Row,
    ScopeRow,
    Sighting,
    alias_key,
    asset_key,
    key_key,
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

    def alias(self, reported_id: str) -> AliasRow | None:
        found = self.row(alias_key(reported_id))
        return found if isinstance(found, AliasRow) else None

    def put_alias(self, reported_id: str, row: AliasRow | None) -> None:
        self._changed[alias_key(reported_id)] = row

    def known_as(self, reported_id: str) -> str:
        """The id by which the registry knows what is reported under this one."""
        alias = self.alias(reported_id)
        return alias.asset_id if alias is not None else reported_id

    def holders(self, strength: Literal["strong", "weak"], key: str) -> tuple[str, ...]:
        found = self.row(key_key(strength, key))
        return found.asset_ids if isinstance(found, KeyRow) else ()

    def put_holders(self, strength: Literal["strong", "weak"], key: str, asset_ids: Iterable[str]) -> None:
        ids_now = tuple(sorted(set(asset_ids)))
        self._changed[key_key(strength, key)] = KeyRow(asset_ids=ids_now) if ids_now else None

    def asset_of(self, reported_id: str) -> AssetRow:
        return self.asset(self.known_as(reported_id))

    def asset(self, asset_id: str) -> AssetRow:
        found = self.row(asset_key(asset_id))
        return found if isinstance(found, AssetRow) else AssetRow(asset_id=asset_id)

    def put_asset(self, row: AssetRow) -> None:
        self._changed[asset_key(row.asset_id)] = row

    def drop_asset(self, row: AssetRow) -> None:
        self._changed[asset_key(row.asset_id)] = None

    def scope(self, source: str, scope: str) -> ScopeRow:
        found = self.row(scope_key(source, scope))
        return found if isinstance(found, ScopeRow) else ScopeRow(source=source, scope=scope)

    def put_scope(self, row: ScopeRow) -> None:
        self._changed[scope_key(row.source, row.scope)] = row

    def sighting(self, source: str, scope: str, asset_id: str) -> Sighting | None:
        return Members(self, source, scope).sighting(asset_id)

    def put_sighting(self, source: str, scope: str, asset_id: str, sighting: Sighting | None) -> None:
        Members(self, source, scope).put(asset_id, sighting)

    def members(self, source: str, scope: str) -> Iterator[tuple[str, Sighting]]:
        """Every id that the source reports in the scope, in order."""
        return Members(self, source, scope).all()

    def row(self, key: str) -> Row | None:
        return self._changed[key] if key in self._changed else self._rows.get(key)

    def put_row(self, key: str, row: Row | None) -> None:
        self._changed[key] = row

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
