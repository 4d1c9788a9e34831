"""What the attributes of a resource say of its asset. Pure.

Only attributes of this list are told: others (command lines, process ids) are secret or differ in each process.
Strong keys are of what is one thing in the world and not of the services on it; they are those of the providers
for Kubernetes and Terraform, which so find the same asset.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.records import Asset, AssetKind
from streams.discovery.providers.telemetry.reading import Attributes

FIELDS = {
    "cloud": ("cloud.provider",),
    "region": ("cloud.region",),
    "zone": ("cloud.availability_zone",),
    "version": ("service.version",),
    "labels.environment": ("deployment.environment.name", "deployment.environment"),
    "labels.language": ("telemetry.sdk.language",),
    "labels.service": ("service.name",),
    "labels.service_namespace": ("service.namespace",),
    "labels.cluster": ("k8s.cluster.name",),
    "labels.namespace": ("k8s.namespace.name",),
    "labels.deployment": ("k8s.deployment.name",),
    "labels.node": ("k8s.node.name",),
    "labels.host": ("host.name",),
}
"""Field -> attributes, the first that is there."""
LEVELS = (
    ("service.name", AssetKind.MICROSERVICE, "", ""),
    ("faas.name", AssetKind.MICROSERVICE, "", ""),
    ("k8s.container.name", AssetKind.MICROSERVICE, "", ""),
    ("k8s.pod.name", AssetKind.MICROSERVICE, "k8s-uid:", "k8s.pod.uid"),
    ("k8s.job.name", AssetKind.JOB_RUNNER, "k8s-uid:", "k8s.job.uid"),
    ("k8s.deployment.name", AssetKind.MICROSERVICE, "k8s-uid:", "k8s.deployment.uid"),
    ("k8s.statefulset.name", AssetKind.MICROSERVICE, "k8s-uid:", "k8s.statefulset.uid"),
    ("k8s.daemonset.name", AssetKind.MICROSERVICE, "k8s-uid:", "k8s.daemonset.uid"),
    ("k8s.node.name", AssetKind.INFRASTRUCTURE, "k8s-uid:", "k8s.node.uid"),
    ("cloud.resource_id", AssetKind.UNKNOWN, "", "cloud.resource_id"),
    ("host.name", AssetKind.INFRASTRUCTURE, "host-id:", "host.id"),
    ("host.id", AssetKind.INFRASTRUCTURE, "host-id:", "host.id"),
)
"""Attribute that names what the telemetry is of, its kind, and the strong key's prefix and attribute."""
MOST_CHARACTERS = 400


def says(attributes: Attributes) -> dict[str, str]:
    """Field (`labels.<key>`, `kind`, `strong_key`) -> value."""
    found = {field: value for field, names in FIELDS.items() if (value := _first(attributes, names))}
    for name, kind, prefix, key in LEVELS:
        if attributes.get(name):
            found |= {"name": attributes[name][:MOST_CHARACTERS], "kind": kind.value}
            strong = _strong_key(prefix, attributes.get(key, ""))
            return {**found, "strong_key": strong} if strong else found
    return found


def asset_of(asset_id: str, said: Mapping[str, str], depends_on: tuple[str, ...]) -> Asset:
    labels = {field.removeprefix("labels."): value for field, value in said.items() if field.startswith("labels.")}
    plain = {field: said[field] for field in ("name", "cloud", "region", "zone", "version") if field in said}
    kind = AssetKind(said.get("kind", AssetKind.UNKNOWN))
    strong = (said["strong_key"],) if "strong_key" in said else ()
    return Asset.model_validate(
        {"id": asset_id, **plain, "kind": kind, "labels": labels, "depends_on": depends_on, "strong_keys": strong}
    )


def _first(attributes: Attributes, names: tuple[str, ...]) -> str:
    return next((attributes[name][:MOST_CHARACTERS] for name in names if attributes.get(name)), "")


def _strong_key(prefix: str, value: str) -> str:
    """Of a cloud's resource: an ARN as it is, Azure's id in lower case; others are unique in their account only."""
    if len(value) > MOST_CHARACTERS or not value:
        return ""
    if prefix:
        return prefix + value
    if value.startswith("arn:"):
        return value
    return f"azure:{value.lower()}" if value.lower().startswith("/subscriptions/") else ""
