"""Executors that tell a declared control endpoint what to do: failover, failback, rebalance."""

from __future__ import annotations

from dataclasses import dataclass

from streams.healing.executors.delivery import Delivery, body_of, expect_success
from streams.healing.executors.load_balancers import LoadBalancers
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
    """Tells the load balancer, then the control endpoint of the drained asset, else of its destination.

    Each where it is declared; without either the drain is the effect.
    """

    delivery: Delivery
    balancers: LoadBalancers
    action_type: str = "failover"
    repeatable: bool = True

    async def execute(self, order: Order) -> Effect:
        back = self.action_type == "failback"
        word = "work again" if back else "no more work"
        told = await (self.balancers.fail_back(order) if back else self.balancers.fail_over(order))
        target = endpoint(order.asset, CONTROL) or endpoint(order.destination, CONTROL)
        drained = f"routing gives {order.action.target_id} {word}"
        if target is None:
            return Effect(f"{told or 'no control endpoint to tell'}; {drained}", rolled_back=back)
        expect_success(await self.delivery.post(target.url, body_of(order), order.idempotency_key), target.url)
        accepted = f"{target.url} accepted {self.action_type}"
        return Effect("; ".join((*((told,) if told else ()), accepted, drained)), rolled_back=back)
