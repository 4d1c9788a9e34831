"""`maestro assets`: the registry."""

from __future__ import annotations

import typer

from topology.cli.options import AsJson, Broker, SettingsFile, client
from topology.cli.output import note, out, record_json, show, table


def register(app: typer.Typer) -> None:
    app.command("assets", epilog="Example: maestro assets --json | jq -r .id")(assets)


def assets(settings_file: SettingsFile = None, broker: Broker = None, as_json: AsJson = False) -> None:
    """Every asset of the merged registry; with --json one a line."""
    with client(settings_file, broker) as maestro:
        registry = maestro.registry()
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
