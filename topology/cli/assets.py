"""`maestro assets`: the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer

from schemas.errors import DecodeError
from schemas.json_form import from_json_bytes
from schemas.records import RegisteredAsset
from topology.cli import asset_views
from topology.cli.options import AsJson, Broker, SettingsFile, client, client_of, connected
from topology.cli.output import note, out, record_json, show, table
from topology.cli.root import Misused


def register(app: typer.Typer) -> None:
    app.command("assets", epilog="Example: maestro assets --json | jq -r .id")(assets)


Unknown = Annotated[
    bool, typer.Option("--unknown", help="The assets whose telemetry is watched, but which discovery does not know.")
]


Diff = Annotated[
    Path | None,
    typer.Option("--diff", metavar="FILE", help="What differs from a registry saved with `maestro assets --json`."),
]


def assets(
    asset_id: Annotated[str, typer.Argument(metavar="[ID]", help="This asset in full; any of its ids.")] = "",
    settings_file: SettingsFile = None,
    broker: Broker = None,
    as_json: AsJson = False,
    unknown: Unknown = False,
    diff: Diff = None,
) -> None:
    """Every asset of the merged registry, or one in full, or what has changed; with --json one a line."""
    if sum((bool(asset_id), unknown, diff is not None)) > 1:
        raise Misused("ID, --unknown and --diff go one at a time")
    if unknown:
        _unknown(settings_file, broker, as_json)
        return
    before = _saved(diff) if diff is not None else None
    with client(settings_file, broker) as maestro:
        registry = maestro.registry()
    if before is not None:
        _differences(before, registry, as_json)
    elif asset_id:
        _one(asset_id, registry, as_json)
    else:
        _all(registry, as_json)


def _all(registry: asset_views.Registry, as_json: bool) -> None:
    if as_json:
        for asset in registry.values():
            out(record_json(asset))
        return
    rows = table("id", "kind", "cloud", "region", "tenant", "state", "capabilities", "sources")
    for asset in registry.values():
        rows.add_row(
            asset.id,
            asset.kind.value,
            asset.cloud or "",
            asset.region or "",
            asset.tenant or "",
            asset.state.value,
            ", ".join(c.name for c in asset.capabilities),
            ", ".join(s.source for s in asset.sources),
        )
    show(rows)
    note(f"{len(registry)} assets")


def _one(asset_id: str, registry: asset_views.Registry, as_json: bool) -> None:
    asset = asset_views.find(registry, asset_id)
    if asset is None:
        note(f"{asset_id} is not among the {len(registry)} assets of the registry")
        raise typer.Exit(1)
    for line in (record_json(asset),) if as_json else asset_views.described(asset, registry):
        out(line)


def _differences(before: asset_views.Registry, registry: asset_views.Registry, as_json: bool) -> None:
    found = list(asset_views.differences(before, registry))
    for difference in found:
        out(difference.json() if as_json else difference.line())
    note(f"{len(found)} of {len({*before, *registry})} assets differ")


def _saved(path: Path) -> dict[str, RegisteredAsset]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise Misused(f"{path}: cannot be read: {error.strerror}") from error
    assets = [_read(f"{path}:{number}", line) for number, line in enumerate(lines, start=1) if line.strip()]
    return {asset.id: asset for asset in assets}


def _read(place: str, line: bytes) -> RegisteredAsset:
    try:
        return from_json_bytes(RegisteredAsset, line)
    except DecodeError as error:
        raise Misused(f"{place}: is no asset as `maestro assets --json` writes it: {error}") from error


def _unknown(settings_file: SettingsFile, broker: Broker, as_json: bool) -> None:
    from topology.client.changelogs import changelog_of
    from topology.client.watched import watched_assets

    settings, address = connected(settings_file, broker)
    with client_of(settings, address) as maestro:
        registry = maestro.registry()
        watched = watched_assets(changelog_of(maestro, settings.app_id, "telemetry"))
    found = {asset_id: series for asset_id, series in watched.items() if asset_id not in registry}
    rows = table("id", "series")
    for asset_id, series in found.items():
        if as_json:
            out(orjson.dumps({"id": asset_id, "series": series}))
        rows.add_row(asset_id, str(series))
    if not as_json:
        show(rows)
        note(f"{len(found)} assets report that discovery does not know, of {len(watched)} that report")
