"""A Consul catalog as assets: nodes, services, and the instances of services. Pure.

    service --depends on--> its instances --depend on--> their node
                                |
                                +--> services that the instance's sidecar proxy has as upstreams

Strong keys: `consul-node:<node id>`, `consul-service:<node id>/<service id>`; one registered by hand may have
no id, and then no such key. Weak key: the address. Health checks are telemetry and not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from schemas.records import Asset, AssetKind, Endpoint
from streams.kit.addresses import address_key, host_port
from streams.kit.validation import faults

T = TypeVar("T")


class ConsulError(Exception):
    """An answer that is not what the catalog promises; the message names the path asked and the place."""


class Upstream(BaseModel):
    DestinationType: str = "service"
    DestinationName: str = ""


class Proxy(BaseModel):
    DestinationServiceID: str = ""
    Upstreams: list[Upstream] | None = None


class Node(BaseModel):
    """Of `/v1/catalog/nodes`."""

    ID: str = ""
    Node: str
    Address: str
    Datacenter: str = ""
    Meta: dict[str, str] | None = None


class Instance(BaseModel):
    """Of `/v1/catalog/service/<name>`; `ID`, `Node` and `Address` are its node's."""

    ID: str = ""
    Node: str
    Address: str
    Datacenter: str = ""
    ServiceID: str
    ServiceName: str
    ServiceAddress: str = ""
    ServicePort: int = 0
    ServiceKind: str = ""
    ServiceTags: list[str] | None = None
    ServiceMeta: dict[str, str] | None = None
    ServiceProxy: Proxy | None = None


NODES = TypeAdapter(list[Node])
SERVICES = TypeAdapter(dict[str, list[str]])
INSTANCES = TypeAdapter(list[Instance])


def read(form: TypeAdapter[T], answer: object, path: str) -> T:
    """Raises ConsulError."""
    try:
        return form.validate_python(answer, strict=True)
    except ValidationError as error:
        raise ConsulError(f"{path}: {faults(error)}") from error


def assets_of(source: str, nodes: Sequence[Node], services: Mapping[str, Sequence[Instance]]) -> list[Asset]:
    """`services` by name. Raises ConsulError."""
    instances = [instance for name in sorted(services) for instance in services[name]]
    upstreams = _upstreams(source, instances)
    try:
        return [
            *(_node(source, node) for node in nodes),
            *(_service(source, name, services[name]) for name in sorted(services)),
            *(_instance(source, i, upstreams.get((i.Node, i.ServiceID), ())) for i in instances),
        ]
    except ValidationError as error:
        raise ConsulError(f"{source}: {error}") from error


def _upstreams(source: str, instances: Iterable[Instance]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Of an instance, by its node and id: what its sidecar, which is on the same node, leads to."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for sidecar in instances:
        proxy = sidecar.ServiceProxy
        if proxy is not None and proxy.DestinationServiceID and proxy.Upstreams:
            names = {u.DestinationName for u in proxy.Upstreams if u.DestinationType in ("", "service")}
            ids = tuple(f"{source}/service/{name}" for name in sorted(names))
            found[sidecar.Node, proxy.DestinationServiceID] = ids
    return found


def _node(source: str, node: Node) -> Asset:
    return Asset(
        id=f"{source}/node/{node.Node}",
        name=node.Node,
        kind=AssetKind.INFRASTRUCTURE,
        failure_domain=f"{source}/node/{node.Node}",
        labels={**(node.Meta or {}), "datacenter": node.Datacenter},
        strong_keys=(f"consul-node:{node.ID}",) if node.ID else (),
        weak_keys=(address_key(node.Address),) if node.Address else (),
    )


def _service(source: str, name: str, instances: Sequence[Instance]) -> Asset:
    proxies = bool(instances) and all(i.ServiceKind for i in instances)
    return Asset(
        id=f"{source}/service/{name}",
        name=name,
        kind=AssetKind.INFRASTRUCTURE if proxies else AssetKind.MICROSERVICE,
        labels={"service": name},
        depends_on=tuple(sorted(_id(source, i) for i in instances)),
    )


def _instance(source: str, one: Instance, upstreams: tuple[str, ...]) -> Asset:
    """`ServiceKind` is empty for what is no proxy or gateway. A service without an address has its node's."""
    host = one.ServiceAddress or one.Address
    where = host_port(host, one.ServicePort) if host and one.ServicePort else ""
    meta = one.ServiceMeta or {}
    own = {"service": one.ServiceName, "datacenter": one.Datacenter, "tags": ",".join(sorted(one.ServiceTags or ()))}
    return Asset(
        id=_id(source, one),
        name=one.ServiceID,
        kind=AssetKind.INFRASTRUCTURE if one.ServiceKind else AssetKind.MICROSERVICE,
        failure_domain=f"{source}/node/{one.Node}",
        version=meta.get("version") or None,
        labels={**meta, **{k: v for k, v in own.items() if v}},
        endpoints=(Endpoint(type="tcp", url=f"tcp://{where}"),) if where else (),
        depends_on=(f"{source}/node/{one.Node}", *upstreams),
        strong_keys=(f"consul-service:{one.ID}/{one.ServiceID}",) if one.ID else (),
        weak_keys=(address_key(host, one.ServicePort),) if where else (),
    )


def _id(source: str, one: Instance) -> str:
    """Consul's own identity: a service id is unique on its node."""
    return f"{source}/instance/{one.Node}/{one.ServiceID}"
