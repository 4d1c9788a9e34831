"""One asset at a time: its sources' claims, and when what they make together is worth publishing.

                 denied (policy) --+                     every claim stale
                   ^               | asked again    +-----------------------> STALE
    first claim    |               v                |   <----------------------- |
    ------------> asked --allowed--> REGISTERED ----+     a claim fresh again    |
                                        |           |      (to UPDATED)          |
                                        | visible   |                            |
                                        v change    |      last claim gone       |
                                     UPDATED -------+--------------------------> REMOVED (tombstone)

What is visible: the asset's own fields and whether it is stale. Which source a field is from, and which sources there
are, is published too when it changes, but is no lifecycle event. Freshness alone is neither (setting `republish_s`).
"""

from __future__ import annotations

from schemas.records import Asset, AssetState, LifecycleChange, RegisteredAsset, SourceState
from streams.discovery.admission import ask_admission
from streams.discovery.draft import Draft
from streams.discovery.merge import Merged, canonical, changed_fields, merge, version_hash
from streams.discovery.settings import DiscoverySettings
from streams.discovery.state import AssetRow, Claim
from streams.discovery.wording import what_changed
from streams.policy.port import PolicyHook


class Registry:
    def __init__(self, settings: DiscoverySettings, policy: PolicyHook | None) -> None:
        self._settings = settings
        self._policy = policy

    def report(self, draft: Draft, source: str, scope: str, asset: Asset, in_doubt: bool) -> None:
        """The source says that the asset is there, and so. Its sighting is already in the draft.

        `in_doubt`: the scope is lost and not yet regained, so what is stale stays stale.
        """
        row = draft.asset(asset.id)
        said = canonical(asset)
        old = claim_of(row, source, scope)
        at = draft.cause.at
        if old is None:
            new = Claim(source=source, scope=scope, asset=said, since=at)
        else:
            changed = _since(old, said, at)
            stale = old.stale if in_doubt else ""
            said_now = {"asset": said, "changed": changed, "stale": stale, "absences": 0, "leaves_at": None}
            new = old.model_copy(update=said_now)
        if new == old:
            self._refresh(draft, row)
            return
        self.settle(draft, _with_claim(row, new), f"{source} reports it in {scope}")

    def confirm(self, draft: Draft, source: str, scope: str, asset_id: str, in_doubt: bool) -> None:
        """The source says that the asset is there, and nothing newer of it than it said before."""
        claim = claim_of(draft.asset(asset_id), source, scope)
        if claim is not None:
            self.report(draft, source, scope, claim.asset, in_doubt)

    def withdraw(self, draft: Draft, asset_id: str, source: str, scope: str, why: str) -> None:
        """The source's claim in this scope ends."""
        row = draft.asset(asset_id)
        kept = tuple(c for c in row.claims if (c.source, c.scope) != (source, scope))
        if len(kept) != len(row.claims):
            self.settle(draft, row.model_copy(update={"claims": kept}), why)

    def doubt(self, draft: Draft, row: AssetRow, claim: Claim) -> None:
        """`claim` is one of the row's, with `stale` now set: the asset is stale once all of its claims are."""
        self.settle(draft, _with_claim(row, claim), claim.stale)

    def settle(self, draft: Draft, row: AssetRow, why: str) -> None:
        """Writes the row, and publishes what has become different for whoever looks at the registry."""
        if not row.claims:
            self._remove(draft, row, why)
        elif row.published is None:
            self._admit(draft, row, why)
        else:
            self._update(draft, row, row.published, why)

    def _remove(self, draft: Draft, row: AssetRow, why: str) -> None:
        draft.drop_asset(row)
        if row.published is not None:
            draft.publish(row.asset_id, None)
            mark = (row.published.version_hash, str(row.revision))
            draft.tell(row.asset_id, LifecycleChange.REMOVED, f"{why}; no source claims it any more", mark)

    def _admit(self, draft: Draft, row: AssetRow, why: str) -> None:
        merged = merge(row.asset_id, row.claims, self._settings)
        sources = tuple(sorted({claim.source for claim in row.claims}))
        admission = ask_admission(self._policy, draft.world, merged.asset, sources)
        if admission.allowed:
            state = AssetState.STALE if _all_stale(row) else AssetState.REGISTERED
            reason = f"{why}; admitted by {admission.words}" if admission.words else why
            self._publish(draft, row.model_copy(update={"denied": ""}), merged, state)
            draft.tell(row.asset_id, LifecycleChange.REGISTERED, reason, _mark(draft, row.asset_id))
            return
        if row.denied != admission.words:
            reason = f"{why}, but admission is refused ({admission.outcome.value}): {admission.words}"
            mark = (version_hash(merged.asset), admission.words)
            draft.tell(row.asset_id, LifecycleChange.DENIED, reason, mark)
        draft.put_asset(row.model_copy(update={"denied": admission.words}))

    def _update(self, draft: Draft, row: AssetRow, published: RegisteredAsset, why: str) -> None:
        merged = merge(row.asset_id, row.claims, self._settings)
        fields = changed_fields(published, merged.asset)
        was_stale, is_stale = published.state is AssetState.STALE, _all_stale(row)
        if not fields and was_stale == is_stale:
            if _attribution(self._record(draft, row, merged, published.state)) != _attribution(published):
                self._publish(draft, row, merged, published.state)
            else:
                draft.put_asset(row)
            return
        self._publish(draft, row, merged, AssetState.STALE if is_stale else AssetState.UPDATED)
        newly_stale = is_stale and not was_stale
        words = "; ".join(part for part in (why, what_changed(published, merged.asset, fields)) if part)
        shown = fields if was_stale == is_stale else (*fields, "state")
        change = LifecycleChange.STALE if newly_stale else LifecycleChange.UPDATED
        draft.tell(row.asset_id, change, words, _mark(draft, row.asset_id), shown)

    def _refresh(self, draft: Draft, row: AssetRow) -> None:
        """Nothing new but the time: published only when the published one has grown old."""
        published = row.published
        if published is not None and draft.cause.at - row.published_at >= self._settings.republish_s * 1000:
            merged = Merged(_own_fields(published), published.provenance)
            self._publish(draft, row, merged, published.state, revise=False)

    def _publish(self, draft: Draft, row: AssetRow, merged: Merged, state: AssetState, revise: bool = True) -> None:
        record = self._record(draft, row, merged, state)
        draft.publish(row.asset_id, record)
        fields = {"published": record, "published_at": draft.cause.at, "revision": row.revision + revise}
        draft.put_asset(row.model_copy(update=fields))

    def _record(self, draft: Draft, row: AssetRow, merged: Merged, state: AssetState) -> RegisteredAsset:
        own = {name: getattr(merged.asset, name) for name in Asset.model_fields}
        return RegisteredAsset(
            **own,
            provenance=dict(merged.provenance),
            sources=_sources(draft, row),
            state=state,
            version_hash=version_hash(merged.asset),
        )


