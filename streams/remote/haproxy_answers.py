"""What HAProxy's runtime socket answers, as values. Pure.

Forms: the management guide of HAProxy, 9.1 (CSV of `show stat`) and 9.3 (`show servers state`, version 1). Columns are
found by name, so that those which a later version adds do no harm.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag


class AnswerError(ValueError):
    """The text is no answer of the form that was asked for."""


class Operation(IntEnum):
    """What the server does, `srv_op_state`."""

    STOPPED = 0
    STARTING = 1
    RUNNING = 2
    STOPPING = 3


class Admin(IntFlag):
    """What was ordered of the server, `srv_admin_state`; 0 = ready."""

    READY = 0
    FORCED_MAINTENANCE = 1
    INHERITED_MAINTENANCE = 2
    CONFIGURED_MAINTENANCE = 4
    FORCED_DRAIN = 8
    INHERITED_DRAIN = 16
    NOT_RESOLVED = 32
    CONFIGURED_DRAIN = 64


MAINTENANCE = Admin.FORCED_MAINTENANCE | Admin.INHERITED_MAINTENANCE | Admin.NOT_RESOLVED
DRAIN = Admin.FORCED_DRAIN | Admin.INHERITED_DRAIN
"""In effect now. The configured ones only recall what the file says, also after an order to be ready
[HAProxy, `SRV_ADMF_MAINT` and `SRV_ADMF_DRAIN` in server-t.h]."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """One line of `show servers state`. Weights are 0-256; `address` may be empty (not resolved)."""

    backend: str
    server: str
    address: str
    port: int
    operation: Operation
    admin: Admin
    weight: int
    configured_weight: int
    seconds_since_change: int

    @property
    def takes_work(self) -> bool:
        return (
            self.operation in (Operation.STARTING, Operation.RUNNING)
            and not self.admin & (MAINTENANCE | DRAIN)
            and self.weight > 0
        )


@dataclass(frozen=True, slots=True)
class Stat:
    """One line of `show stat`. `server` is FRONTEND or BACKEND for those. `figures`: every column as it was sent."""

    proxy: str
    server: str
    status: str
    figures: Mapping[str, str]

    def number(self, column: str) -> int | None:
        """None = HAProxy does not say (the column is empty or not there)."""
        text = self.figures.get(column, "")
        try:
            return int(text) if text else None
        except ValueError as error:
            raise AnswerError(f"column {column} of {self.proxy}/{self.server} is {text!r}, not a number") from error


def parse_stat(text: str) -> tuple[Stat, ...]:
    lines = text.strip().splitlines()
    if not lines or not lines[0].startswith("# "):
        raise AnswerError(f"`show stat` does not start with its column names: {text[:80]!r}")
    rows = csv.DictReader(io.StringIO("\n".join([lines[0][2:], *lines[1:]])))
    return tuple(_stat(row) for row in rows)


def _stat(row: Mapping[str, str | None]) -> Stat:
    figures = {name: value for name, value in row.items() if name and isinstance(value, str)}
    try:
        return Stat(figures["pxname"], figures["svname"], figures["status"], figures)
    except KeyError as error:
        raise AnswerError(f"`show stat` has a line without {error}") from error


def parse_servers_state(text: str) -> tuple[ServerState, ...]:
    lines = text.strip().splitlines()
    if len(lines) < 2 or lines[0].strip() != "1" or not lines[1].startswith("# "):
        raise AnswerError(f"`show servers state` is not of version 1: {text[:80]!r}")
    columns = lines[1][2:].split()
    return tuple(_server(line, dict(zip(columns, line.split(" "), strict=False))) for line in lines[2:])


def _server(line: str, row: Mapping[str, str]) -> ServerState:
    try:
        return ServerState(
            backend=row["be_name"],
            server=row["srv_name"],
            address="" if row["srv_addr"] == "-" else row["srv_addr"],
            port=int(row["srv_port"]),
            operation=Operation(int(row["srv_op_state"])),
            admin=Admin(int(row["srv_admin_state"])),
            weight=int(row["srv_uweight"]),
            configured_weight=int(row["srv_iweight"]),
            seconds_since_change=int(row["srv_time_since_last_change"]),
        )
    except (KeyError, ValueError) as error:
        raise AnswerError(f"`show servers state` has a line that cannot be read ({error}): {line[:120]!r}") from error


def parse_info(text: str) -> dict[str, str]:
    """`Name: value` lines."""
    found = dict(_pairs(text))
    if "Version" not in found:
        raise AnswerError(f"`show info` names no version: {text[:80]!r}")
    return found


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip(), value.strip()
