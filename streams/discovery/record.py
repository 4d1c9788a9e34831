"""The record of an asset on `assets`: what its claims make together, and what is known of its sources."""

from __future__ import annotations

from schemas.records import Asset, AssetState, RegisteredAsset, SourceState
from streams.discovery.draft import Draft
from streams.discovery.merge import Merged, version_hash
from streams.discovery.state import AssetRow


def record_of(draft: Draft, row: AssetRow, merged: Merged, state: AssetState) -> RegisteredAsset:
    own = {name: getattr(merged.asset, name) for name in Asset.model_fields}
    return RegisteredAsset(
        **own,
        provenance=dict(merged.provenance),
        sources=_sources(draft, row),
        state=state,
        version_hash=version_hash(merged.asset),
        aliases=tuple(sorted({claim.reported_id for claim in row.claims} - {row.asset_id})),
        conflicts=merged.conflicts,
    )


def all_stale(row: AssetRow) -> bool:
    return all(claim.stale for claim in row.claims)


def attribution(record: RegisteredAsset) -> tuple[object, ...]:
    """What is published when it changes, but is no event: nobody but who looks at the registry minds."""
    sources = [(state.source, state.stale) for state in record.sources]
    return record.provenance, sources, keys(record), record.aliases, record.conflicts


def keys(asset: Asset) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return asset.strong_keys, asset.weak_keys


def own_fields(record: RegisteredAsset) -> Asset:
    return Asset(**{name: getattr(record, name) for name in Asset.model_fields})


def _sources(draft: Draft, row: AssetRow) -> tuple[SourceState, ...]:
    """One entry a source; of a source with several claims the latest sighting, and the worse of the rest."""
    states: dict[str, SourceState] = {}
    for claim in row.claims:
        seen = draft.sighting(claim.source, claim.scope, claim.reported_id)
        complete = draft.scope(claim.source, claim.scope).completed_id is not None and not claim.stale
        other = states.get(claim.source)
        states[claim.source] = SourceState(
            source=claim.source,
            fresh_at=max(seen.at if seen else claim.since, other.fresh_at if other else 0),
            complete=complete and (other is None or other.complete),
            stale=bool(claim.stale) or (other is not None and other.stale),
        )
    return tuple(states[source] for source in sorted(states))
