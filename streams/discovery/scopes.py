"""One scope of one source at a time: snapshots, who is in it, and when it is out of reach.

                       begin(s)                complete(s): what s lacks may go (`guard`)
    NEVER LISTED ---------------> LISTING s ---------------------------------------------> LISTED
         |                        |  ^   | begin(t): s is forgotten                          |
         |                        |  +---+                                                   |
         | failed                 | failed, silent                            failed, silent |
         +---------------------> LOST <------------------------------------------------------+
                                  | complete(t), or a word outside a listing (a watch): within reach again

A listing that is under way does not end LOST: a source that always fails half-way would otherwise make its assets
fresh and stale in turn. Its complete makes fresh what it listed; a watch, what it speaks of.

Only `complete` of the snapshot that is open is evidence of absence (D5). A claim outside any snapshot (a watch) counts
as seen by the snapshot that is open at the time.
"""

from __future__ import annotations

from schemas.records import Asset, DiscoveryEvent, LifecycleChange
from streams.discovery.draft import Draft
from streams.discovery.guard import judge
from streams.discovery.registry import Registry, claim_of, with_claim
from streams.discovery.settings import DiscoverySettings
from streams.discovery.state import AssetRow, Claim, ScopeRow, Sighting
from streams.discovery.wording import percent, some_of


