"""Effects on HAProxy through its runtime socket: who gets requests, how many of them, which colour is live.

    failover   destination takes work? --no--> refused: nothing is evicted
                      | yes (a standby is made ready first)
               source: drain or maintenance, read back
    failback   source: ready, read back; a standby goes back to maintenance

An asset names a load balancer of the settings, never an address. Each order may be repeated: it sets, and adds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.records import RegisteredAsset
from streams.healing.executors.settings import LoadBalancerSpec
from streams.healing.ports import Effect, ExecutionError, Order, RefusedError
from streams.healing.strategies.declared import LIMIT, SERVER, SWITCH, endpoint, is_standby
from streams.healing.strategies.throttle import LIFT, THROTTLE
from streams.remote.haproxy import HAProxyError, HAProxyRefusedError, HAProxyRuntime, ServerOrder
from streams.remote.haproxy_answers import DRAIN, MAINTENANCE, ServerState

_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,200}")


@dataclass(frozen=True, slots=True)
class Place:
    """What an endpoint names: a load balancer of the settings, and the words behind it."""

    name: str
    spec: LoadBalancerSpec
    words: tuple[str, ...]

    @property
    def server(self) -> tuple[str, str]:
        """Backend and server."""
        return self.words[0], self.words[1]

    @property
    def runtime(self) -> HAProxyRuntime:
        return HAProxyRuntime(self.spec.address, self.spec.timeout_s)

    @property
    def text(self) -> str:
        return f"{self.name} ({'/'.join(self.words)})"


def place(specs: Mapping[str, LoadBalancerSpec], asset: RegisteredAsset | None, kind: str, words: int) -> Place | None:
    """None = the asset declares no such endpoint. RefusedError: it names what the settings or HAProxy do not know."""
    declared = endpoint(asset, kind)
    if declared is None:
        return None
    name, *rest = declared.url.partition(":")[2].split("/")
    spec = specs.get(name)
    if spec is None:
        raise RefusedError(f"load balancer {name!r} is not among the settings' load_balancers")
    if len(rest) != words or not all(_WORD.fullmatch(word) for word in rest):
        raise RefusedError(f"{declared.url!r} does not name {words} parts behind its load balancer")
    return Place(name, spec, tuple(rest))


@dataclass(frozen=True, slots=True)
class LoadBalancers:
    """Raises RefusedError if nothing was done, ExecutionError if an order may have been carried out."""

    specs: Mapping[str, LoadBalancerSpec]

    async def fail_over(self, order: Order) -> str | None:
        """None = neither a server nor a switch is declared."""
        switched = await self._switch(order.asset, order.destination)
        source, target = self._server(order.asset), self._server(order.destination)
        if source is None:
            return switched
        try:
            await _state_of(source)
            if target is not None:
                await _make_able(target, order.destination)
            wanted = ServerOrder(source.spec.drain)
            await source.runtime.set_state(*source.server, wanted)
            if source.spec.close_sessions:
                await source.runtime.command(f"shutdown sessions server {'/'.join(source.words)}")
            state = await _state_of(source)
        except HAProxyError as error:
            raise told(error) from error
        if not state.admin & (DRAIN | MAINTENANCE):
            raise ExecutionError(f"{source.text} still takes work after the order to {wanted.value}")
        return f"{source.text} is in {wanted.value}"

    async def fail_back(self, order: Order) -> str | None:
        switched = await self._switch(order.destination, order.asset)
        source, target = self._server(order.asset), self._server(order.destination)
        if source is None:
            return switched
        try:
            await source.runtime.set_state(*source.server, ServerOrder.READY)
            state = await _state_of(source)
            if state.admin & (DRAIN | MAINTENANCE):
                raise ExecutionError(f"{source.text} takes no work after the order to be ready ({state.admin!r})")
            if target is not None and is_standby(order.destination):
                await target.runtime.set_state(*target.server, ServerOrder.MAINTENANCE)
        except HAProxyError as error:
            raise told(error) from error
        return f"{source.text} is ready"

    async def _switch(self, source: RegisteredAsset | None, target: RegisteredAsset | None) -> str | None:
        """Blue/green: the map's key gets the value of the other colour."""
        old, new = (place(self.specs, asset, SWITCH, 2) for asset in (source, target))
        if old is None or new is None:
            return None
        if (old.name, old.words[0]) != (new.name, new.words[0]):
            raise RefusedError(f"{old.text} and {new.text} are not two values of one switch")
        await set_entry(new, new.spec.switch_map, new.words[0], new.words[1])
        return f"{new.name}: {new.words[0]} is {new.words[1]}"

    def _server(self, asset: RegisteredAsset | None) -> Place | None:
        return place(self.specs, asset, SERVER, 2)


