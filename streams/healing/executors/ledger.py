"""The executor layer's pure part: which orders are carried out, which are refused, and what was answered before.

executing --authority, fence--> refused: outcome at once
    | cleared
    +--drain only (no control endpoint): outcome at once, since routing reads the drain from the order itself
    +--effect needed: pending --effect done, `complete`--> done
a repeated order: the same outcome again, never a second effect
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from schemas.records import ActionOutcome, Record, Remediation, RemediationStatus
from streams.healing.executors.clearance import Clearance, destination_of, unread
from streams.healing.executors.settings import ExecutorSettings
from streams.healing.ports import REFUSED
from streams.healing.settings import milliseconds
from streams.healing.strategies.declared import CONTROL, SERVER, SWITCH, endpoint
from streams.kit.ids import derive, row_key
from streams.kit.layer import Emission, Event, Step
from streams.kit.world import World

VERSION = b"1"
_DRAINS = ("failover", "failback")


class LedgerError(Exception):
    """A saved row can't be read: rebuild the table from its changelog, or delete it (repeats may then act twice)."""


class OrderRow(Record):
    """One action id. `outcome` None = its effect is under way, or was when the process ended."""

    row: Literal["order"] = "order"
    order: Remediation
    outcome: ActionOutcome | None = None
    forget_at: int


class FenceRow(Record):
    """The highest fencing epoch seen for an asset; an older order comes from a healer that lost its lease."""

    row: Literal["fence"] = "fence"
    epoch: int


LedgerRow = OrderRow | FenceRow
_ROWS: TypeAdapter[LedgerRow] = TypeAdapter(Annotated[LedgerRow, Field(discriminator="row")])


def order_key(action_id: str) -> str:
    return row_key("order", action_id)


def fence_key(asset_id: str) -> str:
    return row_key("fence", asset_id)


class ExecutorsLayer:
    """`streams.kit.layer.Layer`. After each flushed step the caller runs what `pending` gives and hands it back."""

    name: str = "executors"
    inputs: tuple[str, ...] = ("remediations",)
    views: tuple[str, ...] = ("assets", "policies")

    def __init__(self, clearance: Clearance, settings: ExecutorSettings | None = None) -> None:
        self.clearance = clearance
        self.settings = settings or ExecutorSettings()

    def new_view(self) -> World:
        return World()

    def see(self, view: World, event: Event) -> None:
        view.see(event)

    def step(self, rows: Mapping[str, LedgerRow], view: World, event: Event, now: int) -> Step[LedgerRow]:
        order = event.value
        if not isinstance(order, Remediation) or order.status is not RemediationStatus.EXECUTING:
            return Step()
        known = rows.get(order_key(order.action_id))
        if isinstance(known, OrderRow):
            return Step({}, _emissions(known.outcome))
        fence = rows.get(fence_key(order.asset_id))
        if isinstance(fence, FenceRow) and order.fencing_epoch < fence.epoch:
            reason = f"epoch {order.fencing_epoch} is older than {fence.epoch}, which was already ordered"
            return self._done(order, outcome_of(order, now, succeeded=False, detail=REFUSED + reason), now)
        refusal = self.clearance.refusal(order, view, now)
        if refusal is not None:
            return self._done(order, outcome_of(order, now, succeeded=False, detail=REFUSED + refusal), now)
        if drain_only(order, view):
            return self._done(order, drained(order, now), now)
        return self._kept(OrderRow(order=order, forget_at=self._forget_at(now)))

    def complete(self, rows: Mapping[str, LedgerRow], outcome: ActionOutcome, now: int) -> Step[LedgerRow]:
        """What the runner says an effect came to; the first word counts."""
        known = rows.get(order_key(outcome.action_id))
        if not isinstance(known, OrderRow) or known.outcome is not None:
            return Step()
        return self._done(known.order, outcome, now)

    def pending(self, rows: Mapping[str, LedgerRow]) -> Iterator[Remediation]:
        """Orders whose effect has no outcome yet, oldest first: to be run (again, after a crash)."""
        waiting = [r.order for r in rows.values() if isinstance(r, OrderRow) and r.outcome is None]
        return iter(sorted(waiting, key=lambda o: (o.at, o.action_id)))

    def on_view(self, rows: Mapping[str, LedgerRow], view: World, event: Event, now: int) -> Step[LedgerRow]:
        return Step()

    def due_at(self, row: LedgerRow) -> int | None:
        return row.forget_at if isinstance(row, OrderRow) else None

    def on_timer(self, rows: Mapping[str, LedgerRow], view: World, key: str, now: int) -> Step[LedgerRow]:
        return Step({key: None})

    def encode_row(self, row: LedgerRow) -> bytes:
        return VERSION + _ROWS.dump_json(row)

    def decode_row(self, data: bytes) -> LedgerRow:
        if data[:1] != VERSION:
            raise LedgerError(f"executor row of version {data[:1]!r}, this release reads {VERSION!r}")
        try:
            return _ROWS.validate_json(data[1:])
        except ValidationError as error:
            raise LedgerError(f"executor row is damaged: {error}; {LedgerError.__doc__}") from error

    def _forget_at(self, now: int) -> int:
        return now + milliseconds(self.settings.retention_s)

    def _done(self, order: Remediation, outcome: ActionOutcome, now: int) -> Step[LedgerRow]:
        step = self._kept(OrderRow(order=order, outcome=outcome, forget_at=self._forget_at(now)))
        refused = outcome.detail.startswith(REFUSED)
        rows = {k: r for k, r in step.rows.items() if not (refused and isinstance(r, FenceRow))}
        return Step(rows, _emissions(outcome))

    def _kept(self, row: OrderRow) -> Step[LedgerRow]:
        fence = FenceRow(epoch=row.order.fencing_epoch)
        return Step({order_key(row.order.action_id): row, fence_key(row.order.asset_id): fence})


def _emissions(outcome: ActionOutcome | None) -> tuple[Emission, ...]:
    if outcome is None:
        return ()
    return (Emission("action-outcomes", outcome.asset_id, outcome, outcome.at, outcome.cause_id),)


def outcome_of(
    order: Remediation, at: int, *, succeeded: bool, detail: str, rolled_back: bool = False
) -> ActionOutcome:
    """One outcome per action id, so that a repeat has the same id."""
    return ActionOutcome(
        id=derive("outcome", order.action_id),
        action_id=order.action_id,
        incident_id=order.incident_id,
        asset_id=order.asset_id,
        strategy=order.strategy,
        succeeded=succeeded,
        rolled_back=rolled_back,
        fencing_epoch=order.fencing_epoch,
        detail=detail,
        cause_id=order.id,
        at=at,
    )


def drain_only(order: Remediation, world: World) -> bool:
    """Nothing has to be called: neither side of a failover declares a control endpoint or a load balancer."""
    if not order.actions or any(a.type not in _DRAINS for a in order.actions) or unread(order, world) is not None:
        return False
    sides = (world.assets.get(order.asset_id), destination_of(order, world))
    return all(endpoint(side, kind) is None for side in sides for kind in (CONTROL, SERVER, SWITCH))


def drained(order: Remediation, at: int) -> ActionOutcome:
    back = order.actions[0].type == "failback"
    detail = f"routing gives {order.asset_id} {'work again' if back else 'no more work'}; no control endpoint to tell"
    return outcome_of(order, at, succeeded=True, detail=detail, rolled_back=back)
