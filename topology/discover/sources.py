"""Providers from the options of `maestro discover`: NAME=ADDRESS each. Raises Misused for what names no source."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.discovery.ports import DiscoveryProvider
from streams.discovery.providers.backstage import BackstageProvider
from streams.discovery.providers.consul import ConsulProvider
from streams.discovery.providers.file_sd import FileSdProvider
from streams.discovery.providers.haproxy import HAProxyProvider
from streams.discovery.providers.kubernetes import KubernetesProvider
from streams.discovery.providers.mapped import MappedProvider
from streams.discovery.providers.mapping import MappingError
from streams.discovery.providers.mesh.provider import MeshProvider
from streams.discovery.providers.prometheus import PrometheusProvider
from streams.discovery.providers.static import StaticFileProvider
from streams.discovery.providers.terraform import TerraformProvider
from streams.remote.kubernetes_access import Access, AccessError, in_cluster, kubeconfig
from topology import plugins
from topology.cli.root import Misused
from topology.discover.telemetry import telemetry_source
from topology.settings import Settings

IN_CLUSTER = "in-cluster"
"""In the place of a kubeconfig: the account of the pod that this runs in."""


@dataclass(frozen=True, slots=True)
class Named:
    """What each option was given, in the form that `maestro discover --help` says."""

    file: Sequence[Path] = ()
    haproxy: Sequence[str] = ()
    prometheus: Sequence[str] = ()
    file_sd: Sequence[str] = ()
    kubernetes: Sequence[str] = ()
    mesh: Sequence[str] = ()
    consul: Sequence[str] = ()
    terraform: Sequence[str] = ()
    backstage: Sequence[str] = ()
    cmdb: Sequence[str] = ()
    otel: Sequence[str] = ()


def shared_sources(named: Named, settings: Settings | None = None) -> list[DiscoveryProvider]:
    """What one instance at a time runs, plug-ins last; no two under one name. `settings` None = the defaults."""
    found = [*_of_options(named, settings or Settings())]
    try:
        found += plugins.providers()
    except plugins.PluginError as error:
        raise Misused(str(error)) from error
    names = [provider.source for provider in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Misused(f"named twice: {', '.join(twice)}")
    return found


def _of_options(named: Named, settings: Settings) -> Iterator[DiscoveryProvider]:
    token = os.environ.get("CONSUL_HTTP_TOKEN", "")
    made: tuple[tuple[str, Sequence[str], str, Callable[[str, str], DiscoveryProvider]], ...] = (
        ("--haproxy", named.haproxy, "NAME=SOCKET", lambda name, socket: HAProxyProvider(socket, name)),
        ("--prometheus", named.prometheus, "NAME=URL", lambda name, url: PrometheusProvider(url, name)),
        ("--kubernetes", named.kubernetes, "NAME=KUBECONFIG", _cluster),
        ("--mesh", named.mesh, "NAME=KUBECONFIG", lambda name, path: MeshProvider(_access("--mesh", name, path), name)),
        ("--consul", named.consul, "NAME=URL", lambda name, url: ConsulProvider(url, name, token=token)),
        ("--terraform", named.terraform, "NAME=FILE", lambda name, path: TerraformProvider(Path(path), name)),
        ("--cmdb", named.cmdb, "NAME=MAPPING", _described),
    )
    yield from (StaticFileProvider(path) for path in named.file)
    for option, given, form, make in made:
        yield from (make(name, address) for name, address in _pairs(option, given, form))
    yield from (FileSdProvider(patterns, job) for job, patterns in _gathered("--file-sd", named.file_sd, "JOB=PATTERN"))
    yield from (
        BackstageProvider(patterns, name)
        for name, patterns in _gathered("--backstage", named.backstage, "NAME=PATTERN")
    )
    yield from (
        telemetry_source(name, topics, settings) for name, topics in _gathered("--otel", named.otel, "NAME=TOPIC")
    )


def _cluster(name: str, path: str) -> KubernetesProvider:
    return KubernetesProvider(_access("--kubernetes", name, path), name)


def _access(option: str, name: str, path: str) -> Access:
    try:
        return in_cluster(os.environ) if path == IN_CLUSTER else kubeconfig(Path(path))
    except AccessError as error:
        raise Misused(f"{option} {name}: {error}") from error


def _described(name: str, path: str) -> MappedProvider:
    try:
        return MappedProvider(Path(path), name, os.environ)
    except MappingError as error:
        raise Misused(f"--cmdb {name}: {error}") from error


def _gathered(option: str, given: Sequence[str], form: str) -> list[tuple[str, list[str]]]:
    """All patterns of a name are one source."""
    patterns: dict[str, list[str]] = {}
    for name, pattern in _pairs(option, given, form):
        patterns.setdefault(name, []).append(pattern)
    return list(patterns.items())


def _pairs(option: str, given: Sequence[str], form: str) -> list[tuple[str, str]]:
    pairs = []
    for text in given:
        name, _, address = text.partition("=")
        if not (name and address):
            raise Misused(f"{option} {text!r} is not {form}")
        pairs.append((name, address))
    return pairs
