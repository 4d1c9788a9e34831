"""Jobs that an ill target lost come back to it: rows that remember them, and how long it has been well. Pure.

    job leaves T ─► row ["away", T] ── T is well ─► settling ─ failback_after_s ─► some come back ─ all are ─► no row
                           ▲                          │  ▲                               │
                           └──── T is ill again ──────┘  └─ failback_window_s, the next ─┘

Any illness begins the time anew, so a target that flaps gets nothing back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from streams.kit import ids
from streams.routing import wording
from streams.routing.settings import RoutingSettings

if TYPE_CHECKING:
    from streams.routing.state import JobRow

_SHARDS: Final = 16


@dataclass(frozen=True, slots=True)
class AwayRow:
    """Some jobs of a target are elsewhere. `well_since` in ms, None = it is ill; `due_at` in ms, None = no turn comes.

    Jobs behind (`urgency`, `job_id`) in order are next; `held`: why the last turn moved none, for who asks.
    """

    asset_id: str
    well_since: int | None = None
    due_at: int | None = None
    urgency: int = -1
    job_id: str = ""
    held: str = ""


def away_key(asset_id: str) -> str:
    return ids.row_key("away", asset_id)


def home_key(row: JobRow | None) -> str | None:
    """The index row that names the job among those that an ill target lost; None = it is none of them."""
    if row is None or row.home_id is None or row.phase.value == "done":
        return None
    return _keys(row.home_id)[ids.tie_break(row.request.id) % _SHARDS]


@lru_cache(maxsize=256)
def _keys(asset_id: str) -> tuple[str, ...]:
    return tuple(ids.row_key("home", asset_id, str(shard)) for shard in range(_SHARDS))


def home_keys(asset_id: str) -> tuple[str, ...]:
    return _keys(asset_id)


def seen(row: AwayRow, well: bool, at: int, settings: RoutingSettings) -> AwayRow:
    """The row after a look at the target's health."""
    if not well:
        return AwayRow(row.asset_id)
    if row.well_since is not None:
        return row
    return replace(row, well_since=at, due_at=at + round(settings.failback_after_s * 1000))


def said(row: AwayRow, at: int) -> str:
    """Why the jobs of this target are not back yet, in words."""
    if row.well_since is None:
        return f"{row.asset_id} is ill"
    well = f"{row.asset_id} has been well for {wording.seconds((at - row.well_since) / 1000)}"
    turn = f", its next turn is in {wording.seconds(max(0, row.due_at - at) / 1000)}" if row.due_at is not None else ""
    return f"{well}{turn}{f'; held back: {row.held}' if row.held else ''}"
