"""What an asset declares to healing through its endpoints."""

from __future__ import annotations

from schemas.records import Asset, Endpoint

CONTROL = "control"
"""Endpoint that takes POST {"action": ...}."""
PROCESS = "process"
"""Endpoint `process:<name>`: a local process that the executor's own settings describe under that name."""
WEBHOOK = "webhook"
SERVER = "haproxy"
"""Endpoint `haproxy:<load balancer>/<backend>/<server>`: where this asset gets its requests from."""
SWITCH = "haproxy-switch"
"""Endpoint `haproxy:<load balancer>/<key>/<value>`: blue/green; the asset is live while the map's key has it."""
LIMIT = "haproxy-limit"
"""Endpoint `haproxy:<load balancer>/<key>`: the entry of the map with limits in requests a second."""
STANDBY = "standby"
"""Label `standby: "true"`: a failover may take the server out of maintenance, and its failback puts it back."""
KUBERNETES = "kubernetes"
"""Endpoint `kubernetes:<cluster>/<namespace>/deployment/<name>`, or `kubernetes:<cluster>/node/<name>`."""
TERRAFORM = "terraform"
"""Endpoint `terraform:<workspace>`: the states that this asset was made by."""


def endpoint(asset: Asset | None, kind: str) -> Endpoint | None:
    """The first endpoint of a type; None = not declared."""
    return next((e for e in asset.endpoints if e.type == kind), None) if asset is not None else None


def is_standby(asset: Asset | None) -> bool:
    return asset is not None and asset.labels.get(STANDBY) == "true"
