"""Objects of Istio's registry as assets. Pure.

| object | kind | id |
|---|---|---|
| ServiceEntry | MESH_INTERNAL: microservice; else external_api | `mesh:<name>/<namespace>/service-entry/<entry>` |
| an endpoint in it | none: what else has its address is it | `mesh:<name>/endpoint/[<network>/]<host>:<port>` |
| WorkloadEntry | infrastructure: a machine | `mesh:<name>/<namespace>/workload-entry/<entry>` |

Weak keys: `address:<host>:<port>` of all, `dns:<host>` of a ServiceEntry, `address:<host>` of a WorkloadEntry. A
wildcard, a range of addresses and a Unix socket name nobody. A deployment is no asset here: a selector may choose it.

An entry for `<service>.<its own namespace>.svc.<domain>` has that service's key too (`dns_key`). In another namespace
it is what goes before the service for clients there, and not the service (istio/istio: pilot/pkg/model/sidecar.go).
An entry's uid is no `k8s-uid:`, of which the service that it is has another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from schemas.records import Asset, AssetKind, Endpoint
from streams.discovery.providers.kubernetes_forms import Deployment, Meta, Object
from streams.discovery.providers.kubernetes_objects import (
    DEPLOYMENT,
    Item,
    Kind,
    ObjectError,
    common,
    dns_key,
    object_error,
)
from streams.discovery.providers.mesh.forms import INTERNAL, ServiceEntry, ServiceEntrySpec, Workload, WorkloadEntry
from streams.kit.addresses import address_key, before_a_port

PREFIX = "/apis/networking.istio.io/v1"
WORKLOADS = Kind("workload-entry", PREFIX, "workloadentries")
SERVICES = Kind("service-entry", PREFIX, "serviceentries")
MOST = 2000
"""Pairs of address and port that one entry may have: its row has to fit into a message of 1 MB."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One object. `asset` lacks what it depends on."""

    id: str
    namespace: str
    asset: Asset | None = None
    """None of a deployment."""
    selector: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    """By which a selector may choose it."""
    endpoints: tuple[Asset, ...] = ()


def reading_of(kind: Kind, name: str, item: Item) -> Reading:
    """`name` is the mesh's, and the cluster's. Raises ObjectError."""
    try:
        if kind is DEPLOYMENT:
            return _deployment(name, Deployment.model_validate(item))
        if kind is WORKLOADS:
            return _workload(name, WorkloadEntry.model_validate(item))
        return _service(name, ServiceEntry.model_validate(item))
    except ValidationError as error:
        raise object_error(kind, error) from error


def unreadable(kind: Kind, name: str, item: Item) -> Reading:
    """Of an object that `reading_of` refuses: it is there, and that is all that is said. Raises ObjectError."""
    try:
        meta = Object.model_validate(item).metadata
        if kind is DEPLOYMENT:
            return Reading(_deployment_id(name, meta), meta.namespace)
        said = {**_common(name, kind, meta), "labels": {"namespace": meta.namespace, "state": "unreadable"}}
        return _reading(meta, said)
    except ValidationError as error:
        raise object_error(kind, error) from error


def _reading(meta: Meta, said: Mapping[str, object], **more: object) -> Reading:
    asset = Asset.model_validate(said)
    return Reading(asset.id, meta.namespace, asset, **more)  # type: ignore[arg-type]


def _common(name: str, kind: Kind, meta: Meta) -> dict[str, object]:
    said = common(f"mesh:{name}", kind, meta)
    return {**said, "strong_keys": (f"service-entry-uid:{meta.uid}",)} if kind is SERVICES else said


def _deployment_id(name: str, meta: Meta) -> str:
    """As the source `k8s:<name>` calls it."""
    return f"k8s:{name}/{meta.namespace}/deployment/{meta.name}"


def _deployment(name: str, found: Deployment) -> Reading:
    meta = found.metadata
    return Reading(_deployment_id(name, meta), meta.namespace, labels=found.spec.template.metadata.labels)


