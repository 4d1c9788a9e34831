"""Providers from the options of `maestro discover`: NAME=ADDRESS each. Raises Misused for what names no source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streams.discovery.ports import DiscoveryProvider
from streams.discovery.providers.file_sd import FileSdProvider
from streams.discovery.providers.haproxy import HAProxyProvider
from streams.discovery.providers.prometheus import PrometheusProvider
from streams.discovery.providers.static import StaticFileProvider
from topology import plugins
from topology.cli.root import Misused


def shared_sources(
    files: Sequence[Path], haproxy: Sequence[str], prometheus: Sequence[str], file_sd: Sequence[str]
) -> list[DiscoveryProvider]:
    """What one instance at a time runs, plug-ins last; no two under one name."""
    found: list[DiscoveryProvider] = [StaticFileProvider(path) for path in files]
    found += [HAProxyProvider(socket, name) for name, socket in _pairs("--haproxy", haproxy, "NAME=SOCKET")]
    found += [PrometheusProvider(url, name) for name, url in _pairs("--prometheus", prometheus, "NAME=URL")]
    patterns: dict[str, list[str]] = {}
    for job, pattern in _pairs("--file-sd", file_sd, "JOB=PATTERN"):
        patterns.setdefault(job, []).append(pattern)
    found += [FileSdProvider(of_job, job) for job, of_job in patterns.items()]
    try:
        found += plugins.providers()
    except plugins.PluginError as error:
        raise Misused(str(error)) from error
    names = [provider.source for provider in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Misused(f"named twice: {', '.join(twice)}")
    return found


def _pairs(option: str, given: Sequence[str], form: str) -> list[tuple[str, str]]:
    pairs = []
    for text in given:
        name, _, address = text.partition("=")
        if not (name and address):
            raise Misused(f"{option} {text!r} is not {form}")
        pairs.append((name, address))
    return pairs
