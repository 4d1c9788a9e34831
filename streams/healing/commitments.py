"""What healing has committed of budgets: from the order to its end, asset by asset, and as sums by scope.

    ordered ──► committed ── its drain is undone, or failed ────────────────► given back (what can be undone)
                        └─── its incident gives the asset's lease back ─────► given back (a scale-out, for which the
                                                                              registry has the cost from then on)

Each change is a record on `spending`, key layer, asset and strategy; a tombstone gives back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from schemas.records import Spending
from streams.healing.state import AssetRow, Commitment, SpendingRow
from streams.kit.ids import row_key
from streams.kit.layer import Emission
from streams.kit.ledger import MICRO
from streams.policy.budgets import HEALING, Sums

if TYPE_CHECKING:
    from streams.healing.draft import Draft


def standing(row: AssetRow) -> AssetRow:
    """The row with what it still commits."""
    spends = tuple(c for c in row.spends if _stands(c, row))
    return row if spends == row.spends else row.model_copy(update={"spends": spends})


def _stands(c: Commitment, row: AssetRow) -> bool:
    if not c.undone:
        return row.lease is not None and row.lease.incident_id == c.incident_id
    drains = row.drain.all() if row.drain is not None else ()
    return any((d.incident_id, d.strategy) == (c.incident_id, c.strategy) for d in drains)


def account(draft: Draft, asset_id: str, before: tuple[Commitment, ...], after: tuple[Commitment, ...]) -> None:
    """Brings the sums up to date and tells what changed."""
    sums = added(draft.spending().by_scope, sum_of(before), -1)
    sums = added(sums, sum_of(after), 1)
    draft.put_spending(SpendingRow(by_scope=dict(sorted(sums.items()))))
    old, new = {c.strategy: c for c in before}, {c.strategy: c for c in after}
    for strategy in sorted(old.keys() | new.keys()):
        if old.get(strategy) != new.get(strategy):
            draft.emissions.append(_told(draft, asset_id, strategy, new.get(strategy)))


def sum_of(commitments: Iterable[Commitment]) -> dict[str, tuple[int, int]]:
    """By scope, each of them in full."""
    sums: dict[str, tuple[int, int]] = {}
    for c in commitments:
        sums = added(sums, dict.fromkeys(c.scopes, (c.micro_usd, c.unregistered_micro_usd)), 1)
    return sums


def added(sums: Sums, more: Sums, sign: int) -> dict[str, tuple[int, int]]:
    """`sign` -1 takes away. Without those of nothing, in no order to go by."""
    out = dict(sums)
    for scope, (use, unregistered) in more.items():
        before = out.pop(scope, (0, 0))
        now = (before[0] + sign * use, before[1] + sign * unregistered)
        if now != (0, 0):
            out[scope] = now
    return out


def _told(draft: Draft, asset_id: str, strategy: str, c: Commitment | None) -> Emission:
    record = None if c is None else Spending(
        layer=HEALING,
        scopes=c.scopes,
        micro_usd_per_hour=c.micro_usd,
        unregistered_micro_usd_per_hour=c.unregistered_micro_usd,
        cause_id=draft.cause_id,
        reason=f"{strategy} of {asset_id} for {c.incident_id} costs {c.micro_usd / MICRO:,.2f} USD/h while it stands",
        at=draft.now,
    )  # fmt: skip
    return Emission("spending", row_key(HEALING, asset_id, strategy), record, draft.now, draft.cause_id)
