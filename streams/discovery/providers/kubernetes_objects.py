"""Objects of Kubernetes as assets. Pure.

| object | asset's kind | id | state |
|---|---|---|---|
| Service | microservice; ExternalName: external_api | `k8s:<cluster>/<namespace>/service/<name>` | |
| Deployment | microservice | `k8s:<cluster>/<namespace>/deployment/<name>` | available, unavailable |
| Job | job_runner | `k8s:<cluster>/<namespace>/job/<name>` | active, complete, failed, suspended |
| Node | infrastructure | `k8s:<cluster>/node/<name>` | ready, not_ready, cordoned |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from schemas.records import Asset, AssetKind, Capability, Endpoint
from streams.discovery.providers.kubernetes_forms import Deployment, Job, Meta, Node, Service
from streams.kit.addresses import address_key
from streams.kit.validation import faults

REGION, ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"
Item = dict[str, object]
Fields = dict[str, object]
Labelled = tuple[str, dict[str, str]]
"""A namespace, and the labels of a deployment's pods or the selector of a service; an ExternalName's does not count."""
Read = tuple[Meta, Fields, dict[str, str] | None]
"""What one object says; the labels or the selector are as in Labelled, None = it has none of the two."""
CAPABILITIES, OWNER = "maestro.dev/capabilities", "maestro.dev/owner"


class ObjectError(ValueError):
    """What the API server gave is not an object of its kind."""


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    prefix: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "") -> str:
        within = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{self.prefix}{within}/{self.plural}"


NODE = Kind("node", "/api/v1", "nodes", namespaced=False)
SERVICE = Kind("service", "/api/v1", "services")
DEPLOYMENT = Kind("deployment", "/apis/apps/v1", "deployments")
JOB = Kind("job", "/apis/batch/v1", "jobs")
KINDS = (NODE, SERVICE, DEPLOYMENT, JOB)


@dataclass(frozen=True, slots=True)
class Cluster:
    """`domain` is that of its DNS."""

    name: str
    domain: str = "cluster.local"


@dataclass(frozen=True, slots=True)
class Place:
    """Where all nodes are; None if they are not in one, or it is not known."""

    region: str | None = None
    zone: str | None = None


def place_of(nodes: Iterable[Asset]) -> Place:
    where = {(node.region, node.zone) for node in nodes}
    regions, zones = {region for region, _ in where}, {zone for _, zone in where}
    return Place(regions.pop() if len(regions) == 1 else None, zones.pop() if len(zones) == 1 else None)


def asset_of(kind: Kind, cluster: Cluster, place: Place, item: Item) -> Asset:
    """Raises ObjectError."""
    return reading_of(kind, cluster, place, item)[0]


def reading_of(kind: Kind, cluster: Cluster, place: Place, item: Item) -> tuple[Asset, Labelled | None]:
    """Raises ObjectError."""
    try:
        meta, fields, labels = _READ[kind.name](cluster, place, item)
        asset = Asset.model_validate({**common(f"k8s:{cluster.name}", kind, meta), **fields})
    except ValidationError as error:
        raise object_error(kind, error) from error
    return asset, None if labels is None else (meta.namespace, labels)


def object_error(kind: Kind, error: ValidationError) -> ObjectError:
    return ObjectError(f"a {kind.name} that is none: {faults(error, most=1)}")


def common(source: str, kind: Kind, meta: Meta) -> Fields:
    """What is read of any object, under the id that `source` gives it."""
    said = {name.strip() for name in meta.annotations.get(CAPABILITIES, "").split(",")} - {""}
    return {
        "id": f"{source}/{_within(kind.name, meta)}",
        "name": meta.name,
        "owner": meta.annotations.get(OWNER) or None,
        "capabilities": tuple(Capability(name=name) for name in sorted(said)),
        "strong_keys": (f"k8s-uid:{meta.uid}",),
    }


def dns_key(cluster: str, host: str) -> str:
    """Of a name in the cluster's DNS: in another cluster it is another service's."""
    return f"dns:{cluster}/{host}"


def _within(kind: str, meta: Meta) -> str:
    return f"{meta.namespace}/{kind}/{meta.name}" if meta.namespace else f"{kind}/{meta.name}"


def _labels(meta: Meta, **own: str) -> dict[str, str]:
    return {**meta.labels, **({"namespace": meta.namespace} if meta.namespace else {}), **own}


def _service(cluster: Cluster, place: Place, item: Item) -> Read:
    found = Service.model_validate(item)
    meta, spec = found.metadata, found.spec
    if spec.type == "ExternalName":
        return meta, {"kind": AssetKind.EXTERNAL_API, "labels": _labels(meta, external_name=spec.external_name)}, {}
    dns = f"{meta.name}.{meta.namespace}.svc"
    own = spec.cluster_ips or ((spec.cluster_ip,) if spec.cluster_ip else ())
    addresses = [ip for ip in (*own, *found.status.load_balancer.addresses()) if ip != "None"]
    keys = [address_key(ip, p.port) for ip in addresses for p in spec.ports]
    fields: Fields = {
        "kind": AssetKind.MICROSERVICE,
        "region": place.region,
        "zone": place.zone,
        "labels": _labels(meta),
        "endpoints": tuple(Endpoint(type=p.scheme, url=f"{p.scheme}://{dns}:{p.port}") for p in spec.ports),
        "weak_keys": tuple(dict.fromkeys([*keys, dns_key(cluster.name, f"{dns}.{cluster.domain}")])),
    }
    return meta, fields, spec.selector


def _deployment(cluster: Cluster, place: Place, item: Item) -> Read:
    found = Deployment.model_validate(item)
    meta, containers = found.metadata, found.spec.template.spec.containers
    available = any(c.type == "Available" and c.status == "True" for c in found.status.conditions)
    state = "available" if available else "unavailable"
    image = containers[0].image if containers else ""
    fields: Fields = {
        "kind": AssetKind.MICROSERVICE,
        "region": place.region,
        "zone": place.zone,
        "version": meta.labels.get("app.kubernetes.io/version") or image or None,
        "labels": _labels(meta, state=state, replicas=str(found.spec.replicas)),
        "endpoints": (_healed(cluster, "deployment", meta),),
    }
    return meta, fields, found.spec.template.metadata.labels


def _job(_cluster: Cluster, place: Place, item: Item) -> Read:
    found = Job.model_validate(item)
    over = {c.type for c in found.status.conditions if c.status == "True"}
    state = next((word for word in ("Failed", "Complete", "Suspended") if word in over), "Active").lower()
    labels = _labels(found.metadata, state=state)
    kind = AssetKind.JOB_RUNNER
    return found.metadata, {"kind": kind, "region": place.region, "zone": place.zone, "labels": labels}, None


def _node(cluster: Cluster, _place: Place, item: Item) -> Read:
    found = Node.model_validate(item)
    meta, status = found.metadata, found.status
    ready = any(c.type == "Ready" and c.status == "True" for c in status.conditions)
    state = "not_ready" if not ready else "cordoned" if found.spec.unschedulable else "ready"
    fields: Fields = {
        "kind": AssetKind.INFRASTRUCTURE,
        "region": meta.labels.get(REGION),
        "zone": meta.labels.get(ZONE),
        "failure_domain": f"k8s:{cluster.name}/node/{meta.name}",
        "version": status.node_info.kubelet_version or None,
        "capacity_units": status.allocatable.cpus(),
        "labels": _labels(meta, state=state),
        "endpoints": (_healed(cluster, "node", meta),),
        "weak_keys": tuple(address_key(a.address) for a in status.addresses if a.type == "InternalIP"),
    }
    return meta, fields, None


def _healed(cluster: Cluster, kind: str, meta: Meta) -> Endpoint:
    """What healing acts on, if `executors.clusters` has the cluster."""
    return Endpoint(type="kubernetes", url=f"kubernetes:{cluster.name}/{_within(kind, meta)}")


_READ: dict[str, Callable[[Cluster, Place, Item], Read]] = {
    "service": _service,
    "deployment": _deployment,
    "job": _job,
    "node": _node,
}
