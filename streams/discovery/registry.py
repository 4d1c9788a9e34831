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

from dataclasses import replace

from schemas.records import Asset, AssetState, LifecycleChange, RegisteredAsset
from streams.discovery import identity
from streams.discovery.admission import ask_admission
from streams.discovery.draft import Draft
from streams.discovery.merge import Merged, canonical, changed_fields, merge, version_hash
from streams.discovery.record import all_stale, attribution, keys, own_fields, record_of
from streams.discovery.settings import DiscoverySettings
from streams.discovery.state import AliasRow, AssetRow, Claim
from streams.discovery.wording import what_changed
from streams.policy.port import PolicyHook


class Registry:
    def __init__(self, settings: DiscoverySettings, policy: PolicyHook | None) -> None:
        self._settings = settings
        self._policy = policy

    def report(
        self, draft: Draft, source: str, scope: str, asset: Asset, in_doubt: bool, stands_ms: int | None = None
    ) -> None:
        """The source says that the asset is there, and so. Its sighting is already in the draft.

        `in_doubt`: the scope is lost and not yet regained, so what is stale stays stale. `stands_ms`: see `Claim`.
        """
        said = canonical(asset)
        known = draft.known_as(said.id)
        old = claim_of(draft.asset(known), source, scope, said.id)
        at = draft.cause.at
        if old is None:
            doubt_at = None if stands_ms is None else at + stands_ms
            new = Claim(source=source, scope=scope, asset=said, since=at, stands_ms=stands_ms, doubt_at=doubt_at)
        else:
            changed = _since(old, said, at)
            stale = old.stale if in_doubt else ""
            said_now = {"asset": said, "changed": changed, "stale": stale, "absences": 0, "leaves_at": None}
            new = old.model_copy(update={**said_now, **_standing(old, stands_ms, at)})
        if new == old:
            self._refresh(draft, draft.asset(known))
            return
        if old is None or keys(old.asset) != keys(said):
            known = self._place(draft, source, scope, said)
        self.settle(draft, with_claim(draft.asset(known), new), f"{source} reports it in {scope}")
        if said.strong_keys:
            self._join(draft, known)

    def _place(self, draft: Draft, source: str, scope: str, said: Asset) -> str:
        """The asset that the report is about. What was said under its id so far moves there, if it was elsewhere."""
        before = draft.known_as(said.id)
        link = identity.find(draft, source, scope, said)
        asset_id = link.asset_id if link is not None else said.id
        if asset_id != before:
            draft.put_alias(said.id, link)
            moving = tuple(c for c in draft.asset(before).claims if c.reported_id == said.id)
            if moving:
                self._move(draft, before, asset_id, moving, f"{said.id} is not {before} any more")
        elif link is not None:
            draft.put_alias(said.id, link)
        return asset_id

    def _join(self, draft: Draft, asset_id: str) -> None:
        """Two assets with one strong key become one: the later one's claims go to the earlier one."""
        found = identity.same_as(draft, draft.asset(asset_id))
        if found is None:
            return
        other, key = found
        kept = identity.oldest(draft, (asset_id, other))
        lost = other if kept == asset_id else asset_id
        moving = draft.asset(lost).claims
        for reported_id in sorted({c.reported_id for c in moving} - {kept}):
            draft.put_alias(reported_id, AliasRow(asset_id=kept, key=key, strong=True))
        self._move(draft, lost, kept, moving, f"{lost} is {kept}: both have the strong key {key}")

    def _move(self, draft: Draft, from_id: str, to_id: str, moving: tuple[Claim, ...], why: str) -> None:
        left = draft.asset(from_id)
        self.settle(draft, left.model_copy(update={"claims": tuple(c for c in left.claims if c not in moving)}), why)
        row = draft.asset(to_id)
        for claim in moving:
            row = with_claim(row, claim)
        self.settle(draft, row, why)

    def confirm(self, draft: Draft, source: str, scope: str, asset_id: str, in_doubt: bool) -> None:
        """The source says that the asset is there, and nothing newer of it than it said before."""
        claim = claim_of(draft.asset_of(asset_id), source, scope, asset_id)
        if claim is not None:
            self.report(draft, source, scope, claim.asset, in_doubt, claim.stands_ms)

    def withdraw(self, draft: Draft, asset_id: str, source: str, scope: str, why: str) -> None:
        """The source's claim of what it reports under this id, in this scope, ends."""
        row = draft.asset_of(asset_id)
        kept = tuple(c for c in row.claims if (c.source, c.scope, c.reported_id) != (source, scope, asset_id))
        if len(kept) != len(row.claims):
            if row.asset_id != asset_id and all(c.reported_id != asset_id for c in kept):
                draft.put_alias(asset_id, None)
            self.settle(draft, row.model_copy(update={"claims": kept}), why)

    def doubt(self, draft: Draft, row: AssetRow, claim: Claim) -> None:
        """`claim` is one of the row's, with `stale` now set: the asset is stale once all of its claims are."""
        self.settle(draft, with_claim(row, claim), claim.stale)

    def settle(self, draft: Draft, row: AssetRow, why: str) -> None:
        """Writes the row, and publishes what has become different for whoever looks at the registry."""
        identity.note_keys(draft, row.asset_id, draft.asset(row.asset_id).claims, row.claims)
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
        merged = self._merged(draft, row)
        sources = tuple(sorted({claim.source for claim in row.claims}))
        admission = ask_admission(self._policy, draft.world, merged.asset, sources)
        if admission.allowed:
            state = AssetState.STALE if all_stale(row) else AssetState.REGISTERED
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
        merged = self._merged(draft, row)
        fields = changed_fields(published, merged.asset)
        was_stale, is_stale = published.state is AssetState.STALE, all_stale(row)
        if not fields and was_stale == is_stale:
            if attribution(record_of(draft, row, merged, published.state)) != attribution(published):
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

    def _merged(self, draft: Draft, row: AssetRow) -> Merged:
        """With what it refers to under the ids that the registry has for them."""
        merged = merge(row.asset_id, row.claims, self._settings)
        needs = sorted({draft.known_as(i) for i in merged.asset.depends_on} - {row.asset_id})
        falls_to = dict.fromkeys(draft.known_as(i) for i in merged.asset.fallback_ids)
        known = {"depends_on": tuple(needs), "fallback_ids": tuple(i for i in falls_to if i != row.asset_id)}
        if all(getattr(merged.asset, name) == value for name, value in known.items()):
            return merged
        return replace(merged, asset=merged.asset.model_copy(update=known))

    def _refresh(self, draft: Draft, row: AssetRow) -> None:
        """Nothing new but the time: published only when the published one has grown old."""
        published = row.published
        if published is not None and draft.cause.at - row.published_at >= self._settings.republish_s * 1000:
            merged = Merged(own_fields(published), published.provenance, published.conflicts)
            self._publish(draft, row, merged, published.state, revise=False)

    def _publish(self, draft: Draft, row: AssetRow, merged: Merged, state: AssetState, revise: bool = True) -> None:
        record = record_of(draft, row, merged, state)
        draft.publish(row.asset_id, record)
        fields = {"published": record, "published_at": draft.cause.at, "revision": row.revision + revise}
        draft.put_asset(row.model_copy(update=fields))


