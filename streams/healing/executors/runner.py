"""Carries out one order and says what happened. Once per action id; never raises for what an executor does.

begun before? --no--> forbidden? --yes--> refused: nothing was done
    | yes                 +--no--> carried out
    +--may not be repeated, or is forbidden now--> interrupted: what stands is not known
    +--else--> carried out again
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from schemas.records import Action, ActionOutcome, Remediation
from streams.healing.executors.clearance import Clearance, destination_of, unread
from streams.healing.executors.lease import Fence, LeaseLostError, NoFence
from streams.healing.executors.ledger import outcome_of
from streams.healing.executors.outcome_log import MemoryOutcomeLog, OutcomeLog
from streams.healing.ports import INTERRUPTED, REFUSED, Effect, ExecutionError, Executor, Order, RefusedError
from streams.kit.world import World
from streams.policy.modes import approval

Clock = Callable[[], int]
"""Event time now, ms: an effect takes time, and its outcome is of when it ended."""
CarryOut = Callable[[Remediation, World], Awaitable[ActionOutcome]]


def by_type(executors: Iterable[Executor]) -> dict[str, Executor]:
    return {e.action_type: e for e in executors}


@dataclass(slots=True)
class ActionRunner:
    """`clearance` is asked again just before the effect, in the light of the world as it is then.

    `owner` names this process in the leases of `fence`, and no other one.
    """

    executors: Mapping[str, Executor]
    clearance: Clearance
    clock: Clock
    log: OutcomeLog = field(default_factory=MemoryOutcomeLog)
    fence: Fence = field(default_factory=NoFence)
    owner: str = "this process"
    _epochs: dict[str, int] = field(default_factory=dict)
    _turns: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def run(self, order: Remediation, world: World) -> ActionOutcome:
        """What may be repeated has its turn on its asset: an order to undo it must not end before it does."""
        if not all(self._is_repeatable(a) for a in order.actions):
            return await self._once(order, world, self._fenced, repeatable=False)
        async with self._turns.setdefault(order.asset_id, asyncio.Lock()):
            return await self._once(order, world, self._carry_out, repeatable=True)

    async def _once(self, order: Remediation, world: World, carry_out: CarryOut, *, repeatable: bool) -> ActionOutcome:
        known = self.log.find(order.action_id)
        if known is not None:
            return known
        begun, refusal = self.log.has_begun(order.action_id), self._refusal(order, world)
        if begun and (refusal is not None or not repeatable):
            return self._interrupted(order, refusal)  # "Refused" would say that nothing was done.
        if refusal is not None:
            return outcome_of(order, self.clock(), succeeded=False, detail=REFUSED + refusal)
        self._epochs[order.asset_id] = order.fencing_epoch
        if not self.log.begin(order.action_id) and not repeatable:
            return self._interrupted(order, None)
        outcome = await carry_out(order, world)
        self.log.end(outcome)
        return outcome

    def _interrupted(self, order: Remediation, why: str | None) -> ActionOutcome:
        detail = INTERRUPTED if why is None else f"{INTERRUPTED}: {why}"
        outcome = outcome_of(order, self.clock(), succeeded=False, detail=detail)
        self.log.end(outcome)
        return outcome

    def _refusal(self, order: Remediation, world: World) -> str | None:
        newest = self._epochs.get(order.asset_id, 0)
        if order.fencing_epoch < newest:
            return f"epoch {order.fencing_epoch} is older than {newest}, which was already ordered"
        missing = sorted({a.type for a in order.actions} - set(self.executors))
        if missing or not order.actions:
            return f"no executor for {', '.join(missing)}" if missing else "the order has no action"
        if (side := unread(order, world)) is not None:
            return f"{side} is not in the registry as these executors have read it"
        return self.clearance.refusal(order, world, self.clock())

    def _is_repeatable(self, action: Action) -> bool:
        executor = self.executors.get(action.type)
        return executor is not None and executor.repeatable

    async def _fenced(self, order: Remediation, world: World) -> ActionOutcome:
        """What must not be repeated runs under the asset's lease as well; without one nothing is begun."""
        token = f"{self.owner} for {order.action_id}"
        try:
            return await self.fence.guarded(order.asset_id, token, lambda: self._carry_out(order, world))
        except RefusedError as error:
            return outcome_of(order, self.clock(), succeeded=False, detail=f"{REFUSED}{error}")
        except LeaseLostError as error:
            return outcome_of(order, self.clock(), succeeded=False, detail=f"{INTERRUPTED}: {error}")

    async def _carry_out(self, order: Remediation, world: World) -> ActionOutcome:
        effects: list[Effect] = []
        try:
            for action in order.actions:
                effects.append(await self.executors[action.type].execute(self._order(order, action, world)))
        except RefusedError as error:
            prefix = REFUSED if not effects else ""
            return outcome_of(order, self.clock(), succeeded=False, detail=f"{prefix}{error}")
        except ExecutionError as error:
            return outcome_of(order, self.clock(), succeeded=False, detail=str(error))
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; it is an outcome, not the end of the loop
            detail = f"executor threw {type(error).__name__}: {error}"
            return outcome_of(order, self.clock(), succeeded=False, detail=detail)
        detail = "; ".join(e.detail for e in effects)
        rolled_back = any(e.rolled_back for e in effects)
        return outcome_of(order, self.clock(), succeeded=True, detail=detail, rolled_back=rolled_back)

    def _order(self, order: Remediation, action: Action, world: World) -> Order:
        return Order(
            remediation=order,
            action=action,
            asset=world.assets.get(action.target_id),
            destination=destination_of(order, world),
            is_approved=lambda action_id: (a := approval(world, action_id, self.clock())) is not None and a.approved,
        )
