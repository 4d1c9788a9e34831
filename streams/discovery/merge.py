"""Many claims, one record: the canonical form of an asset, the merge by precedence, and what changed.

For each field the claims are ordered by (rank of the source's first matching pattern, freshest first, source, scope);
the first that has a value gives it. "Freshest" is who *changed* this field last, not who spoke last: two equal sources
that disagree would otherwise take turns at every scan (D1). Not having a value is not a value: empty text, empty
list, null and kind `unknown` leave the field to the next source. Labels are merged key by key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from schemas.records import Asset, AssetKind, Conflict, Record
from streams.discovery.settings import DiscoverySettings
from streams.discovery.state import Claim

KEYS = ("strong_keys", "weak_keys")
FIELDS = tuple(name for name in Asset.model_fields if name not in ("id", "labels", *KEYS))
_SETS_OF_TEXT = ("compliance", "data_regions", "depends_on", *KEYS)
_SHOWN_OF_VALUE = 200


@dataclass(frozen=True, slots=True)
class Merged:
    """`provenance` maps each field that has a value, and `labels.<key>`, to its source.

    `conflicts` are in order of field, then of source.
    """

    asset: Asset
    provenance: Mapping[str, str]
    conflicts: tuple[Conflict, ...] = ()


def canonical(asset: Asset) -> Asset:
    """The same asset, lists in one order and without repeats (D2); `fallback_ids` is a ranking and keeps its order."""
    capabilities = sorted(set(asset.capabilities), key=_canonical_json)
    endpoints = sorted(set(asset.endpoints), key=_canonical_json)
    forms: dict[str, tuple[object, ...]] = {name: tuple(sorted(set(getattr(asset, name)))) for name in _SETS_OF_TEXT}
    forms["capabilities"], forms["endpoints"] = tuple(capabilities), tuple(endpoints)
    forms["fallback_ids"] = tuple(dict.fromkeys(asset.fallback_ids))
    different = {name: form for name, form in forms.items() if form != getattr(asset, name)}
    if different or type(asset) is not Asset:
        return Asset(**{name: different.get(name, getattr(asset, name)) for name in Asset.model_fields})
    return asset


def version_hash(asset: Asset) -> str:
    """16 hex digits of SHA-256 over the canonical JSON of the asset's own fields: equal = nothing visible changed.

    Keys are for finding what is one asset; they are not part of what is said of it.
    """
    own = asset.model_dump(mode="json", include=set(Asset.model_fields) - set(KEYS))
    canonical_json = json.dumps(own, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical_json.encode()).hexdigest()[:16]


def merge(asset_id: str, claims: Iterable[Claim], settings: DiscoverySettings) -> Merged:
    """The record that these claims make together; the order of `claims` has no effect."""
    given = tuple(claims)
    values: dict[str, object] = {}
    provenance: dict[str, str] = {}
    conflicts: list[Conflict] = []
    for field in FIELDS:
        said = [(c, v) for c in _in_order(given, field, settings) if has_value(v := getattr(c.asset, field))]
        if said:
            values[field], provenance[field] = said[0][1], said[0][0].source
            conflicts += _conflicts(field, said)
    labels: dict[str, str] = {}
    for key in sorted({key for claim in given for key in claim.asset.labels}):
        field = f"labels.{key}"
        spoken = [(c, c.asset.labels[key]) for c in _in_order(given, field, settings) if key in c.asset.labels]
        labels[key], provenance[field] = spoken[0][1], spoken[0][0].source
        conflicts += _conflicts(field, spoken)
    for name in KEYS:
        values[name] = tuple(sorted({key for claim in given for key in getattr(claim.asset, name)}))
    merged = Asset.model_validate({"id": asset_id, **values, "labels": labels})
    return Merged(merged, provenance, tuple(conflicts))


def _conflicts(field: str, said: Sequence[tuple[Claim, object]]) -> Iterator[Conflict]:
    """What the sources behind the first say otherwise; of a source with several claims, the first that differs."""
    if len(said) == 1:
        return
    (first, taken), *others = said
    differing: dict[str, object] = {}
    for claim, value in others:
        if value != taken and claim.source != first.source:
            differing.setdefault(claim.source, value)
    for source in sorted(differing):
        text = json.dumps(_plain(differing[source]), ensure_ascii=False, sort_keys=True)
        yield Conflict(field=field, source=source, value=text[:_SHOWN_OF_VALUE])


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value.model_dump(mode="json", exclude_none=True) if isinstance(value, Record) else value


def changed_fields(old: Asset, new: Asset) -> tuple[str, ...]:
    """Names of the fields that differ, labels as `labels.<key>`, in order of declaration, then of key."""
    fields = [name for name in FIELDS if getattr(old, name) != getattr(new, name)]
    keys = sorted(old.labels.keys() | new.labels.keys())
    return (*fields, *(f"labels.{key}" for key in keys if old.labels.get(key) != new.labels.get(key)))


def has_value(value: object) -> bool:
    return value not in (None, "", (), AssetKind.UNKNOWN)


def _in_order(claims: tuple[Claim, ...], field: str, settings: DiscoverySettings) -> Iterable[Claim]:
    if len(claims) == 1:
        return claims
    patterns = tuple(_patterns(field, settings))
    return sorted(
        claims, key=lambda c: (_rank(c.source, patterns), -c.fresh_at(field), c.source, c.scope, c.reported_id)
    )


def _patterns(field: str, settings: DiscoverySettings) -> Iterator[str]:
    yield from settings.field_precedence.get(field, ())
    if field.startswith("labels."):
        yield from settings.field_precedence.get("labels", ())
    yield from settings.precedence


def _rank(source: str, patterns: tuple[str, ...]) -> int:
    return next((i for i, pattern in enumerate(patterns) if fnmatchcase(source, pattern)), len(patterns))


def _canonical_json(record: Record) -> str:
    return json.dumps(record.model_dump(mode="json"), ensure_ascii=False, sort_keys=True)
