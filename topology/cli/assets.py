"""`maestro assets`: the registry."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer

from topology.cli.options import AsJson, Broker, SettingsFile, client
from topology.cli.output import note, out, record_json, show, table
from topology.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("assets", epilog="Example: maestro assets --json | jq -r .id")(assets)


Unknown = Annotated[
    bool, typer.Option("--unknown", help="The assets whose telemetry is watched, but which discovery does not know.")
]


def assets(
    settings_file: SettingsFile = None, broker: Broker = None, as_json: AsJson = False, unknown: Unknown = False
) -> None:
    """Every asset of the merged registry; with --json one a line."""
    if unknown:
        _unknown(settings_file, broker, as_json)
        return
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


def _unknown(settings_file: SettingsFile, broker: Broker, as_json: bool) -> None:
    from topology.client.reading import NoSuchTopicError
    from topology.client.watched import changelog_of, watched_assets

    topic = changelog_of(load_settings(settings_file, broker=broker).app_id, "telemetry")
    with client(settings_file, broker) as maestro:
        registry = maestro.registry()
        try:
            with maestro.reader(topic, from_beginning=True) as reader:
                watched = watched_assets(reader.read_all())
        except NoSuchTopicError:  # no telemetry worker has run yet
            watched = {}
    found = {asset_id: series for asset_id, series in watched.items() if asset_id not in registry}
    rows = table("id", "series")
    for asset_id, series in found.items():
        if as_json:
            out(orjson.dumps({"id": asset_id, "series": series}))
        rows.add_row(asset_id, str(series))
    if not as_json:
        show(rows)
        note(f"{len(found)} assets report that discovery does not know, of {len(watched)} that report")