def claim_of(row: AssetRow, source: str, scope: str, reported_id: str) -> Claim | None:
    wanted = (source, scope, reported_id)
    return next((c for c in row.claims if (c.source, c.scope, c.reported_id) == wanted), None)


def _since(old: Claim, said: Asset, at: int) -> dict[str, int]:
    """When each field was last changed, now that the source says this; labels that are gone are forgotten."""
    moments = {**old.changed, **dict.fromkeys(changed_fields(old.asset, said), at)}
    gone = {f"labels.{key}" for key in old.asset.labels.keys() - said.labels.keys()}
    return {field: moment for field, moment in moments.items() if field not in gone}


def _standing(old: Claim, stands_ms: int | None, at: int) -> dict[str, int | None]:
    armed = old.doubt_at is not None and old.stands_ms == stands_ms
    doubt_at = old.doubt_at if armed or stands_ms is None else at + stands_ms
    return {"stands_ms": stands_ms, "doubt_at": None if stands_ms is None else doubt_at}


def with_claim(row: AssetRow, claim: Claim) -> AssetRow:
    others = [c for c in row.claims if _place_of(c) != _place_of(claim)]
    claims = tuple(sorted((*others, claim), key=_place_of))
    return row.model_copy(update={"claims": claims})


def _place_of(claim: Claim) -> tuple[str, str, str]:
    return claim.source, claim.scope, claim.reported_id


def _mark(draft: Draft, asset_id: str) -> tuple[str, ...]:
    row = draft.asset(asset_id)
    return (row.published.version_hash if row.published else "", str(row.revision))
