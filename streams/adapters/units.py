"""Units to one a dimension: durations in ms, sizes in bytes, shares in 0-1, counts without one.

OpenTelemetry writes units in UCUM (ucum.org): `s`, `By`, `%`, `1`, and words in braces such as `{request}`, which mean
a plain number. What is not known stays as it is, and is counted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from streams.kit.metric_names import meaning

_DURATIONS_MS = {
    "ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3, "sec": 1e3, "seconds": 1e3, "milliseconds": 1.0,
    "min": 6e4, "h": 3.6e6, "d": 8.64e7,
}  # fmt: skip
_BYTES = {
    "by": 1.0, "byte": 1.0, "bytes": 1.0, "kby": 1e3, "mby": 1e6, "gby": 1e9, "tby": 1e12,
    "kiby": 2.0**10, "miby": 2.0**20, "giby": 2.0**30, "tiby": 2.0**40, "bit": 0.125,
}  # fmt: skip
_SHARES = {"%": 0.01, "percent": 0.01, "ratio": 1.0, "1": 1.0}
_KEPT = frozenset({"", "w", "j", "a", "v", "hz", "cel", "k", "m", "g", "pa", "usd/h", "1/s", "bytes/s", "c"})
"""Known, and already the one of their dimension."""


class Unit(NamedTuple):
    """value in `name` = foreign value x `factor`."""

    name: str
    factor: float
    known: bool = True


@lru_cache(maxsize=4_096)
def normal(unit: str) -> Unit:
    """Of a unit as it was sent."""
    given = unit.strip()
    low = given.lower()
    if given.startswith("{") and given.endswith("}"):
        return Unit("1", 1.0)
    if given == "MS":  # UCUM is case sensitive where it matters: a megasiemens is no millisecond
        return Unit(given, 1.0, False)
    for name, scale in (("ms", _DURATIONS_MS), ("bytes", _BYTES), ("1", _SHARES)):
        if low in scale:
            return Unit(name, scale[low])
    above, slash, below = given.rpartition("/")
    if slash and below == "s" and above:
        return per_second(above)
    return Unit(given, 1.0, low in _KEPT)


@lru_cache(maxsize=4_096)
def per_second(unit: str) -> Unit:
    """Of the rate of a total that has this unit. Seconds per second are a share: of one CPU, say."""
    above = normal(unit)
    if above.name == "ms":
        return Unit("1", above.factor / 1e3)
    return Unit(f"{above.name or '1'}/s", above.factor, above.known)


def emitted(metric: str, unit: str) -> Unit:
    """Of a sample under its own name. Where the name says the unit, as Prometheus' do, the value stays true to it."""
    return Unit("s", 1.0) if unit == "s" and "_seconds" in metric else normal(unit)


def as_canonical(metric: str, unit: str) -> Unit:
    """Of a sample under a name of the contract."""
    base = normal(unit)
    found = meaning(metric, base.name)
    return Unit(found.unit, base.factor * found.factor, base.known)
