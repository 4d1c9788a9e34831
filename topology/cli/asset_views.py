"""One asset in full, and what differs between two registries. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import orjson

from schemas.json_form import to_json
from schemas.records import RegisteredAsset, SourceState
from topology.cli.output import clock

Registry = Mapping[str, RegisteredAsset]
_APART = ("id", "provenance", "sources", "conflicts", "state", "version_hash", "aliases", "depends_on")
"""Fields that are told in a line of their own."""
_NO_NEWS = ("sources", "provenance", "version_hash")
"""Fields that change whenever a source confirms what it said, or that follow from others."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`fields`: name -> (before, now) as JSON; empty for what was added or removed."""

    asset_id: str
    change: str
    fields: Mapping[str, tuple[str, str]]

    def line(self) -> str:
        told = ", ".join(f"{name} {before} -> {now}" for name, (before, now) in self.fields.items())
        return f"{self.change:<8} {self.asset_id}" + (f": {told}" if told else "")

    def json(self) -> bytes:
        changed = {name: [orjson.Fragment(before), orjson.Fragment(now)] for name, (before, now) in self.fields.items()}
        return orjson.dumps({"id": self.asset_id, "change": self.change, "fields": changed})


def find(registry: Registry, name: str) -> RegisteredAsset | None:
    """By its id, or by another id that its sources use for it."""
    known = registry.get(name)
    return known or next((asset for asset in registry.values() if name in asset.aliases), None)


def described(asset: RegisteredAsset, registry: Registry) -> Iterator[str]:
    """What is known of it, who says so, and what it hangs together with."""
    yield f"{asset.id} is {asset.state.value}" + (f", also {', '.join(asset.aliases)}" if asset.aliases else "")
    for name, value in _fields(asset).items():
        if name not in _APART and value not in ("null", '""', "[]", "{}"):
            by = asset.provenance.get(name)
            yield f"  {name}: {value}" + (f"  ({by})" if by else "")
    yield from (f"  {conflict.source} says {conflict.field}: {conflict.value}" for conflict in asset.conflicts)
    yield from (f"  depends on {_named(target, registry)}" for target in asset.depends_on)
    yield from (f"  is used by {other.id}" for other in registry.values() if asset.id in other.depends_on)
    yield from (f"  source {_source(source)}" for source in asset.sources)


def differences(before: Registry, now: Registry) -> Iterator[Difference]:
    """In order of ids. When a source last confirmed an asset is no difference."""
    for asset_id in sorted({*before, *now}):
        was, is_now = before.get(asset_id), now.get(asset_id)
        if was is None or is_now is None:
            yield Difference(asset_id, "removed" if is_now is None else "added", {})
            continue
        old, new = _fields(was), _fields(is_now)
        changed = {name: (old[name], new[name]) for name in new if name not in _NO_NEWS and old[name] != new[name]}
        if changed:
            yield Difference(asset_id, "changed", changed)


def _fields(asset: RegisteredAsset) -> dict[str, str]:
    return {name: orjson.dumps(value).decode() for name, value in orjson.loads(to_json(asset)).items()}


def _named(target: str, registry: Registry) -> str:
    known = find(registry, target)
    return target if known is not None else f"{target}, which is not in the registry"


def _source(source: SourceState) -> str:
    at = f"{clock(source.fresh_at).partition('.')[0]} UTC"
    how = [*(["stale"] if source.stale else []), *([] if source.complete else ["no whole listing yet"])]
    return f"{source.source}, confirmed {at}" + (f" ({', '.join(how)})" if how else "")
