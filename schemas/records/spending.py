"""What the layers have committed of budgets, for each other to see."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.records.base import EventTime, Name, Record

MicroUsd = Annotated[int, Field(ge=0, le=2**62, description="Millionths of a US dollar, whole")]


class Spending(Record):
    """What one layer has committed of the budgets of `scopes`, each of them in full, until its key says otherwise.

    `unregistered`: how much of it the registry's costs do not show yet. The key tells entries of one layer apart.
    `period_micro_usd`: spent, and booked to its end, of the period of the budget that began at `period_start_at`.
    """

    layer: Name
    scopes: tuple[Name, ...]
    micro_usd_per_hour: MicroUsd
    unregistered_micro_usd_per_hour: MicroUsd = 0
    period_start_at: EventTime | None = None
    period_micro_usd: MicroUsd = 0
    cause_id: str
    reason: str
    at: EventTime
