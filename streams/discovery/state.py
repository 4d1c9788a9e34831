"""What the discovery table keeps: five kinds of rows, their keys, bytes and version.

    ["asset", id]                        AssetRow    every source's claim, and what was last published
    ["alias", reported id]               AliasRow    the asset that this id is another name of
    ["strong" or "weak", key]            KeyRow      the assets of which a source says that they have the key
    ["scope", source, scope]             ScopeRow    where this source's snapshots of this scope stand
    ["members", source, scope, place]    MemberRow   when each asset of the scope was last reported

Members lie in `BUCKETS` rows by a hash of the id, each split when it is full (`members`), so that an unchanged report
costs one small row and neither the asset's row nor a list of the whole scope is rewritten.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from schemas.records import Asset, RegisteredAsset
from streams.kit.ids import row_key

VERSION = 4
"""2 has epochs, aliases and keys, 3 what stands for a time, 4 rows of members that were split; rows of before are read,
and written as 4."""
BUCKETS = 256
"""Part of the stored form: changing it needs a new `VERSION`."""


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[4] = 4

    @field_validator("version", mode="before")
    @classmethod
    def _of_before(cls, value: object) -> object:
        return VERSION if value in (1, 2, 3) else value


class Claim(BaseModel):
    """What one source says of one asset in one scope. `asset` is canonical (`merge.canonical`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    scope: str
    asset: Asset
    """As the source reports it, also with the id that the source gives it."""
    since: int
    """Event time ms of its first report."""
    changed: dict[str, int] = Field(default_factory=dict)
    """Field (or `labels.<key>`) -> when the source last changed it, where that is later than `since`."""
    stale: str = ""
    """Why it may be out of date; empty = it is not."""
    absences: int = 0
    """Complete snapshots in a row that lacked it while the mass-delete guard held it."""
    leaves_at: int | None = None
    """End of the grace, event time ms."""
    stands_ms: int | None = None
    """How long the source's word stands unless it is said again; None = until a listing lacks it."""
    doubt_at: int | None = None
    """When to look whether it was said again, event time ms; not moved by each report, so that one costs no row."""

    @property
    def reported_id(self) -> str:
        return self.asset.id

    def fresh_at(self, field: str) -> int:
        """Event time since when the source has said just this of the field."""
        return self.changed.get(field, self.since)


class AssetRow(_Row):
    row: Literal["asset"] = "asset"
    asset_id: str
    claims: tuple[Claim, ...] = ()
    """In order of (source, scope, reported id)."""
    published: RegisteredAsset | None = None
    published_at: int = 0
    revision: int = 0
    """Lifecycle events so far: tells two events of one millisecond apart."""
    denied: str = ""
    """The refusal that was last told."""


class ScopeRow(_Row):
    row: Literal["scope"] = "scope"
    source: str
    scope: str
    size: int = 0
    """Members now."""
    heard_at: int = 0
    open_id: str | None = None
    snapshots: int = 0
    """Snapshots begun so far; members are marked with this number, since a source may use an id again."""
    size_at_begin: int = 0
    completed_id: str | None = None
    completed_at: int | None = None
    interval_ms: int | None = None
    """Between its last two complete snapshots."""
    lost: str = ""
    """Why the scope is out of reach (failed, silent); empty = it is not."""
    epoch: int = 0
    """Highest fencing epoch heard; 0 = none."""
    fenced: int | None = None
    """The older epoch that was last refused, and told."""


class Sighting(NamedTuple):
    """When a member was last reported (`at`, ms), and during which snapshot, with how many entries of its listing."""

    at: int
    snapshot: int
    """`ScopeRow.snapshots` at that time; 0 = before the first."""
    entries: int


class MemberRow(_Row):
    row: Literal["members"] = "members"
    source: str
    scope: str
    sightings: Annotated[dict[str, Sighting], Field(default_factory=dict)]
    parts: int | None = None
    """It was split: its members lie in so many rows below it, and none in it."""


class AliasRow(_Row):
    row: Literal["alias"] = "alias"
    asset_id: str
    key: str
    """The key by which the two were found to be one; `strong`: which kind it is."""
    strong: bool


class KeyRow(_Row):
    row: Literal["key"] = "key"
    asset_ids: tuple[str, ...]
    """In order; more than one: the key tells nothing apart any more (weak), or is contradictory (strong)."""


Row = AssetRow | ScopeRow | MemberRow | AliasRow | KeyRow
_ROWS: TypeAdapter[Row] = TypeAdapter(Annotated[Row, Field(discriminator="row")])


def asset_key(asset_id: str) -> str:
    return row_key("asset", asset_id)


def alias_key(reported_id: str) -> str:
    return row_key("alias", reported_id)


def key_key(strength: Literal["strong", "weak"], key: str) -> str:
    return row_key(strength, key)


@lru_cache(maxsize=1024)
def scope_key(source: str, scope: str) -> str:
    return row_key("scope", source, scope)


@lru_cache(maxsize=16_384)
def member_key(source: str, scope: str, place: str) -> str:
    """`place`: the bucket, and after a dot the part of each split on the way."""
    return row_key("members", source, scope, place)


def encode(row: Row) -> bytes:
    return _ROWS.dump_json(row, exclude_none=True)


def decode(data: bytes) -> Row:
    """Raises `pydantic.ValidationError` for bytes of another version: the table must be rebuilt from its topic."""
    return _ROWS.validate_json(data)
