"""What an asset declares to healing through its endpoints."""

from __future__ import annotations

from schemas.records import Asset, Endpoint

CONTROL = "control"
"""Endpoint that takes POST {"action": ...}."""
PROCESS = "process"
"""Endpoint `process:<name>`: a local process that the executor's own settings describe under that name."""
WEBHOOK = "webhook"


def endpoint(asset: Asset | None, kind: str) -> Endpoint | None:
    """The first endpoint of a type; None = not declared."""
    return next((e for e in asset.endpoints if e.type == kind), None) if asset is not None else None
