"""Executors that tell a declared control endpoint what to do: failover, failback, rebalance."""

from __future__ import annotations

from dataclasses import dataclass

from streams.healing.executors.delivery import Delivery, body_of, expect_success
from streams.healing.ports import Effect, Order, RefusedError
from streams.healing.strategies.declared import CONTROL, endpoint


@dataclass(frozen=True, slots=True)
class ControlExecutor:
    """POST {"action": ...} with the action's parameters. Repeatable: the endpoint has our idempotency key."""

    delivery: Delivery
    action_type: str
    repeatable: bool = True

    async def execute(self, order: Order) -> Effect:
        target = endpoint(order.asset, CONTROL)
        if target is None:
            raise RefusedError(f"{order.action.target_id} declares no control endpoint")
        expect_success(await self.delivery.post(target.url, body_of(order), order.idempotency_key), target.url)
        return Effect(f"{target.url} accepted {self.action_type} of {order.action.target_id}")


@dataclass(frozen=True, slots=True)
class FailoverExecutor:
    """Tells the control endpoint of the drained asset, else of its destination; without one the drain is the effect."""

    delivery: Delivery
    action_type: str = "failover"
    repeatable: bool = True

    async def execute(self, order: Order) -> Effect:
        back = self.action_type == "failback"
        word = "work again" if back else "no more work"
        target = endpoint(order.asset, CONTROL) or endpoint(order.destination, CONTROL)
        if target is None:
            detail = f"routing gives {order.action.target_id} {word}; no control endpoint to tell"
            return Effect(detail, rolled_back=back)
        expect_success(await self.delivery.post(target.url, body_of(order), order.idempotency_key), target.url)
        detail = f"{target.url} accepted {self.action_type}; routing gives {order.action.target_id} {word}"
        return Effect(detail, rolled_back=back)