def _workload(name: str, found: WorkloadEntry) -> Reading:
    meta, spec = found.metadata, found.spec
    chosen_by = {**spec.labels, **meta.labels}  # the object's own labels go first, as in istiod
    health = {c.status for c in found.status.conditions if c.type == "Healthy"}
    state = "healthy" if "True" in health else "unhealthy" if "False" in health else ""
    ports = sorted(set(spec.ports.values()))
    host = _host(spec.address)
    own = {"namespace": meta.namespace, "state": state, "service_account": spec.service_account}
    said = {
        **_common(name, WORKLOADS, meta),
        **_placed(spec, chosen_by, own),
        "kind": AssetKind.INFRASTRUCTURE,
        "endpoints": tuple(Endpoint(type="tcp", url=f"tcp://{host}:{port}") for port in ports if host),
        "weak_keys": (address_key(host), *(address_key(host, port) for port in ports)) if host else (),
    }
    return _reading(meta, said, labels=chosen_by)


def _service(name: str, found: ServiceEntry) -> Reading:
    meta, spec = found.metadata, found.spec
    if max(len(spec.hosts) + len(spec.addresses), len(spec.endpoints)) * len(spec.ports) > MOST:
        raise ObjectError(f"a service-entry with more than {MOST} addresses and ports")
    named = [host for host in map(_host, spec.hosts) if host]
    addresses = [ip for ip in map(_host, spec.addresses) if ip]
    own = {
        "namespace": meta.namespace,
        "hosts": ",".join(spec.hosts),
        "location": spec.location,
        "resolution": spec.resolution,
        "export_to": ",".join(spec.export_to),
    }
    said = {
        **_common(name, SERVICES, meta),
        "kind": AssetKind.MICROSERVICE if spec.location == INTERNAL else AssetKind.EXTERNAL_API,
        "labels": {**meta.labels, **{k: v for k, v in own.items() if v}},
        "endpoints": tuple(
            Endpoint(type=p.protocol.lower() or "tcp", url=f"{p.protocol.lower() or 'tcp'}://{host}:{p.number}")
            for host in named
            for p in spec.ports
        ),
        "weak_keys": tuple(
            dict.fromkeys(
                [
                    *(f"dns:{host}" for host in named),
                    *(dns_key(name, host) for host in named if host.split(".")[1:3] == [meta.namespace, "svc"]),
                    *(address_key(where, p.number) for where in (*named, *addresses) for p in spec.ports),
                ]
            )
        ),
    }
    return _reading(meta, said, selector=spec.workload_selector.labels, endpoints=tuple(_endpoints(name, spec)))


def _endpoints(name: str, spec: ServiceEntrySpec) -> Iterator[Asset]:
    """One that bears the entry's own host is the entry. DYNAMIC_DNS doesn't use them."""
    hosts = set(map(_host, spec.hosts))
    for one in spec.endpoints if spec.resolution != "DYNAMIC_DNS" else ():
        host = _host(one.address)
        for port in sorted({one.port(p) for p in spec.ports}) if host and host not in hosts else ():
            where = f"{host}:{port}"
            yield Asset.model_validate(
                {
                    **_placed(one, one.labels, {"service_account": one.service_account}),
                    "id": f"mesh:{name}/endpoint/{f'{one.network}/' if one.network else ''}{where}",
                    "name": where,
                    "endpoints": (Endpoint(type="tcp", url=f"tcp://{where}"),),
                    "weak_keys": (address_key(host, port),),
                }
            )


def _placed(one: Workload, labels: Mapping[str, str], own: Mapping[str, str]) -> dict[str, object]:
    """A locality is `region/zone/subzone`."""
    region, zone, *_ = (*one.locality.split("/"), "", "")
    more = {**own, "network": one.network, "weight": "" if one.weight is None else str(one.weight)}
    return {
        "region": region or None,
        "zone": zone or None,
        "failure_domain": one.locality or None,
        "labels": {**labels, **{k: v for k, v in more.items() if v}},
    }


def _host(address: str) -> str:
    """As it stands before a port; "" if it names no one host."""
    if not address or "*" in address or "/" in address:
        return ""
    return before_a_port(address)
