"""What a policy may know about an asset and its surroundings: one form for every layer that asks."""

from __future__ import annotations

from schemas.records import Asset, RegisteredAsset
from streams.policy.port import Context

_TEXTS = ("name", "cloud", "region", "zone", "failure_domain", "tenant", "owner", "version")
_NUMBERS = ("capacity_units", "cost_usd_per_hour", "carbon_g_per_kwh")
_ENVIRONMENT_LABELS = ("environment", "env")


def asset_attributes(asset: Asset) -> Context:
    """Plain attributes of an asset for a `Question`; what is not known is left out, never filled in.

    Labels are `label.<name>`; `capabilities` are names, sorted; `state` only of a registered asset.
    """
    out: dict[str, bool | int | float | str | tuple[str, ...]] = {"kind": asset.kind.value}
    for field in (*_TEXTS, *_NUMBERS):
        value = getattr(asset, field)
        if value not in (None, ""):
            out[field] = value
    out["compliance"] = tuple(sorted(asset.compliance))
    out["data_regions"] = tuple(sorted(asset.data_regions))
    out["capabilities"] = tuple(sorted(c.name for c in asset.capabilities))
    out["environment"] = environment_of(asset)
    if isinstance(asset, RegisteredAsset):
        out["state"] = asset.state.value
    out.update({f"label.{name}": value for name, value in sorted(asset.labels.items())})
    return out


def environment_of(asset: Asset) -> str:
    """The label `environment` (or `env`); empty = not said. The environment of autonomy rules."""
    return next((asset.labels[name] for name in _ENVIRONMENT_LABELS if asset.labels.get(name)), "")