class Scopes:
    def __init__(self, settings: DiscoverySettings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry

    def admits(self, draft: Draft, event: DiscoveryEvent) -> bool:
        """False: it is from an instance that another has taken the source over from; told once an epoch.

        What bears no epoch comes from somebody who is not fenced, such as a person. The first word of a new instance
        makes an open snapshot of the old one void.
        """
        if event.epoch is None:
            return True
        row = draft.scope(event.source, event.scope)
        if event.epoch > row.epoch:
            draft.put_scope(row.model_copy(update={"epoch": event.epoch, "open_id": None}))
        if event.epoch >= row.epoch:
            return True
        if row.fenced != event.epoch:
            draft.put_scope(row.model_copy(update={"fenced": event.epoch}))
            why = (
                f"an instance of {event.source} with epoch {event.epoch} still speaks of {event.scope}, which another "
                f"took over with epoch {row.epoch}: it is not heard"
            )
            draft.tell(event.scope, LifecycleChange.WARNED, why, (event.source, str(event.epoch)))
        return False

    def begin(self, draft: Draft, event: DiscoveryEvent) -> None:
        """Opens a snapshot. The id that is open already goes on: a repeat must not make what was listed look absent."""
        row = _heard(draft, event, recovered=False)
        if row.open_id != event.snapshot_id:
            opened = {"open_id": event.snapshot_id, "snapshots": row.snapshots + 1, "size_at_begin": row.size}
            draft.put_scope(row.model_copy(update=opened))

    def upsert(self, draft: Draft, event: DiscoveryEvent, asset: Asset) -> None:
        """A report. One older than the last tells nothing new of the asset, but a listing shows that it is there."""
        listing = _is_listing(draft.scope(event.source, event.scope), event)
        row = _heard(draft, event, recovered=not listing)
        before = draft.sighting(event.source, event.scope, asset.id)
        if listing and before is not None and before.entries and before.snapshot == row.snapshots:
            draft.put_sighting(event.source, event.scope, asset.id, before._replace(entries=before.entries + 1))
            if before.entries == 1:
                self._warn_of_repeat(draft, event, asset.id)
            return
        draft.put_sighting(event.source, event.scope, asset.id, _sighted(row, event, before))
        if before is None:
            draft.put_scope(row.model_copy(update={"size": row.size + 1}))
        if before is None or event.at >= before.at:
            stands_ms = None if event.stands_s is None else round(event.stands_s * 1000)
            self._registry.report(draft, event.source, event.scope, asset, bool(row.lost), stands_ms)
        elif listing:
            self._registry.confirm(draft, event.source, event.scope, asset.id, in_doubt=bool(row.lost))

    def delete(self, draft: Draft, event: DiscoveryEvent, asset_id: str) -> None:
        """The source itself says that the asset is gone: no guard, no grace. One older than the last report is void."""
        _heard(draft, event, recovered=True)
        before = draft.sighting(event.source, event.scope, asset_id)
        if before is not None and event.at >= before.at:
            why = f"{event.source} deleted it in {event.scope}" + (f" ({event.reason})" if event.reason else "")
            self.release(draft, asset_id, event.source, event.scope, why)

    def release(self, draft: Draft, asset_id: str, source: str, scope: str, why: str) -> None:
        """Ends a claim and the membership that goes with it."""
        row = draft.scope(source, scope)
        draft.put_scope(row.model_copy(update={"size": max(0, row.size - 1)}))
        self._registry.withdraw(draft, asset_id, source, scope, why)
        draft.put_sighting(source, scope, asset_id, None)

    def complete(self, draft: Draft, event: DiscoveryEvent) -> None:
        was_lost = draft.scope(event.source, event.scope).lost
        row = _heard(draft, event, recovered=draft.scope(event.source, event.scope).open_id == event.snapshot_id)
        if row.open_id != event.snapshot_id:
            if row.completed_id != event.snapshot_id:
                self._warn_of_stray_end(draft, event, row)
            return
        draft.put_scope(row.model_copy(update=_listed(row, event.at)))
        if was_lost:
            self._regain(draft, event, row)
        absent = {
            asset_id: claim.absences
            for asset_id, seen in draft.members(event.source, event.scope)
            if seen.snapshot != row.snapshots
            and (claim := claim_of(draft.asset_of(asset_id), event.source, event.scope, asset_id)) is not None
            and claim.leaves_at is None
        }
        verdict = judge(absent, row.size_at_begin, self._settings)
        for asset_id in verdict.go:
            self._let_go(draft, event, asset_id, confirmed=absent[asset_id] > 0)
        if verdict.hold:
            self._hold(draft, event, verdict.hold, row.size_at_begin)

    def _regain(self, draft: Draft, event: DiscoveryEvent, row: ScopeRow) -> None:
        """A lost scope is whole again: what this snapshot listed is no longer in doubt."""
        for asset_id, seen in tuple(draft.members(event.source, event.scope)):
            if seen.snapshot == row.snapshots:
                self._registry.confirm(draft, event.source, event.scope, asset_id, in_doubt=False)

    def lose(self, draft: Draft, source: str, scope: str, why: str) -> None:
        """The scope is out of reach: nothing of it is removed, all of it is stale; an open snapshot is void."""
        row = draft.scope(source, scope)
        draft.put_scope(row.model_copy(update={"lost": why, "open_id": None}))
        if not row.lost:
            told = f"{why}; its {row.size} assets in {scope} stay, marked stale"
            draft.tell(scope, LifecycleChange.WARNED, told, (source, str(row.completed_id)))
        for asset_id, _ in tuple(draft.members(source, scope)):
            asset = draft.asset_of(asset_id)
            claim = claim_of(asset, source, scope, asset_id)
            if claim is not None and not claim.stale:
                self._registry.doubt(draft, asset, claim.model_copy(update={"stale": why}))

    def look_again(self, draft: Draft, row: AssetRow, claim: Claim) -> None:
        """What the claim says has stood its time: it is stale, unless the source has said it again since."""
        seen = draft.sighting(claim.source, claim.scope, claim.reported_id)
        stands_ms, said_at = claim.stands_ms or 0, seen.at if seen is not None else claim.since
        if said_at + stands_ms > draft.cause.at:
            draft.put_asset(with_claim(row, claim.model_copy(update={"doubt_at": said_at + stands_ms})))
            return
        stale = claim.stale or f"{claim.source} has not seen it for {stands_ms / 1000:g} s"
        self._registry.doubt(draft, row, claim.model_copy(update={"stale": stale, "doubt_at": None}))

    def _let_go(self, draft: Draft, event: DiscoveryEvent, asset_id: str, confirmed: bool) -> None:
        why = f"{event.source} no longer lists it: complete snapshot {event.snapshot_id} of {event.scope} lacks it"
        if confirmed:
            why += ", which confirms what the mass-delete guard held"
        if self._settings.grace_s == 0:
            self.release(draft, asset_id, event.source, event.scope, why)
            return
        stale = f"{why}; it goes in {self._settings.grace_s:g} s unless it is reported again"
        leaves_at = event.at + round(self._settings.grace_s * 1000)
        self._mark(draft, event, asset_id, {"stale": stale, "leaves_at": leaves_at})

    def _hold(self, draft: Draft, event: DiscoveryEvent, held: tuple[str, ...], known: int) -> None:
        why = (
            f"mass-delete guard: complete snapshot {event.snapshot_id} of {event.source} lacks "
            f"{percent(len(held), known)} of {event.scope}, more than {100 * self._settings.mass_delete_share:g} %; "
            f"held until {self._settings.mass_delete_confirmations} more confirm it or the source deletes explicitly"
        )
        mark = (event.source, str(event.snapshot_id))
        draft.tell(event.scope, LifecycleChange.HELD, f"{why}: {some_of(held)}", mark)
        for asset_id in held:
            claim = claim_of(draft.asset_of(asset_id), event.source, event.scope, asset_id)
            absences = claim.absences + 1 if claim is not None else 1
            self._mark(draft, event, asset_id, {"stale": why, "absences": absences})

    def _mark(self, draft: Draft, event: DiscoveryEvent, asset_id: str, update: dict[str, str | int]) -> None:
        asset = draft.asset_of(asset_id)
        claim = claim_of(asset, event.source, event.scope, asset_id)
        if claim is not None:
            self._registry.doubt(draft, asset, claim.model_copy(update=update))

    def _warn_of_repeat(self, draft: Draft, event: DiscoveryEvent, asset_id: str) -> None:
        why = (
            f"provider {event.source} listed {asset_id} more than once in snapshot {event.snapshot_id} "
            f"of {event.scope}; the first entry counts"
        )
        draft.tell(asset_id, LifecycleChange.WARNED, why, (event.scope, str(event.snapshot_id)))

    def _warn_of_stray_end(self, draft: Draft, event: DiscoveryEvent, row: ScopeRow) -> None:
        opened = f"snapshot {row.open_id} is open" if row.open_id else "no snapshot is open"
        why = f"{event.source} ended snapshot {event.snapshot_id} of {event.scope}, but {opened}: nothing is removed"
        draft.tell(event.scope, LifecycleChange.WARNED, why, (str(event.snapshot_id),))


def _heard(draft: Draft, event: DiscoveryEvent, recovered: bool) -> ScopeRow:
    """`recovered`: the event shows that a lost scope is within reach again."""
    row = draft.scope(event.source, event.scope)
    lost = "" if recovered else row.lost
    heard = row.model_copy(update={"heard_at": max(row.heard_at, event.at), "lost": lost})
    draft.put_scope(heard)
    return heard


def _is_listing(row: ScopeRow, event: DiscoveryEvent) -> bool:
    return row.open_id is not None and event.snapshot_id == row.open_id


def _sighted(row: ScopeRow, event: DiscoveryEvent, before: Sighting | None) -> Sighting:
    at = event.at if before is None else max(event.at, before.at)
    if _is_listing(row, event):
        return Sighting(at, row.snapshots, 1)
    if row.open_id is not None and event.snapshot_id is None:
        entries = before.entries if before is not None and before.snapshot == row.snapshots else 0
        return Sighting(at, row.snapshots, entries)
    return before._replace(at=at) if before is not None else Sighting(at, 0, 0)


def _listed(row: ScopeRow, at: int) -> dict[str, str | int | None]:
    interval_ms = max(0, at - row.completed_at) if row.completed_at is not None else None
    return {"open_id": None, "completed_id": row.open_id, "completed_at": at, "interval_ms": interval_ms}
