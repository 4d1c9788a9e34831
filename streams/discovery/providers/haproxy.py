"""HAProxy's backends and their servers, with their state, from the runtime socket.

Asked every `look_s`: what has changed is told at once, what is gone by a listing, which the mass-delete guard looks at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from schemas.records import Asset, AssetKind, Endpoint
from streams.discovery.ports import Change, Relist
from streams.discovery.providers.listed import Listed
from streams.kit.addresses import address_key, host_port
from streams.remote.haproxy import HAProxyRuntime
from streams.remote.haproxy_answers import DRAIN, MAINTENANCE, ServerState


class HAProxyProvider:
    """`name` tells one HAProxy from another: source `haproxy:<name>`, ids `haproxy:<name>/<backend>[/<server>]`."""

    complete = True

    def __init__(self, address: str, name: str = "local", freshness_s: float = 60.0, look_s: float = 0.25) -> None:
        self.source, self.scope = f"haproxy:{name}", f"haproxy/{name}"
        self.freshness_s = freshness_s
        self._look_s = look_s
        self._runtime = HAProxyRuntime(address)
        self._listed = Listed()

    async def list(self) -> list[Asset]:
        found = assets_of(self.source, await self._runtime.servers_state())
        self._listed.begin(found)
        return found

    async def watch(self) -> AsyncIterator[Change | Relist]:
        while True:
            await asyncio.sleep(self._look_s)
            for change in self._listed.changes(assets_of(self.source, await self._runtime.servers_state())):
                yield change


def assets_of(source: str, servers: tuple[ServerState, ...]) -> list[Asset]:
    """A backend depends on its servers; label `state` is ready, down, drain or maintenance."""
    backends: dict[str, list[ServerState]] = {}
    for server in servers:
        backends.setdefault(server.backend, []).append(server)
    found = [_backend(source, name, members) for name, members in backends.items()]
    return [*found, *(_server(source, server) for server in servers)]


def _backend(source: str, name: str, servers: list[ServerState]) -> Asset:
    return Asset(
        id=f"{source}/{name}",
        name=name,
        kind=AssetKind.INFRASTRUCTURE,
        labels={"backend": name},
        depends_on=tuple(f"{source}/{name}/{server.server}" for server in servers),
    )


def _server(source: str, server: ServerState) -> Asset:
    where = host_port(server.address, server.port) if server.address and server.port else ""
    return Asset(
        id=f"{source}/{server.backend}/{server.server}",
        name=server.server,
        kind=AssetKind.MICROSERVICE,
        labels={"backend": server.backend, "state": state_of(server), "weight": str(server.weight)},
        endpoints=(Endpoint(type="tcp", url=f"tcp://{where}"),) if where else (),
        weak_keys=(address_key(server.address, server.port),) if where else (),
    )


def state_of(server: ServerState) -> str:
    if server.admin & MAINTENANCE:
        return "maintenance"
    if server.admin & DRAIN:
        return "drain"
    return "ready" if server.takes_work or (server.weight == 0 and server.operation) else "down"
