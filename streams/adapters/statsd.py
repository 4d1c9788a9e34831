"""StatsD datagrams, with DogStatsD's tags, aggregated between two flushes. Pure: who flushes says when.

    orders:1|c|@0.1|#service:pay,tier:gold     counter, one in ten was sent     -> orders_per_s{tier=gold}
    pool:7|g     pool:+2|g                     gauge; with a sign it is changed  -> pool
    took:320|ms|#service:pay                   timer (h, d: histogram)           -> took_per_s, _mean, _p50, _p95, _p99
    users:u17|s                                set: how many different ones      -> users

UDP confirms nothing and carries no time: what is lost on the way is lost, and a sample has the time of its flush.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import NamedTuple

from streams.adapters import units
from streams.adapters.converter import named
from streams.adapters.identity import asset_of
from streams.adapters.points import Origin, attributes_from
from streams.adapters.rounds import Figure

MAX_SERIES = 20_000
MAX_TIMINGS = 1_000
MAX_SET = 10_000
GAUGE_KEPT_FLUSHES = 6
"""A gauge is repeated while its sender may only have nothing new to say; after that it is silent."""
QUANTILES = (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))


class Metric(NamedTuple):
    """One value as it was sent. `rate` 0-1: the share of events that was sent."""

    name: str
    text: str
    kind: str
    rate: float
    tags: dict[str, str]


def parse(line: str) -> list[Metric]:
    """The values of one line (DogStatsD packs several: `took:1:2:3|ms`). ValueError says what is wrong."""
    head, *rest = line.split("|")
    name, colon, values = head.partition(":")
    if not name or not colon or not rest:
        raise ValueError(f"{line[:80]!r} is not name:value|type")
    kind, rate, tags = rest[0], 1.0, {}
    if kind not in ("c", "g", "ms", "h", "d", "s"):
        raise ValueError(f"type {kind[:10]!r} is none of c, g, ms, h, d, s")
    for part in rest[1:]:
        if part.startswith("@"):
            rate = float(part[1:])
        elif part.startswith("#"):
            pairs = (tag.partition(":") for tag in part[1:].split(",") if tag)
            tags = {key: value for key, _, value in pairs}
    if not 0 < rate <= 1:
        raise ValueError(f"sample rate {rate} is not in (0, 1]")
    texts = [values] if kind == "s" else values.split(":")
    for text in texts:
        if kind != "s" and not math.isfinite(float(text)):
            raise ValueError(f"value {text} is not a finite number")
    return [Metric(name, text, kind, rate, tags) for text in texts]


@dataclass(slots=True)
class _Series:
    kind: str
    count: float = 0.0
    total: float = 0.0
    value: float = 0.0
    timings: list[float] = field(default_factory=list)
    """The newest `MAX_TIMINGS`, for the quantiles."""
    seen: int = 0
    members: set[bytes] = field(default_factory=set)
    silent: int = 0


class Aggregator:
    """Everything since the last flush. `refused` counts lines that were wrong, or one series too many."""

    def __init__(self, identity: tuple[str, ...], unidentified: str) -> None:
        self._identity, self._unidentified = identity, unidentified
        self._series: dict[tuple[Origin, str], _Series] = {}
        self.lines = self.refused = 0
        self.last_refusal = ""

    def take(self, datagram: bytes) -> None:
        for raw in datagram.split(b"\n"):
            if not raw.strip() or raw.startswith((b"_e{", b"_sc|")):  # events and service checks are no metrics
                continue
            self.lines += 1
            try:
                for metric in parse(raw.decode().strip()):
                    self._add(metric)
            except ValueError as error:
                self.refused += 1
                self.last_refusal = str(error)

    def flush(self, at: int, seconds: float) -> list[Figure]:
        """The samples at `at` (ms) of what came in `seconds`; begins anew."""
        found: list[Figure] = []
        for (origin, kind), series in list(self._series.items()):
            found += _figures(origin, kind, series, at, seconds)
            if kind != "g" or series.silent >= GAUGE_KEPT_FLUSHES:
                del self._series[origin, kind]
            series.silent += 1
        return found

    def _add(self, metric: Metric) -> None:
        asset_id = asset_of(self._identity, metric.tags, self._unidentified)
        if not asset_id:
            raise ValueError("no asset: none of the tags that receiver.statsd_identity names")
        known = {part.rstrip("?") for rule in self._identity for part in rule.split("/")}
        attributes = attributes_from({k: v for k, v in metric.tags.items() if k not in known})
        kind = "ms" if metric.kind in ("h", "d") else metric.kind
        key = (Origin(asset_id, metric.name, "ms" if metric.kind == "ms" else "", attributes), kind)
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= MAX_SERIES:
                raise ValueError(f"more than {MAX_SERIES} series between two flushes")
            series = self._series[key] = _Series(kind)
        _into(series, metric)


def _into(series: _Series, metric: Metric) -> None:
    series.silent = 0
    if metric.kind == "s":
        if len(series.members) < MAX_SET:
            series.members.add(hashlib.blake2b(metric.text.encode(), digest_size=8).digest())
        return
    value = float(metric.text)
    if metric.kind == "g":
        series.value = series.value + value if metric.text[:1] in "+-" else value
    elif metric.kind == "c":
        series.count += value / metric.rate
    else:
        series.count += 1 / metric.rate
        series.total += value / metric.rate
        if len(series.timings) < MAX_TIMINGS:
            series.timings.append(value)
        else:
            series.timings[series.seen % MAX_TIMINGS] = value
        series.seen += 1


def _figures(origin: Origin, kind: str, series: _Series, at: int, seconds: float) -> list[Figure]:
    def figure(ending: str, value: float, unit: str) -> Figure:
        return Figure(origin.asset_id, named(f"{origin.metric}{ending}", origin.attributes), unit, at, value)

    if kind == "s":
        return [figure("", len(series.members), "1")]
    if kind == "g":
        return [figure("", series.value, origin.unit)]
    rate = figure("_per_s", series.count / seconds, "1/s")
    if kind == "c":
        return [rate]
    unit = units.normal(origin.unit).name
    ordered = sorted(series.timings)
    found = [rate, figure("_mean", series.total / series.count, unit)]
    return [
        *found,
        *(figure(f"_{n}", ordered[min(len(ordered) - 1, int(q * len(ordered)))], unit) for n, q in QUANTILES),
    ]
