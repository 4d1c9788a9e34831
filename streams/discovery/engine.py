"""`AssetDiscoveryEngine`, which decides, and `DiscoveryLayer`, which gives it the shape of every layer."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.records import DiscoveryEvent, LifecycleChange, Op, PolicyRecord
from streams.discovery.draft import Cause, Draft
from streams.discovery.registry import Registry
from streams.discovery.scopes import Scopes
from streams.discovery.settings import DiscoverySettings
from streams.discovery.state import AssetRow, Row, ScopeRow, decode, encode
from streams.kit import ids
from streams.kit.layer import Event, Step
from streams.kit.world import World
from streams.policy.port import PolicyHook


class AssetDiscoveryEngine:
    """Merges what sources report into one registry; pure. All effects go into the draft."""

    def __init__(self, settings: DiscoverySettings | None = None, policy: PolicyHook | None = None) -> None:
        self.settings = settings or DiscoverySettings()
        self._registry = Registry(self.settings, policy)
        self._scopes = Scopes(self.settings, self._registry)

    def take(self, draft: Draft, event: DiscoveryEvent) -> None:
        if not self._scopes.admits(draft, event):
            return
        match event.op:
            case Op.UPSERT if event.asset is not None:
                self._scopes.upsert(draft, event, event.asset)
            case Op.DELETE if event.asset_id:
                self._scopes.delete(draft, event, event.asset_id)
            case Op.SNAPSHOT_BEGIN if event.snapshot_id:
                self._scopes.begin(draft, event)
            case Op.SNAPSHOT_COMPLETE if event.snapshot_id:
                self._scopes.complete(draft, event)
            case Op.SOURCE_FAILED:
                failure = f"{event.source} failed" + (f": {event.reason}" if event.reason else "")
                self._scopes.lose(draft, event.source, event.scope, failure)
            case _:
                reason = f"{event.source} sent op {event.op.value}, which is not known or lacks what it needs: ignored"
                draft.tell(event.scope, LifecycleChange.WARNED, reason, (event.op.value, str(event.snapshot_id)))

    def ask_again(self, draft: Draft, rows: Mapping[str, Row]) -> None:
        """Policy has changed: what was refused may be admitted now."""
        for key in sorted(rows):
            row = rows[key]
            if isinstance(row, AssetRow) and row.published is None and row.claims:
                self._registry.settle(draft, row, "policy changed")

    def silent_at(self, row: ScopeRow) -> int | None:
        """Event time ms at which the scope counts as silent; None = it is lost already or has no rhythm yet."""
        if row.lost or row.interval_ms is None:
            return None
        patience_s = self.settings.stale_after_s
        return row.heard_at + max(
            round(patience_s * 1000), round(self.settings.stale_after_intervals * row.interval_ms)
        )

    def fall_silent(self, draft: Draft, row: ScopeRow) -> None:
        silent_s = (draft.cause.at - row.heard_at) / 1000
        self._scopes.lose(draft, row.source, row.scope, f"{row.source} has been silent for {silent_s:g} s")

    def end_waits(self, draft: Draft, row: AssetRow) -> None:
        """Of the asset's claims: what stood its time is looked at again, what had a grace goes."""
        for claim in row.claims:
            if claim.doubt_at is not None and claim.doubt_at <= draft.cause.at:
                self._scopes.look_again(draft, draft.asset(row.asset_id), claim)
            if claim.leaves_at is not None and claim.leaves_at <= draft.cause.at:
                why = f"{claim.source} did not report it again in {claim.scope} within {self.settings.grace_s:g} s"
                self._scopes.release(draft, claim.reported_id, claim.source, claim.scope, why)


class DiscoveryLayer:
    """`streams.kit.layer.Layer` over `Row` and `World`. What it emits bears the event's own time, or the timer's."""

    name = "discovery"
    inputs: tuple[str, ...] = ("discovery-events",)
    views: tuple[str, ...] = ("policies",)

    def __init__(self, settings: DiscoverySettings | None = None, policy: PolicyHook | None = None) -> None:
        self.engine = AssetDiscoveryEngine(settings, policy)

    def new_view(self) -> World:
        return World()

    def see(self, view: World, event: Event) -> None:
        view.see(event)

    def step(self, rows: Mapping[str, Row], view: World, event: Event, now: int) -> Step[Row]:
        if not isinstance(event.value, DiscoveryEvent):
            return Step()
        draft = Draft(rows, view, Cause(event.value.source, event.cause_id, event.value.at))
        self.engine.take(draft, event.value)
        return draft.step()

    def on_view(self, rows: Mapping[str, Row], view: World, event: Event, now: int) -> Step[Row]:
        is_rule = event.value is None or (isinstance(event.value, PolicyRecord) and event.value.policy_set is not None)
        if event.topic != "policies" or not is_rule:
            return Step()
        draft = Draft(rows, view, Cause("policy", event.cause_id, now))
        self.engine.ask_again(draft, rows)
        return draft.step()

    def due_at(self, row: Row) -> int | None:
        if isinstance(row, ScopeRow):
            return self.engine.silent_at(row)
        if isinstance(row, AssetRow):
            return min((at for at, _ in _waits(row)), default=None)
        return None

    def on_timer(self, rows: Mapping[str, Row], view: World, key: str, now: int) -> Step[Row]:
        row = rows[key]
        due = self.due_at(row)
        if due is None or due > now:
            return Step()
        cause_id = ids.derive("timer", self.name, key, due)
        if isinstance(row, ScopeRow):
            draft = Draft(rows, view, Cause(row.source, cause_id, due))
            self.engine.fall_silent(draft, row)
            return draft.step()
        if isinstance(row, AssetRow):
            draft = Draft(rows, view, Cause(min(_waits(row))[1], cause_id, due))
            self.engine.end_waits(draft, row)
            return draft.step()
        return Step()

    def encode_row(self, row: Row) -> bytes:
        return encode(row)

    def decode_row(self, data: bytes) -> Row:
        return decode(data)


def _waits(row: AssetRow) -> list[tuple[int, str]]:
    """Event time ms at which a claim is due, and its source."""
    return [(at, c.source) for c in row.claims for at in (c.leaves_at, c.doubt_at) if at is not None]
