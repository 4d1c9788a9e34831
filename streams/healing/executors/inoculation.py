"""Putting a fault on an asset on purpose, and taking it away: a process is killed, or a server gets no requests.

    inoculate         declared? takes work, and another server does? --no--> refused: nothing is harmed
                                    | yes
                      killed, or the server set to `maint` (to `drain` where failover uses `maint`)
    lift_inoculation  the process runs? else it is started; the server is still as we set it? then it is ready

The fault of a server is the one state that failover does not use, so that lifting it never undoes a failover. Of an
experiment that was lifted nothing is put on any more, whichever order an effect loop begins first.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.records import Endpoint, RegisteredAsset
from streams.healing.executors.load_balancers import Place, place, states_of, told
from streams.healing.executors.processes import RestartExecutor
from streams.healing.executors.settings import LoadBalancerSpec
from streams.healing.ports import Effect, ExecutionError, Order, RefusedError
from streams.healing.strategies.declared import PROCESS, SERVER, endpoint
from streams.healing.strategies.inoculation import INJECT
from streams.remote.haproxy import HAProxyError, ServerOrder
from streams.remote.haproxy_answers import DRAIN, MAINTENANCE, Admin

_REMEMBERED = 1000
"""Experiments that were lifted; one at a time is under way."""


@dataclass(slots=True)
class Faults:
    """What injections and liftings of one process share: one at a time, and which experiments are over."""

    specs: Mapping[str, LoadBalancerSpec]
    processes: RestartExecutor
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    over: OrderedDict[str, None] = field(default_factory=OrderedDict)

    async def inject(self, order: Order) -> str:
        kind, url = _declared(order)
        now = endpoint(order.asset, kind)
        if now is None or now.url != url:
            raise RefusedError(f"{order.action.target_id} does not declare {url!r} any more")
        if order.remediation.incident_id in self.over:
            raise RefusedError("the experiment is over already")
        if kind == PROCESS:
            return self.processes.kill(url.partition(":")[2])
        return await _lose(self._server(order, url))

    async def lift(self, order: Order) -> str:
        self.over[order.remediation.incident_id] = None
        if len(self.over) > _REMEMBERED:
            self.over.popitem(last=False)
        kind, url = _declared(order)
        if kind == PROCESS:
            return await self.processes.start_if_gone(url.partition(":")[2])
        return await _give_back(self._server(order, url))

    def _server(self, order: Order, url: str) -> Place:
        """From the order, which has it from the asset: that may have left the registry meanwhile."""
        named = RegisteredAsset(id=order.action.target_id, endpoints=(Endpoint(type=SERVER, url=url),))
        found = place(self.specs, named, SERVER, 2)
        if found is None:
            raise RefusedError(f"{url!r} names no server")
        return found


@dataclass(frozen=True, slots=True)
class InoculationExecutor:
    """An injection is not repeated after a crash: a server in maintenance may be so by a person's order then."""

    faults: Faults
    action_type: str

    @property
    def repeatable(self) -> bool:
        return self.action_type != INJECT

    async def execute(self, order: Order) -> Effect:
        async with self.faults.lock:
            if self.action_type == INJECT:
                return Effect(await self.faults.inject(order))
            return Effect(await self.faults.lift(order), rolled_back=True)


def _declared(order: Order) -> tuple[str, str]:
    kind, url = (order.action.parameters.get(name) for name in ("kind", "place"))
    if kind not in (PROCESS, SERVER) or not isinstance(url, str):
        raise RefusedError(f"a fault of kind {kind!r} is not known")
    return str(kind), url


def _fault_of(at: Place) -> tuple[ServerOrder, Admin]:
    """The state that a failover of this load balancer does not use."""
    if at.spec.drain == ServerOrder.DRAIN.value:
        return ServerOrder.MAINTENANCE, MAINTENANCE
    return ServerOrder.DRAIN, DRAIN


async def _lose(at: Place) -> str:
    wanted, flag = _fault_of(at)
    try:
        state, others = await states_of(at)
        if not state.takes_work:
            raise RefusedError(f"{at.text} takes no work as it is ({state.operation.name.lower()}, {state.admin!r})")
        if not any(s.takes_work for s in others):
            raise RefusedError(f"no other server of {at.words[0]} takes work")
        await at.runtime.set_state(*at.server, wanted)
        state, _ = await states_of(at)
    except HAProxyError as error:
        raise told(error) from error
    if not state.admin & flag:
        raise ExecutionError(f"{at.text} still takes work after the order to {wanted.value}")
    return f"{at.text} is in {wanted.value} on purpose"


async def _give_back(at: Place) -> str:
    wanted, flag = _fault_of(at)
    try:
        state, _ = await states_of(at)
        if not state.admin & flag:
            return f"{at.text} was not in {wanted.value} any more, and is left as it is"
        await at.runtime.set_state(*at.server, ServerOrder.READY)
        state, _ = await states_of(at)
    except HAProxyError as error:
        raise told(error) from error
    if state.admin & flag:
        raise ExecutionError(f"{at.text} is still in {wanted.value} after the order to be ready")
    return f"{at.text} is ready"
