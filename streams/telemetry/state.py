"""What the table keeps of one series: its bytes and their version.

All times are event time in ms, all statistics in the metric's canonical unit or dimensionless. A state is copied before
it is changed (`copy`), so a row that was handed out never moves.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass, field, fields
from operator import attrgetter

VERSION = 1
RING = 64
"""Recent standardised residuals kept for telling the kinds apart."""
QUANTUM = 0.01
"""Step of `ring` in mean absolute deviations; it holds +-320 of them."""
BUCKETS = 24
"""Buckets of the season; 24 over a day, interpolated, follow two harmonics to 2 % of the amplitude."""
STAMPS = 12
"""Recent sample times kept to recognise a repeated late sample."""

NORMAL, SPIKE, DROP, SHIFT, DRIFT, OSCILLATION, VARIANCE = range(7)
"""Incident codes; NORMAL = no incident open."""
JUMP, LEVEL, ACTIVITY = range(3)
"""The statistics that can open an incident."""


@dataclass(slots=True)
class SeriesState:
    """One series. Invariant: every float is finite; `kind` is NORMAL exactly when no value incident is open."""

    unit: str = ""
    last_cause: str = ""
    """Cause id of the newest accepted sample: what an absence is explained by."""
    stamps: list[int] = field(default_factory=list)
    """Times of the last STAMPS accepted samples, ascending."""
    season: array[float] = field(default_factory=lambda: array("d", bytes(8 * BUCKETS)))
    visits: bytearray = field(default_factory=lambda: bytearray(BUCKETS))
    ring: array[int] = field(default_factory=lambda: array("h", bytes(2 * RING)))
    # times, ms
    first_at: int = 0
    last_at: int = 0
    started_at: int = 0
    absent_at: int = 0
    timer_at: int = 0
    # counts
    samples: int = 0
    late_dropped: int = 0
    age: int = 0
    quiet: int = 0
    flips: int = 0
    closed_sample: int = 0
    opened_sample: int = 0
    reopened: int = 0
    season_samples: int = 0
    state_bits: int = 0
    # codes
    kind: int = NORMAL
    trigger: int = JUMP
    severity: int = 0
    direction: int = 0
    last_sign: int = 0
    flapping: int = 0
    seasonal: int = 0
    # baseline, in the metric's unit
    interval_ms: float = 0.0
    last_value: float = 0.0
    level: float = 0.0
    offset: float = 0.0
    flat_error: float = 0.0
    season_error: float = 0.0
    fast: float = 0.0
    slow: float = 0.0
    activity: float = 0.0
    change: float = 0.0
    jump_scale: float = 0.0
    level_scale: float = 0.0
    slow_scale: float = 0.0
    # baseline, dimensionless
    activity_scale: float = 0.0
    jump_q: float = 2.9
    jump_e: float = 0.6
    slow_q: float = 2.9
    slow_e: float = 0.6
    activity_q: float = 2.9
    activity_e: float = 0.6
    # incident
    reference: float = 0.0
    sigma: float = 0.0
    worst: float = 0.0
    openings: float = 0.0
    # rarity: learns through incidents (streams.telemetry.rarity)
    far_level: float = 0.0
    far_scale: float = 0.0
    step_scale: float = 0.0
    trend_fast: float = 0.0
    trend_slow: float = 0.0
    trend_scale: float = 0.0
    pace: float = 0.0
    far_q: float = 0.0
    far_e: float = 0.0
    step_q: float = 0.0
    step_e: float = 0.0
    trend_q: float = 0.0
    trend_e: float = 0.0
    pace_q: float = 0.0
    pace_e: float = 0.0
    season_q: float = 0.0
    season_e: float = 0.0
    peak: float = 0.0

    def copy(self) -> SeriesState:
        """A state that can be changed without touching this one."""
        return SeriesState(
            self.unit,
            self.last_cause,
            self.stamps[:],
            self.season[:],
            self.visits[:],
            self.ring[:],
            *_scalars_of(self),
        )


def encode(s: SeriesState) -> bytes:
    """At most 1 KB with the usual cause ids; little-endian, version first."""
    unit, cause = s.unit.encode(), s.last_cause.encode()
    return b"".join(
        (
            _HEAD.pack(VERSION, len(s.stamps), len(unit), len(cause)),
            _LAYOUT.pack(*_scalars_of(s)),
            struct.pack(f"<{BUCKETS}d{RING}h{len(s.stamps)}q", *s.season, *s.ring, *s.stamps),
            bytes(s.visits),
            unit,
            cause,
        )
    )


def decode(data: bytes) -> SeriesState:
    """Raises ValueError for another version: the table must then be rebuilt from its input."""
    if not data or data[0] != VERSION:
        found = data[0] if data else "none"
        raise ValueError(
            f"telemetry row has version {found}, this program reads {VERSION}: rebuild the telemetry table"
        )
    _, stamps, unit, cause = _HEAD.unpack_from(data)
    s = SeriesState()
    for name, value in zip(_SCALARS, _LAYOUT.unpack_from(data, _HEAD.size), strict=True):
        setattr(s, name, value)
    at = _HEAD.size + _LAYOUT.size
    arrays = struct.Struct(f"<{BUCKETS}d{RING}h{stamps}q")
    numbers = arrays.unpack_from(data, at)
    s.season, s.ring = array("d", numbers[:BUCKETS]), array("h", numbers[BUCKETS : BUCKETS + RING])
    s.stamps = list(numbers[BUCKETS + RING :])
    at += arrays.size
    s.visits = bytearray(data[at : at + BUCKETS])
    at += BUCKETS
    s.unit, s.last_cause = data[at : at + unit].decode(), data[at + unit : at + unit + cause].decode()
    return s


# The first fields, in this order: `copy` relies on it.
_CONTAINERS = ("unit", "last_cause", "stamps", "season", "visits", "ring")
_SCALARS = tuple(f.name for f in fields(SeriesState) if f.name not in _CONTAINERS)
_scalars_of = attrgetter(*_SCALARS)
_CODES = ("kind", "trigger", "severity", "direction", "last_sign", "flapping", "seasonal")


def _code(name: str) -> str:
    if name in _CODES:
        return "b"
    if name.endswith("_at") or name in ("samples", "late_dropped", "opened_sample", "closed_sample"):
        return "q"
    return "i" if isinstance(getattr(SeriesState(), name), int) else "d"


_HEAD = struct.Struct("<BBHH")
_LAYOUT = struct.Struct("<" + "".join(_code(name) for name in _SCALARS))
