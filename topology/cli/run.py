"""`maestro demo|up|worker|receive`: what runs until it is stopped. The work is in `topology`'s other packages."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from topology.cli.options import Broker, SettingsFile, connected
from topology.cli.root import Misused, Refused
from topology.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command("demo", epilog="Example: maestro demo --for 60")(demo)
    app.command("up", epilog="Example: maestro up")(up)
    app.command("receive", epilog="Example: maestro receive --port 4318")(receive)
    app.command("worker", epilog="Example: maestro worker --layers telemetry,healing")(worker)


def demo(
    for_s: Annotated[
        float, typer.Option("--for", min=1.0, metavar="SECONDS", help="How long the simulated fleet runs.")
    ] = 60.0,
    settings_file: SettingsFile = None,
) -> None:
    """The whole loop on an embedded Kafka and Redis: this host's metrics and a simulated fleet with faults.

    Ends with a summary; exit 1 if the loop did not close.
    """
    from topology.demo.run import run_demo  # Faust and the engines: only what runs them waits for them to load
    from topology.worker import set_up_logging

    settings = load_settings(settings_file)
    set_up_logging(settings, quiet=True)
    raise typer.Exit(run_demo(settings, for_s, Console()))


def up(
    host: Annotated[bool, typer.Option(help="Also this host's own metrics and processes.")] = True,
    settings_file: SettingsFile = None,
) -> None:
    """Kafka, Redis and every layer, until Ctrl-C; prints the addresses."""
    from topology.up import run_up
    from topology.worker import set_up_logging

    settings = load_settings(settings_file)
    set_up_logging(settings)
    raise typer.Exit(run_up(settings, Console(), host=host))


def worker(
    layers: Annotated[str | None, typer.Option(help="Names, comma separated; else every layer.", metavar="a,b")] = None,
    settings_file: SettingsFile = None,
    broker: Broker = None,
) -> None:
    """Layers against a running Kafka, until SIGTERM or Ctrl-C. Run as many workers as you like.

    Makes the topics that are missing. The layer `command` keeps the read model in the Redis of the settings.
    """
    settings, address = connected(settings_file, broker)
    from topology.plugins import PluginError
    from topology.worker import FolderInUseError, run_worker, set_up_logging

    set_up_logging(settings)
    names = None if layers is None else [name.strip() for name in layers.split(",") if name.strip()]
    try:
        status = run_worker(settings, address, names)
    except (LookupError, PluginError) as error:
        raise Misused(str(error)) from error
    except FolderInUseError as error:
        raise Refused(str(error)) from error
    raise typer.Exit(status)


def receive(
    port: Annotated[int | None, typer.Option(help="HTTP port; else the setting receiver.port, else 4318.")] = None,
    adapters: Annotated[
        bool, typer.Option(help="Also run the adapters of what is received, and of MAESTRO_ADAPTERS.")
    ] = True,
    settings_file: SettingsFile = None,
    broker: Broker = None,
) -> None:
    """Takes telemetry over HTTP and UDP: OTLP, Prometheus remote write, CloudEvents, JSON lines, StatsD.

    Against a running Kafka, until SIGTERM or Ctrl-C. On the loopback address unless receiver.host says otherwise.
    """
    settings, address = connected(settings_file, broker)
    from topology.plugins import PluginError
    from topology.receiver.command import run_receive
    from topology.worker import FolderInUseError, set_up_logging

    set_up_logging(settings)
    try:
        status = run_receive(settings, address, port, with_adapters=adapters)
    except (LookupError, PluginError) as error:
        raise Misused(str(error)) from error
    except (FolderInUseError, OSError) as error:
        raise Refused(str(error)) from error
    raise typer.Exit(status)
