"""What every foreign format is read into. Times are UTC ms, event time; `start` 0 = not said."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple

from schemas.errors import Reason
from schemas.records import EARLIEST_AT, LATEST_AT

Attributes = tuple[tuple[str, str], ...]
"""Sorted pairs that tell the data points of one metric of one asset apart."""


ATTRIBUTES_MAX_LENGTH = 1_000
UNIT_MAX_LENGTH = 63


class Origin(NamedTuple):
    """Which series a point belongs to, in its sender's words (the asset id is decided already)."""

    asset_id: str
    metric: str
    unit: str = ""
    attributes: Attributes = ()


def attributes_from(pairs: Mapping[str, str], ignored: tuple[str, ...] = ()) -> Attributes:
    """Sorted, without the `ignored` (patterns of names).

    Those that are longer than a name may be become one digest, so that series stay apart and state small.
    """
    pairs = {name: value for name, value in pairs.items() if not matches(name, ignored)} if ignored else pairs
    if sum(len(name) + len(value) for name, value in pairs.items()) > ATTRIBUTES_MAX_LENGTH:
        return (("attributes", _digest(attribute_text(tuple(sorted(pairs.items()))))),)
    return tuple(sorted(pairs.items()))


@lru_cache(maxsize=65_536)
def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Of a metric or an attribute; `*` and `?` in a pattern stand for any characters and for one."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def attribute_text(attributes: Attributes) -> str:
    return ",".join(f"{name}={value}" for name, value in attributes)


@lru_cache(maxsize=65_536)
def mark(origin: Origin) -> str:
    """A short name of a series among those of its asset."""
    return _digest(f"{origin.metric}|{attribute_text(origin.attributes)}")


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


class Kind(StrEnum):
    """What a number is: a level; a running total; how much was added since `start`."""

    LEVEL = "level"
    TOTAL = "total"
    ADDED = "added"


class Number(NamedTuple):
    """`value` None = the sender says that the series has ended or has no value now."""

    origin: Origin
    at: int
    value: float | None
    kind: Kind = Kind.LEVEL
    start: int = 0


Bucket = tuple[float, float, float]
"""(lower, upper, count): `count` observations in (lower, upper]; the ends may be infinite. Never empty ones."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Observations, `running` since `start` or those of the interval alone. `total` and buckets None = not said.

    `least` and `most` bound every observation, as far as the sender knows. `anew`: it says that the totals began again.
    """

    origin: Origin
    at: int
    count: float
    total: float | None
    buckets: tuple[Bucket, ...] | None
    running: bool
    start: int = 0
    least: float | None = None
    most: float | None = None
    anew: bool = False


class Ended(NamedTuple):
    """A distribution that its sender says is stale: what it counted before does not go on."""

    origin: Origin
    at: int


class Untyped(NamedTuple):
    """A sample of Prometheus: whether it is a level, a total or a part of a histogram is in its name and metadata.

    `told`: the type of its metric family where the sample itself came with it, "" = it did not.
    """

    origin: Origin
    at: int
    value: float | None
    told: str = ""
    start: int = 0


Point = Number | Distribution | Ended | Untyped


@dataclass(frozen=True, slots=True)
class Fault:
    """One point that cannot be taken. `place` says where in the message."""

    place: str
    code: Reason
    message: str


@dataclass(slots=True)
class Reading:
    """The points of one message in its order, and those refused. `whole`: what belongs to one time came together."""

    points: list[Point] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    whole: bool = False
    types: dict[str, str] = field(default_factory=dict)
    """What the sender says of metric names: counter, gauge, histogram, summary."""
    units: dict[str, str] = field(default_factory=dict)
    """What the sender says of metric names in requests of their own, for points without a unit."""
    version: int = 0
    """Of the protocol, where the bytes tell it (remote write)."""
    written: Counter[str] = field(default_factory=Counter)
    """Good samples and histograms, as remote write 2.0 counts them."""

    def refuse_after(self, latest: int) -> None:
        """Takes out the points whose time is ahead of what any right clock can show."""
        ahead = [point for point in self.points if point.at > latest]
        if ahead:
            self.points = [point for point in self.points if point.at <= latest]
            for point in ahead:
                what = f"time {point.at} ms is ahead of the broker's by more than is allowed ({latest})"
                self.refuse(f"{point.origin.asset_id} {point.origin.metric}", Reason.TIME_OUT_OF_RANGE, what)

    def refuse(self, place: str, code: Reason, message: str) -> None:
        self.faults.append(Fault(place, code, message))


def time_fault(at: int) -> str | None:
    """What is wrong with an event time, or None."""
    return None if EARLIEST_AT < at <= LATEST_AT else f"time {at} ms is not between 1970 and 2100"


def value_fault(value: float) -> str | None:
    return None if math.isfinite(value) else f"value {value} is not a finite number"


def told(faults: Sequence[Fault], shown: int = 5) -> str:
    """The first few faults in one line, for the header of a dead letter."""
    some = "; ".join(f"{fault.place}: {fault.message}" for fault in faults[:shown])
    return some + (f" (and {len(faults) - shown} more points)" if len(faults) > shown else "")
