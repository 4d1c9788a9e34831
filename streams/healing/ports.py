"""What a healing plug-in implements: the pure half (`ResponseStrategy`) and the half with effects (`Executor`).

A strategy's `Action.type` names the executor that carries it out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from schemas.records import Action, Anomaly, RegisteredAsset, Remediation
from streams.kit.world import World
from streams.policy.budgets import FREE, Cost

REFUSED = "refused: "
"""An outcome's detail starts with it when nothing was done (authority, fencing, safety): no retry, no cooldown."""
INTERRUPTED = "interrupted before its outcome was known; it is not run twice"
"""An outcome's detail starts with it when the effect may have happened: no retry, which would be another action id."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a strategy may look at. `asset` None = not in the registry; times in event time ms."""

    anomaly: Anomaly
    asset: RegisteredAsset | None
    world: World
    pool: str
    pool_ids: tuple[str, ...]
    is_healthy: Callable[[str], bool]
    """asset id -> no open incident that healing knows of, and not drained"""
    drained_to: str | None
    now: int
    standing: str | None = None
    """The strategy whose effect on the asset stands until it is undone; None = none does for certain."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to act. `watched_id`: the asset whose health proves that it worked; `why`: a clause for the reason.

    `cost`: what it adds to what is spent while it stands, which budgets bound.
    """

    actions: tuple[Action, ...]
    why: str
    watched_id: str
    destination_id: str | None = None
    cost: Cost = FREE


class ResponseStrategy(Protocol):
    """Pure. May raise: the engine records that as a failed strategy and goes on (H3)."""

    @property
    def id(self) -> str: ...

    def precheck(self, situation: Situation) -> str | None:
        """None = can act; else why not, as a clause. Runs before anything is changed."""

    def plan(self, situation: Situation) -> tuple[Plan, ...]:
        """The ways to act, best first; the first that policy allows is taken. Not empty after a passed pre-check."""

    def compensate(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        """The actions that undo `actions`; empty = nothing to undo. What can be undone is, once the asset is well."""


@dataclass(frozen=True, slots=True)
class Order:
    """One action to carry out. `is_approved(id)` asks the policy records at the moment of the call."""

    remediation: Remediation
    action: Action
    asset: RegisteredAsset | None
    destination: RegisteredAsset | None
    is_approved: Callable[[str], bool]

    @property
    def idempotency_key(self) -> str:
        return self.remediation.action_id


@dataclass(frozen=True, slots=True)
class Effect:
    """What was done: a sentence that a person can check. `rolled_back`: an earlier effect was undone."""

    detail: str
    rolled_back: bool = False


class ExecutionError(Exception):
    """The effect failed or may have failed."""


class RefusedError(ExecutionError):
    """Nothing was done, on purpose."""


class Executor(Protocol):
    """Raises `RefusedError` if it did nothing, `ExecutionError` if it tried and failed."""

    @property
    def action_type(self) -> str: ...

    @property
    def repeatable(self) -> bool:
        """True if running it again after an interruption is harmless (the other side knows the idempotency key).

        False: it runs under a lease on the asset as well, and never a second time.
        """

    async def execute(self, order: Order) -> Effect: ...