def claim_of(row: AssetRow, source: str, scope: str) -> Claim | None:
    return next((c for c in row.claims if (c.source, c.scope) == (source, scope)), None)


def _since(old: Claim, said: Asset, at: int) -> dict[str, int]:
    """When each field was last changed, now that the source says this; labels that are gone are forgotten."""
    moments = {**old.changed, **dict.fromkeys(changed_fields(old.asset, said), at)}
    gone = {f"labels.{key}" for key in old.asset.labels.keys() - said.labels.keys()}
    return {field: moment for field, moment in moments.items() if field not in gone}


def _with_claim(row: AssetRow, claim: Claim) -> AssetRow:
    others = [c for c in row.claims if (c.source, c.scope) != (claim.source, claim.scope)]
    claims = tuple(sorted((*others, claim), key=lambda c: (c.source, c.scope)))
    return row.model_copy(update={"claims": claims})


def _all_stale(row: AssetRow) -> bool:
    return all(claim.stale for claim in row.claims)


def _sources(draft: Draft, row: AssetRow) -> tuple[SourceState, ...]:
    """One entry a source; of a source with several scopes the latest sighting, and the worse of the rest."""
    states: dict[str, SourceState] = {}
    for claim in row.claims:
        seen = draft.sighting(claim.source, claim.scope, row.asset_id)
        complete = draft.scope(claim.source, claim.scope).completed_id is not None and not claim.stale
        other = states.get(claim.source)
        states[claim.source] = SourceState(
            source=claim.source,
            fresh_at=max(seen.at if seen else claim.since, other.fresh_at if other else 0),
            complete=complete and (other is None or other.complete),
            stale=bool(claim.stale) or (other is not None and other.stale),
        )
    return tuple(states[source] for source in sorted(states))


def _attribution(record: RegisteredAsset) -> tuple[dict[str, str], list[tuple[str, bool]]]:
    return record.provenance, [(state.source, state.stale) for state in record.sources]


def _own_fields(record: RegisteredAsset) -> Asset:
    return Asset(**{name: getattr(record, name) for name in Asset.model_fields})


def _mark(draft: Draft, asset_id: str) -> tuple[str, ...]:
    row = draft.asset(asset_id)
    return (row.published.version_hash if row.published else "", str(row.revision))
