"""`maestro discover`: providers in a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topology.cli.options import Broker, SettingsFile, connected
from topology.cli.root import Misused, Refused

if TYPE_CHECKING:
    from topology.discover.command import Discovering


def register(app: typer.Typer) -> None:
    app.command("discover", epilog="Example: maestro discover --haproxy edge=/run/haproxy/admin.sock")(discover)


def discover(
    file: Annotated[list[Path] | None, typer.Option(help="Assets in a JSON or YAML file; may be repeated.")] = None,
    haproxy: Annotated[
        list[str] | None, typer.Option(metavar="NAME=SOCKET", help="HAProxy's runtime socket, a path or HOST:PORT.")
    ] = None,
    prometheus: Annotated[
        list[str] | None, typer.Option(metavar="NAME=URL", help="A Prometheus server's active targets.")
    ] = None,
    file_sd: Annotated[
        list[str] | None,
        typer.Option(metavar="JOB=PATTERN", help="Prometheus' service discovery files; may be repeated for a job."),
    ] = None,
    kubernetes: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=KUBECONFIG", help="A cluster, by a kubeconfig file, or `in-cluster` as its pod."),
    ] = None,
    mesh: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=KUBECONFIG", help="Istio's ServiceEntries and WorkloadEntries in a cluster, or `in-cluster`."
        ),
    ] = None,
    consul: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=URL", help="A Consul datacenter; its token is taken from CONSUL_HTTP_TOKEN."),
    ] = None,
    terraform: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE", help="The resources of a Terraform state.")
    ] = None,
    backstage: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATTERN", help="Backstage's catalog files; may be repeated for a name."),
    ] = None,
    cmdb: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=MAPPING", help="A CSV file or a REST API, such as ServiceNow, by a mapping file."),
    ] = None,
    otel: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=TOPIC",
            help="OpenTelemetry's traces on a topic, or `metrics:TOPIC`, `logs:TOPIC`, `file:PATH`; may be repeated.",
        ),
    ] = None,
    host: Annotated[bool, typer.Option(help="Also this host and its processes.")] = False,
    settings_file: SettingsFile = None,
    broker: Broker = None,
) -> None:
    """Asks sources for their assets, until SIGTERM or Ctrl-C; also the providers of plug-ins.

    Run as many as you like with the same options: one of them runs each source at a time, the others take over.
    """
    from topology.discover.sources import Named, shared_sources
    from topology.settings import load_settings

    named = Named(
        file=file or (),
        haproxy=haproxy or (),
        prometheus=prometheus or (),
        file_sd=file_sd or (),
        kubernetes=kubernetes or (),
        mesh=mesh or (),
        consul=consul or (),
        terraform=terraform or (),
        backstage=backstage or (),
        cmdb=cmdb or (),
        otel=otel or (),
    )
    shared = shared_sources(named, load_settings(settings_file, broker=broker))
    if not shared and not host:
        raise Misused("no source is named: give --file, --host or another of `maestro discover --help`")
    settings, address = connected(settings_file, broker)
    from streams.discovery.providers.host import HostProvider
    from topology.admin import TopicAdmin, wanted_topics
    from topology.discover.command import Discovering, claims_topic
    from topology.discover.metrics import SourceCollector
    from topology.metrics import metrics_page
    from topology.schema_registry import connected_ids
    from topology.worker import set_up_logging

    set_up_logging(settings)
    TopicAdmin(address).create([*wanted_topics(settings), claims_topic(settings)])
    everywhere = [HostProvider()] if host else []
    discovering = Discovering(settings, address, shared, everywhere, connected_ids(settings.schema_registry_url))
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(metrics_page(SourceCollector(discovering.sources, discovering.running), settings))
        except OSError as error:
            raise Refused(f"the metrics page cannot listen on port {settings.metrics_port}: {error}") from error
        asyncio.run(_until_signal(discovering))


async def _until_signal(discovering: Discovering) -> None:
    task = asyncio.create_task(discovering.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
