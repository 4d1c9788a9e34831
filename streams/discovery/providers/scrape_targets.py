"""What Prometheus scrapes, as assets. Pure.

Ids are those that telemetry from Prometheus bears (`intake.remote_write_identity`): label `maestro_asset_id`, else
`<job>/<instance>`. Labels `maestro_kind`, `region` and `zone` fill those fields. Targets of one id (several paths of
one process) are one asset with the labels that all of them share. A target that is asked on behalf of another
(parameter `target`: blackbox, SNMP) has no endpoint and no key: the address is the exporter's, not the asset's.

Whether a target answers is telemetry (`up`) and no part of the asset: what is down still exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import ValidationError

from schemas.records import Asset, AssetKind, Endpoint
from streams.kit.addresses import ADDRESS, host_port

OWN_LABELS = ("maestro_asset_id", "maestro_kind")


class TargetError(ValueError):
    """A target that cannot be an asset; the message names its place and the label."""


@dataclass(frozen=True, slots=True)
class Target:
    """`labels` as its series bear them; `url` is what is scraped; `place` is where it was read, for errors."""

    labels: Mapping[str, str]
    url: str
    place: str


def assets_of(targets: Iterable[Target]) -> list[Asset]:
    """In order of their first target; raises TargetError."""
    found: dict[str, list[Target]] = {}
    for target in targets:
        found.setdefault(_id_of(target), []).append(target)
    return [_asset(asset_id, of_one) for asset_id, of_one in found.items()]


def _id_of(target: Target) -> str:
    labels = target.labels
    if labels.get("maestro_asset_id"):
        return labels["maestro_asset_id"]
    for name in ("job", "instance"):
        if not labels.get(name):
            raise TargetError(f"{target.place}: no label `{name}`, so it has no id")
    return f"{labels['job']}/{labels['instance']}"


def _asset(asset_id: str, targets: list[Target]) -> Asset:
    first = targets[0]
    shared = {k: v for k, v in sorted(first.labels.items()) if all(t.labels.get(k) == v for t in targets)}
    kinds = {_kind_of(target) for target in targets}
    urls = [_url_of(target) for target in targets]
    own = [url for url in urls if "target" not in parse_qs(url.query, keep_blank_values=True)]
    try:
        return Asset(
            id=asset_id,
            name=shared.get("instance", ""),
            kind=kinds.pop() if len(kinds) == 1 else AssetKind.UNKNOWN,
            region=shared.get("region") or None,
            zone=shared.get("zone") or None,
            labels={k: v for k, v in shared.items() if k not in OWN_LABELS},
            endpoints=tuple(Endpoint(type="metrics", url=url) for url in sorted({_told(url) for url in own})),
            weak_keys=tuple(sorted({ADDRESS + url.netloc for url in own})),
        )
    except ValidationError as error:
        raise TargetError(f"{first.place}: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}") from error


def _kind_of(target: Target) -> AssetKind:
    """A scrape target does not say what it is: unknown, unless it bears the label."""
    said = target.labels.get("maestro_kind") or AssetKind.UNKNOWN.value
    try:
        return AssetKind(said)
    except ValueError as error:
        raise TargetError(f"{target.place}: maestro_kind={said!r} is none of {', '.join(AssetKind)}") from error


def _url_of(target: Target) -> SplitResult:
    try:
        url = urlsplit(target.url)
        port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    except ValueError as error:
        raise TargetError(f"{target.place}: {error}") from error
    if not url.hostname or port is None:
        raise TargetError(f"{target.place}: what is scraped is no HTTP address")
    return url._replace(netloc=host_port(url.hostname, port))


def _told(url: SplitResult) -> str:
    """Without parameters, which may hold secrets; `_url_of` took user and password away."""
    return url._replace(query="", fragment="").geturl()
