"""Options that several commands share, and the way from them to settings and a client."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topology.cli.root import Misused
from topology.schema_registry import connected_ids
from topology.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from topology.client import MaestroConductor

REACH_S = 10.0

SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="TOML file of settings (else MAESTRO_SETTINGS).", metavar="FILE")
]
Broker = Annotated[str | None, typer.Option("--broker", help="Kafka, HOST:PORT (else MAESTRO_BROKER).")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs instead of text for people.")]
Lines = Annotated[str, typer.Argument(metavar="[FILE|-]", help="JSON lines; - is standard input.")]


def connected(file: Path | None, broker: str | None) -> tuple[Settings, str]:
    """Settings and the address of a Kafka that answers. SettingsError if none is named, AdminError if it is away."""
    settings = load_settings(file, broker=broker)
    if settings.broker is None:
        from topology.client.connection import NO_BROKER

        raise SettingsError([NO_BROKER])
    from topology.admin import TopicAdmin

    TopicAdmin(settings.broker, REACH_S).find(())
    return settings, settings.broker


def client(file: Path | None, broker: str | None) -> MaestroConductor:
    return client_of(*connected(file, broker))


def client_of(settings: Settings, address: str) -> MaestroConductor:
    from topology.client import MaestroConductor

    return MaestroConductor(
        address, redis_url=settings.redis_url, schema_ids=connected_ids(settings.schema_registry_url)
    )


def input_lines(source: str) -> Iterator[tuple[str, int, bytes]]:
    """(name, line from 1, bytes) of each line that is not blank. Misused if the file cannot be read."""
    if source == "-":
        yield from _numbered("-", sys.stdin.buffer)
        return
    try:
        with Path(source).open("rb") as file:
            yield from _numbered(source, file)
    except OSError as error:
        raise Misused(f"{source}: cannot be read ({error.strerror or error})") from error


def _numbered(name: str, lines: Iterable[bytes]) -> Iterator[tuple[str, int, bytes]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield name, number, line
