"""Which asset a report is about. Pure.

    reported id known?  --yes--> that asset
         | no
    a strong key of it is another asset's?  --yes--> that asset: the id becomes an alias
         | no
    a weak key of it is exactly one asset's, and nothing speaks against it?  --yes--> that asset, while the key holds
         | no
    a new asset

An id is the same asset in all sources. Strong keys (`machine-id:`, `arn:`, `k8s-uid:`) belong to one asset in the
world: two assets that turn out to share one are joined, the one that was registered first keeps its id. Weak keys
(`address:`, `dns:`) are given away and used again: a link by one ends when the source no longer reports the key.
Against a weak key speaks: more than one asset has it, the source lists both itself, both have a strong key of the same
kind with different values, or their kinds are known and differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from schemas.records import Asset, AssetKind, LifecycleChange
from streams.discovery.draft import Draft
from streams.discovery.state import AliasRow, AssetRow, Claim

Strength = Literal["strong", "weak"]
STRENGTHS: tuple[Strength, ...] = ("strong", "weak")


def find(draft: Draft, source: str, scope: str, said: Asset) -> AliasRow | None:
    """The link by which this report belongs to another asset; None = it is an asset by its own id."""
    known = draft.alias(said.id)
    if known is not None and _holds(draft, known, source, scope, said):
        return known
    if draft.asset(said.id).claims:
        return None
    for key in said.strong_keys:
        others = [a for a in draft.holders("strong", key) if a != said.id and not _lists(draft, source, scope, a)]
        if others:
            return AliasRow(asset_id=oldest(draft, others), key=key, strong=True)
    for key in said.weak_keys:
        held_by = [a for a in draft.holders("weak", key) if a != said.id]
        if len(held_by) == 1 and not (
            _lists(draft, source, scope, held_by[0]) or _objection(draft.asset(held_by[0]), said)
        ):
            return AliasRow(asset_id=held_by[0], key=key, strong=False)
    return None


def _holds(draft: Draft, link: AliasRow, source: str, scope: str, said: Asset) -> bool:
    """A link by a weak key needs somebody who says it of this id; one by a strong key ends with another value."""
    claims = draft.asset(link.asset_id).claims
    if not claims:
        return False
    others = [c.asset for c in claims if c.reported_id == said.id and (c.source, c.scope) != (source, scope)]
    if link.strong:
        return link.key in said.strong_keys or all(_kind(link.key) != _kind(key) for key in said.strong_keys)
    return any(link.key in asset.weak_keys for asset in (said, *others))


def same_as(draft: Draft, row: AssetRow) -> tuple[str, str] | None:
    """Another registered asset with one of this one's strong keys, and the key; None = there is none."""
    for key in sorted(keys_of(row.claims, "strong")):
        others = [a for a in draft.holders("strong", key) if a != row.asset_id and draft.asset(a).claims]
        if others and not _listed_apart(row.claims, draft.asset(others[0]).claims):
            return oldest(draft, others), key
    return None


def oldest(draft: Draft, asset_ids: Iterable[str]) -> str:
    """The one that was claimed first; of several, the first by id."""
    return min(asset_ids, key=lambda a: (min((c.since for c in draft.asset(a).claims), default=1 << 62), a))


def note_keys(draft: Draft, asset_id: str, before: Iterable[Claim], after: Iterable[Claim]) -> None:
    """Brings the rows of the keys up to what the asset's claims say now."""
    old, new = tuple(before), tuple(after)
    for strength in STRENGTHS:
        had, has = keys_of(old, strength), keys_of(new, strength)
        for key in sorted(had ^ has):
            holders = [a for a in draft.holders(strength, key) if a != asset_id]
            draft.put_holders(strength, key, [*holders, asset_id] if key in has else holders)
            if strength == "strong" and key in has and holders:
                _tell_of_shared(draft, asset_id, new, key, holders[0])


def keys_of(claims: Iterable[Claim], strength: Strength) -> set[str]:
    return {key for c in claims for key in (c.asset.strong_keys if strength == "strong" else c.asset.weak_keys)}


def _lists(draft: Draft, source: str, scope: str, asset_id: str) -> bool:
    return any((c.source, c.scope) == (source, scope) for c in draft.asset(asset_id).claims)


def _objection(row: AssetRow, said: Asset) -> bool:
    kinds = {c.asset.kind for c in row.claims} - {AssetKind.UNKNOWN}
    if said.kind is not AssetKind.UNKNOWN and kinds and said.kind not in kinds:
        return True
    theirs = keys_of(row.claims, "strong")
    mine = set(said.strong_keys)
    return any(_kind(a) == _kind(b) for a in mine for b in theirs) and not mine & theirs


def _listed_apart(one: Iterable[Claim], other: Iterable[Claim]) -> bool:
    """A source lists both in one scope: it says that they are two."""
    return bool({(c.source, c.scope) for c in one} & {(c.source, c.scope) for c in other})


def _tell_of_shared(draft: Draft, asset_id: str, claims: Iterable[Claim], key: str, other: str) -> None:
    if _listed_apart(claims, draft.asset(other).claims):
        why = f"{asset_id} and {other} are both said to have the strong key {key}, by a source that lists them apart"
        draft.tell(asset_id, LifecycleChange.WARNED, f"{why}: they stay two", (key, other))


def _kind(key: str) -> str:
    return key.partition(":")[0]