async def _make_able(target: Place, asset: RegisteredAsset | None) -> None:
    """A destination that takes work must be there before anything is evicted."""
    state = await _state_of(target)
    if state.admin & MAINTENANCE and is_standby(asset):
        await target.runtime.set_state(*target.server, ServerOrder.READY)
        state = await _state_of(target)
    if not state.takes_work:
        why = f"{state.operation.name.lower()}, ordered: {state.admin!r}, weight {state.weight}"
        raise RefusedError(f"destination {target.text} takes no work ({why}); nothing was evicted")


async def _state_of(at: Place) -> ServerState:
    return (await states_of(at))[0]


async def states_of(at: Place) -> tuple[ServerState, list[ServerState]]:
    """The server's own, and those of the others of its backend."""
    backend, server = at.server
    found = await at.runtime.servers_state(backend)
    own = next((s for s in found if s.server == server), None)
    if own is None:
        raise RefusedError(f"{at.text} is not served there")
    return own, [s for s in found if s.server != server]


async def set_entry(at: Place, map_name: str, key: str, value: str) -> None:
    """Sets a map's entry and reads it back."""
    if not map_name:
        raise RefusedError(f"load balancer {at.name!r} has no such map in its settings")
    try:
        try:
            await at.runtime.command(f"set map {map_name} {key} {value}")
        except HAProxyRefusedError:
            await at.runtime.command(f"add map {map_name} {key} {value}")
        answer = await at.runtime.command(f"get map {map_name} {key}")
    except HAProxyError as error:
        raise told(error) from error
    if f'value="{value}"' not in answer:
        raise ExecutionError(f"{at.text}: the map says {answer[:200]!r} and not {value}")


def told(error: HAProxyError) -> ExecutionError:
    """What HAProxy refused was not done; of what was cut off nobody knows."""
    return (RefusedError if isinstance(error, HAProxyRefusedError) else ExecutionError)(str(error))


@dataclass(frozen=True, slots=True)
class WeighExecutor:
    specs: Mapping[str, LoadBalancerSpec]
    action_type: str = "weigh"
    repeatable: bool = True

    async def execute(self, order: Order) -> Effect:
        at = place(self.specs, order.asset, SERVER, 2)
        weight = order.action.parameters.get("weight")
        if at is None or not isinstance(weight, int):
            raise RefusedError(f"{order.action.target_id} declares no server behind a load balancer, or has no weight")
        try:
            await at.runtime.set_weight(*at.server, weight)
        except HAProxyError as error:
            raise told(error) from error
        return Effect(f"{at.text} has weight {weight}")


@dataclass(frozen=True, slots=True)
class LimitExecutor:
    """Sets a limit in the load balancer's map of limits, or takes it out again."""

    specs: Mapping[str, LoadBalancerSpec]
    action_type: str = THROTTLE
    repeatable: bool = True

    async def execute(self, order: Order) -> Effect:
        at = place(self.specs, order.asset, LIMIT, 1)
        limit = order.action.parameters.get("limit_per_s")
        if at is None or not isinstance(limit, int):
            raise RefusedError(f"{order.action.target_id} declares no {LIMIT} endpoint, or no limit is given")
        if self.action_type == LIFT:
            await _lift(at)
            return Effect(f"{at.text} has no limit of ours", rolled_back=True)
        await set_entry(at, at.spec.limit_map, at.words[0], str(limit))
        return Effect(f"{at.text} is let in {limit} requests/s")


async def _lift(at: Place) -> None:
    try:
        if "found=yes" in await at.runtime.command(f"get map {at.spec.limit_map} {at.words[0]}"):
            await at.runtime.command(f"del map {at.spec.limit_map} {at.words[0]}")
    except HAProxyError as error:
        raise told(error) from error
