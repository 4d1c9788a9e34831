"""`maestro settings`: every setting, its value and where that came from."""

from __future__ import annotations

from dataclasses import asdict

import orjson
import typer

from topology.cli.options import AsJson, SettingsFile
from topology.cli.output import out
from topology.settings import load_settings, rows


def register(app: typer.Typer) -> None:
    app.command("settings", epilog="Example: MAESTRO_PARTITIONS=8 maestro settings")(settings)


def settings(settings_file: SettingsFile = None, as_json: AsJson = False) -> None:
    """Each setting with value, default, unit, bounds and where its value came from; exit 2 with every wrong one."""
    found = rows(load_settings(settings_file))
    if as_json:
        out(orjson.dumps([asdict(row) for row in found]))
        return
    for row in found:
        limits = ", ".join(part for part in (row.unit, row.bounds) if part)
        origin = row.source if row.source == "default" else f"{row.source}; default {row.default}"
        out(f"{row.name} = {row.value}{f' [{limits}]' if limits else ''} ({origin})")
        out(f"    {row.variable}: {row.description}")
