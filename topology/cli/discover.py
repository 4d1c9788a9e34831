"""`maestro discover`: providers in a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topology.cli.options import Broker, SettingsFile, connected
from topology.cli.root import Misused

if TYPE_CHECKING:
    from streams.discovery.ports import DiscoveryProvider
    from topology.discover.command import Discovering


def register(app: typer.Typer) -> None:
    app.command("discover", epilog="Example: maestro discover --haproxy edge=/run/haproxy/admin.sock")(discover)


def discover(
    file: Annotated[list[Path] | None, typer.Option(help="Assets in a JSON or YAML file; may be repeated.")] = None,
    haproxy: Annotated[
        list[str] | None, typer.Option(metavar="NAME=SOCKET", help="HAProxy's runtime socket, a path or HOST:PORT.")
    ] = None,
    host: Annotated[bool, typer.Option(help="Also this host and its processes.")] = False,
    settings_file: SettingsFile = None,
    broker: Broker = None,
) -> None:
    """Asks sources for their assets, until SIGTERM or Ctrl-C; also the providers of plug-ins.

    Run as many as you like with the same options: one of them runs each source at a time, the others take over.
    """
    shared = _sources(file or (), haproxy or ())
    if not shared and not host:
        raise Misused("no source is named: give --file, --haproxy or --host")
    settings, address = connected(settings_file, broker)
    from streams.discovery.providers.host import HostProvider
    from topology.admin import TopicAdmin, wanted_topics
    from topology.discover.command import Discovering, claims_topic
    from topology.schema_registry import connected_ids
    from topology.worker import set_up_logging

    set_up_logging(settings)
    TopicAdmin(address).create([*wanted_topics(settings), claims_topic(settings)])
    everywhere = [HostProvider()] if host else []
    asyncio.run(
        _until_signal(Discovering(settings, address, shared, everywhere, connected_ids(settings.schema_registry_url)))
    )


def _sources(files: Sequence[Path], haproxy: Sequence[str]) -> list[DiscoveryProvider]:
    """What one instance at a time runs. Raises Misused."""
    from streams.discovery.providers.haproxy import HAProxyProvider
    from streams.discovery.providers.static import StaticFileProvider
    from topology import plugins

    shared: list[DiscoveryProvider] = [StaticFileProvider(path) for path in files]
    for entry in haproxy:
        name, _, socket = entry.partition("=")
        if not (name and socket):
            raise Misused(f"--haproxy {entry!r} is not NAME=SOCKET")
        shared.append(HAProxyProvider(socket, name))
    try:
        shared += plugins.providers()
    except plugins.PluginError as error:
        raise Misused(str(error)) from error
    names = [provider.source for provider in shared]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Misused(f"named twice: {', '.join(twice)}")
    return shared


async def _until_signal(discovering: Discovering) -> None:
    task = asyncio.create_task(discovering.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
