"""What the table keeps of one series: its bytes and their version.

All times are event time in ms, all statistics in the metric's canonical unit or dimensionless. A state is copied before
it is changed (`copy`), so a row that was handed out never moves.
"""

from __future__ import annotations

import struct
from typing import Any, cast

import numpy as np

from streams.telemetry import causes
from streams.telemetry.record import SERIES, SeriesRecord

VERSION = 7

NORMAL, SPIKE, DROP, SHIFT, DRIFT, OSCILLATION, VARIANCE = range(7)
"""Incident codes; NORMAL = no incident open."""
NO_TRIGGER, JUMP, LEVEL, ACTIVITY = range(-1, 3)
"""The statistics that can open an incident."""


class SeriesState(SeriesRecord):
    """One series as a row: its record and the strings beside it. A record's field is an attribute here too."""

    __slots__ = ("_record", "last_cause", "unit")

    unit: str
    last_cause: str
    """Cause id of the newest accepted sample: what an absence is explained by."""

    def __init__(self, unit: str = "", last_cause: str = "", record: np.void | None = None) -> None:
        fresh = np.zeros(1, SERIES)[0] if record is None else record
        for name, value in (("unit", unit), ("last_cause", last_cause), ("_record", fresh)):
            object.__setattr__(self, name, value)

    @property
    def record(self) -> SeriesRecord:
        """What kernels take; changes through it are changes of this state."""
        return cast(SeriesRecord, self._record)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._record[name].item()
        except (ValueError, KeyError):
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in SeriesState.__slots__:
            object.__setattr__(self, name, value)
        else:
            self._record[name] = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SeriesState) and encode(self) == encode(other)

    __hash__ = None  # type: ignore[assignment]  # changes in place

    def __repr__(self) -> str:
        return f"SeriesState({self.unit!r}, {self.last_cause!r}, {self._record})"

    def copy(self) -> SeriesState:
        """A state that can be changed without touching this one."""
        return SeriesState(self.unit, self.last_cause, self._record.copy())


def encode(s: SeriesState) -> bytes:
    """At most 1 KB with the usual units and cause ids; little-endian, version first."""
    cause, record = causes.read(s.last_cause), s._record.copy()
    record["cause_number"], record["cause_row"] = cause.number, cause.row
    head, tail = ends(s.unit, cause.text)
    return b"".join((head, record.tobytes(), tail))


def ends(unit: str, cause: str) -> tuple[bytes, bytes]:
    """What stands before a record's bytes in a row, and after them. `cause` is `causes.Cause.text`."""
    tail = unit.encode(), cause.encode()
    return _HEAD.pack(VERSION, len(tail[0]), len(tail[1])), b"".join(tail)


def read_ends(data: bytes) -> tuple[str, str]:
    """Unit and cause of a row without its record. Raises ValueError for another version."""
    if not data or data[0] != VERSION:
        found = data[0] if data else "none"
        raise ValueError(
            f"telemetry row has version {found}, this program reads {VERSION}: rebuild the telemetry table"
        )
    _, unit, cause = _HEAD.unpack_from(data)
    if len(data) != HEAD_BYTES + unit + cause:
        raise ValueError(f"telemetry row is cut or too long by {len(data) - HEAD_BYTES - unit - cause} bytes")
    return data[HEAD_BYTES : HEAD_BYTES + unit].decode(), data[HEAD_BYTES + unit :].decode()


def decode(data: bytes) -> SeriesState:
    """Raises ValueError for another version: the table must then be rebuilt from its input."""
    unit, text = read_ends(data[:HEAD_BYTES] + data[RECORD_END:])
    record = np.frombuffer(data, SERIES, 1, HEAD_BYTES)[0].copy()
    cause = causes.Cause(text, int(record["cause_number"]), int(record["cause_row"]))
    return SeriesState(unit, cause.name(), record)


_HEAD = struct.Struct("<BHH")
HEAD_BYTES = _HEAD.size
RECORD_END = HEAD_BYTES + SERIES.itemsize
