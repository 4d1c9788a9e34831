"""HAProxy's runtime socket: what it serves now, and orders to it. One connection a command, as `socat` would.

    unix path or host:port --> "set severity-output number; <command>" --> [n]: text   n <= 3: refused
                                                                         +-> text       the answer

HAProxy takes numbers that it cannot read as 0 and says nothing: they are checked here, before they are sent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

from streams.remote.haproxy_answers import (
    AnswerError,
    ServerState,
    Stat,
    parse_info,
    parse_servers_state,
    parse_stat,
)

MAX_WEIGHT = 256
_MOST_BYTES = 64 * 1024 * 1024
"""Of an answer: 100,000 servers' `show stat` has 40 MB."""
_SEVERITY = re.compile(r"^\[(\d)\]: ", re.MULTILINE)
_ERROR = 3
"""Syslog severities 0-3: emergency to error."""
_NAME = re.compile(r"[A-Za-z0-9_.:-]+")
"""What HAProxy allows in names of proxies and servers; so nothing that would end the command."""
T = TypeVar("T")


class HAProxyError(Exception):
    """`address` and `command` say where and what; the text says what went wrong."""

    def __init__(self, address: str, command: str, why: str) -> None:
        super().__init__(f"HAProxy at {address}: `{command}`: {why}")
        self.address, self.command, self.why = address, command, why


class HAProxyUnreachableError(HAProxyError):
    """No connection, or it was cut before the answer. An order may have been carried out."""


class HAProxyTimeoutError(HAProxyError):
    """No whole answer in time. An order may have been carried out."""


class HAProxyRefusedError(HAProxyError):
    """HAProxy said no: there is no such server, the socket's level is too low. Nothing was changed."""


class HAProxyAnswerError(HAProxyError):
    """The answer is not of the form that the management guide gives."""


class ServerOrder(StrEnum):
    """READY ends both others; DRAIN: no new work, checks go on; MAINTENANCE: no work, no checks."""

    READY = "ready"
    DRAIN = "drain"
    MAINTENANCE = "maint"


class HAProxyRuntime:
    """`address`: the path of a Unix socket, or `host:port`. `timeout_s` holds for each command as a whole."""

    def __init__(self, address: str, timeout_s: float = 2.0) -> None:
        self.address = address
        self._timeout_s = timeout_s

    # --- what it serves -----------------------------------------------------------------------------------------

    async def info(self) -> dict[str, str]:
        """`show info`: version, pid, uptime, limits."""
        return await self._read("show info", parse_info)

    async def stat(self) -> tuple[Stat, ...]:
        """`show stat`: each frontend, backend and server with all its counters."""
        return await self._read("show stat", parse_stat)

    async def servers_state(self, backend: str = "") -> tuple[ServerState, ...]:
        """`show servers state`, of one backend or of all."""
        command = f"show servers state {_checked('backend', backend)}" if backend else "show servers state"
        return await self._read(command, parse_servers_state)

    # --- orders; each may be repeated ---------------------------------------------------------------------------

    async def set_state(self, backend: str, server: str, order: ServerOrder) -> None:
        await self.command(f"set server {_full_name(backend, server)} state {order.value}")

    async def set_weight(self, backend: str, server: str, weight: int) -> None:
        """`weight` 0 (no new work) to 256, beside those of the other servers."""
        await self.command(f"set server {_full_name(backend, server)} weight {_within('weight', weight, MAX_WEIGHT)}")

    async def set_server_maxconn(self, backend: str, server: str, connections: int) -> None:
        """Connections at once; what is more waits. 0 = no limit."""
        await self.command(f"set maxconn server {_full_name(backend, server)} {_within('connections', connections)}")

    async def set_frontend_maxconn(self, frontend: str, connections: int) -> None:
        name = _checked("frontend", frontend)
        await self.command(f"set maxconn frontend {name} {_within('connections', connections)}")

    async def set_session_rate(self, sessions_per_s: int) -> None:
        """New sessions a second, of the whole process; 0 = no limit."""
        await self.command(f"set rate-limit sessions global {_within('sessions_per_s', sessions_per_s)}")

    # --- the socket ---------------------------------------------------------------------------------------------

    async def command(self, command: str) -> str:
        """The answer without its severity. `command` is one command: neither ';' nor a line's end is let through."""
        if any(sign in command for sign in ";\n\r\\"):
            raise ValueError(f"not one command: {command!r}")
        answer = await self._exchange(command)
        severities = [int(n) for n in _SEVERITY.findall(answer)]
        text = _SEVERITY.sub("", answer).strip()
        if text.startswith("Unknown command") or any(n <= _ERROR for n in severities):
            raise HAProxyRefusedError(self.address, command, text.splitlines()[0] if text else "refused")
        return text

    async def _read(self, command: str, parse: Callable[[str], T]) -> T:
        text = await self.command(command)
        try:
            return parse(text)
        except AnswerError as error:
            raise HAProxyAnswerError(self.address, command, str(error)) from error

    async def _exchange(self, command: str) -> str:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._talk(f"set severity-output number;{command}\n")
        except TimeoutError:
            raise HAProxyTimeoutError(self.address, command, f"no answer within {self._timeout_s:g} s") from None
        except (OSError, EOFError) as error:
            raise HAProxyUnreachableError(self.address, command, str(error) or type(error).__name__) from error
        except UnicodeDecodeError as error:
            raise HAProxyAnswerError(self.address, command, str(error)) from error

    async def _talk(self, line: str) -> str:
        reader, writer = await self._connect()
        try:
            writer.write(line.encode("ascii"))
            await writer.drain()
            answer = bytearray()
            while part := await reader.read(1 << 16):
                answer += part
                if len(answer) > _MOST_BYTES:
                    raise OSError(f"the answer has more than {_MOST_BYTES} bytes")
            if not answer.endswith(b"\n"):
                raise EOFError("the answer was cut off")
            return answer.decode()
        finally:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, colon, port = self.address.rpartition(":")
        if colon and port.isdigit() and "/" not in self.address:
            return await asyncio.open_connection(host.strip("[]"), int(port))
        return await asyncio.open_unix_connection(self.address)


def _full_name(backend: str, server: str) -> str:
    return f"{_checked('backend', backend)}/{_checked('server', server)}"


def _checked(what: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a {what}")
    return name


def _within(what: str, number: int, most: int = 2**31 - 1) -> int:
    if not 0 <= number <= most:
        raise ValueError(f"{what} is {number}, not within 0 and {most}")
    return number
