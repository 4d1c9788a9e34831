"""Governance that people publish: policy sets, autonomy modes, pauses, budgets, approvals."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from schemas import recurrence
from schemas.periods import parse
from schemas.records.base import EventTime, Labels, Name, NonNegative, Record
from schemas.records.enums import AutonomyMode


class PolicySet(Record):
    """A whole Cedar policy set; `files` maps a file name to its text."""

    files: Labels


class ModeRule(Record):
    """Autonomy of a strategy x tenant x environment; `*` matches all, the most specific rule wins."""

    strategy: str = "*"
    tenant: str = "*"
    environment: str = "*"
    mode: AutonomyMode


class Pause(Record):
    """A named hold on effects in a scope (`*`, `tenant:x` or `asset:y`); lifted only by its own holder.

    With `starts_at` it is a maintenance window: it holds from then on, `until` excluded. With `rrule` it comes again by
    that rule (`recurrence`), at the wall clock times of the first one in `zone` (IANA name; none = UTC).
    """

    scope: str = "*"
    holder: Name
    lifted: bool = False
    until: EventTime | None = None
    starts_at: EventTime | None = None
    rrule: str | None = None
    zone: str | None = None

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> Pause:
        if self.starts_at is not None and self.until is not None and self.until <= self.starts_at:
            raise ValueError(f"until={self.until} is not after starts_at={self.starts_at}: it would never hold")
        if self.rrule is None and self.zone is not None:
            raise ValueError("zone without an rrule says nothing: times are UTC")
        if self.rrule is not None and self._recurrence() is None:
            raise ValueError("an rrule needs starts_at and until, the first window")
        return self

    def window(self, now: int) -> tuple[int | None, int | None] | None:
        """Start and end of the hold at `now`, event time ms, None = open; None alone = it does not hold then."""
        found = self._recurrence()
        if found is not None:
            return found.window(now)
        holds = (self.starts_at is None or self.starts_at <= now) and (self.until is None or now < self.until)
        return (self.starts_at, self.until) if holds else None

    def _recurrence(self) -> recurrence.Recurrence | None:
        if self.rrule is None or self.starts_at is None or self.until is None:
            return None
        return recurrence.parse(self.rrule, self.zone or "UTC", self.starts_at, self.until)


class Budget(Record):
    """With a `period` (`periods.parse`) the limit is the average over each: that times its hours may be spent."""

    scope: str
    limit_usd_per_hour: NonNegative
    period: str | None = None
    anchor_at: EventTime | None = None

    @model_validator(mode="after")
    def _period_is_one(self) -> Budget:
        if self.period is not None:
            parse(self.period, self.anchor_at)
        elif self.anchor_at is not None:
            raise ValueError("anchor_at without a period says nothing")
        return self


class Approval(Record):
    action_id: Name
    approved: bool
    by: Name
    expires_at: EventTime | None = None


class PolicyRecord(Record):
    """One versioned entry of topic `policies`: exactly one of the bodies is set. Key = `id`.

    Kind `unknown` has none: what an older reader makes of a kind that came later.
    """

    id: Name
    kind: Literal["policy_set", "mode", "pause", "budget", "approval", "unknown"]
    version: str
    author: str = ""
    reason: str = ""
    policy_set: PolicySet | None = None
    mode: ModeRule | None = None
    pause: Pause | None = None
    budget: Budget | None = None
    approval: Approval | None = None
    at: EventTime

    @model_validator(mode="after")
    def _body_fits_kind(self) -> PolicyRecord:
        bodies = {n for n in ("policy_set", "mode", "pause", "budget", "approval") if getattr(self, n) is not None}
        wanted = set() if self.kind == "unknown" else {self.kind}
        if bodies != wanted:
            raise ValueError(f"kind={self.kind} needs exactly the bodies {sorted(wanted)}, got {sorted(bodies)}")
        return self
