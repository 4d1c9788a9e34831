"""This host as assets: the host itself, the services that listen on it, and the processes that hold its memory.

Processes of one executable are one asset, so that a restart or a pool of workers is no news. Only the executable's name
and its listening ports are told: command lines and environments hold secrets. What is not listening is an asset from
`enter_share` of memory and stays one until it falls below `leave_share`, so that it does not come and go at the border.
Without the right to see other users' sockets their services show as processes, or not at all.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

import psutil

from schemas.records import Asset, AssetKind, Endpoint


@dataclass(frozen=True, slots=True)
class Process:
    """`ports` are the TCP ports that it listens on; `memory_share` is its resident share of memory, 0-1."""

    executable: str
    ports: frozenset[int]
    memory_share: float


@dataclass(frozen=True, slots=True)
class Host:
    name: str
    system: str
    release: str
    machine: str
    cpus: int
    memory_bytes: int


class HostProvider:
    complete = True

    def __init__(
        self,
        hostname: str = "",
        freshness_s: float = 30.0,
        enter_share: float = 0.01,
        leave_share: float = 0.005,
        most: int = 50,
    ) -> None:
        self._hostname = hostname or platform.node() or "localhost"
        self.source = f"host:{self._hostname}"
        self.scope = f"host/{self._hostname}"
        self.freshness_s = freshness_s
        self._enter_share, self._leave_share, self._most = enter_share, leave_share, most
        self._shown: frozenset[str] = frozenset()

    async def list(self) -> list[Asset]:
        host, processes = await asyncio.to_thread(lambda: (read_host(self._hostname), read_processes()))
        groups = by_executable(processes)
        self._shown = worth_showing(groups, self._shown, self._enter_share, self._leave_share, self._most)
        return [host_asset(host), *(process_asset(host, groups[name]) for name in sorted(self._shown))]


# --- pure -----------------------------------------------------------------------------------------------------------


def by_executable(processes: Iterable[Process]) -> dict[str, Process]:
    groups: dict[str, Process] = {}
    for process in processes:
        other = groups.get(process.executable, Process(process.executable, frozenset(), 0.0))
        share = other.memory_share + process.memory_share
        groups[process.executable] = Process(process.executable, other.ports | process.ports, share)
    return groups


def worth_showing(
    groups: Mapping[str, Process], shown: frozenset[str], enter_share: float, leave_share: float, most: int
) -> frozenset[str]:
    """Services, and what holds enough memory; at most `most`: services first, then what is shown, then the biggest."""
    chosen = [
        group
        for group in groups.values()
        if group.ports or group.memory_share >= (leave_share if group.executable in shown else enter_share)
    ]
    chosen.sort(key=lambda g: (not g.ports, g.executable not in shown, -g.memory_share, g.executable))
    return frozenset(group.executable for group in chosen[:most])


def host_asset(host: Host) -> Asset:
    return Asset(
        id=f"host:{host.name}",
        name=host.name,
        kind=AssetKind.INFRASTRUCTURE,
        failure_domain=f"host:{host.name}",
        version=f"{host.system} {host.release}",
        capacity_units=host.cpus,
        labels={"machine": host.machine, "cpus": str(host.cpus), "memory_bytes": str(host.memory_bytes)},
    )


def process_asset(host: Host, group: Process) -> Asset:
    """A microservice if it listens; else its kind is not known: a process alone does not say what it is for."""
    ports = sorted(group.ports)
    return Asset(
        id=f"process:{host.name}/{group.executable}",
        name=group.executable,
        kind=AssetKind.MICROSERVICE if ports else AssetKind.UNKNOWN,
        failure_domain=f"host:{host.name}",
        labels={"executable": group.executable},
        endpoints=tuple(Endpoint(type="tcp", url=f"tcp://{host.name}:{port}") for port in ports),
        depends_on=(f"host:{host.name}",),
    )


# --- this host ------------------------------------------------------------------------------------------------------


def read_host(hostname: str) -> Host:
    return Host(
        name=hostname,
        system=platform.system(),
        release=platform.release(),
        machine=platform.machine(),
        cpus=psutil.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
    )


def read_processes() -> list[Process]:
    """Kernel threads (no resident memory) are left out; so is a process that ends while it is looked at."""
    ports = _listening_ports()
    total = psutil.virtual_memory().total or 1
    found = []
    for process in psutil.process_iter(["pid", "name", "exe", "memory_info"]):
        memory = process.info["memory_info"]
        executable = PurePath(process.info["exe"] or process.info["name"] or "").name
        if executable and memory is not None and memory.rss > 0:
            listening = frozenset(ports.get(process.info["pid"], ()))
            found.append(Process(executable, listening, memory.rss / total))
    return found


def _listening_ports() -> dict[int, set[int]]:
    ports: dict[int, set[int]] = {}
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ports
    for connection in connections:
        address = connection.laddr
        if connection.status == psutil.CONN_LISTEN and connection.pid is not None and address:
            ports.setdefault(connection.pid, set()).add(address.port)
    return ports
