"""The composed case that routing is judged on: real prices, carbon, coordinates and arrivals if they are there.

Composed: nobody ran these jobs in these regions. A price is that of a vCPU hour; a job takes 8 of them for 30 ms a
generated token; latency is the way there and back at 100 km a ms (light in fibre, without detours) and 5 ms of work;
clients and sovereignty are drawn; regions fail by a seeded process. Without the folder, all of it is made.
"""

from __future__ import annotations

import csv
import json
import math
import random
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from schemas.records import Capability, Constraints, JobRequest, RegisteredAsset

START_MS = 1_700_000_000_000
VCPUS = 8
MS_A_TOKEN = 30
KM_A_MS_ROUND_TRIP = 100.0
WORK_MS = 5.0
LATENCY_LIMIT_MS = 150.0
SOVEREIGN_SHARE = 0.3
SLACK_S = 10.0
MEAN_UP_S, MEAN_DOWN_S, DETECTION_S = 1_200.0, 120.0, 5.0
CAPACITY = 40.0


@dataclass(frozen=True, slots=True)
class Region:
    """`usd_per_hour` of one job's vCPUs; degrees; `down` are (from ms, to ms), in order."""

    name: str
    usd_per_hour: float
    carbon: float
    latitude: float
    longitude: float
    down: tuple[tuple[int, int], ...]

    @property
    def area(self) -> str:
        """Where data may have to stay: the continent in the region's name."""
        return self.name.split("-")[0]

    def is_up(self, start: int, end: int) -> bool:
        return not any(begin < end and start < over for begin, over in self.down)


@dataclass(frozen=True, slots=True)
class Job:
    """`runs_ms` where it runs to its end. The client is at a region of that name."""

    request: JobRequest
    client: str
    runs_ms: int


@dataclass(frozen=True, slots=True)
class Composed:
    regions: tuple[Region, ...]
    jobs: tuple[Job, ...]
    latency_ms: dict[tuple[str, str], float]
    """(client, region) -> ms."""
    source: str

    def assets(self) -> list[RegisteredAsset]:
        """A pool in each region; what a client sees of it is a capability, so that latency depends on both."""
        return [
            RegisteredAsset(
                id=r.name,
                region=r.name,
                data_regions=(r.area,),
                capacity_units=CAPACITY,
                cost_usd_per_hour=r.usd_per_hour,
                carbon_g_per_kwh=r.carbon,
                capabilities=tuple(
                    Capability(name=f"serve {c.name}", latency_ms=self.latency_ms[c.name, r.name], reliability=0.999)
                    for c in self.regions
                ),
            )
            for r in self.regions
        ]


def composed(folder: Path | None, jobs: int, seed: int = 1) -> Composed:
    """`folder` has `regions/` and `llm-requests/`; None or absent: all is made."""
    chance = random.Random(seed)
    real = folder is not None and (folder / "regions" / "prices.json").is_file()
    rows = _read_regions(folder) if folder is not None and real else _made_regions(chance)
    arrivals = _read_arrivals(folder) if folder is not None and real else _made_arrivals(chance)
    step = max(1, len(arrivals) // jobs)
    regions = tuple(Region(*row, down=_failures(chance, arrivals[-1][0])) for row in rows)
    latency = {(a.name, b.name): WORK_MS + _km(a, b) / KM_A_MS_ROUND_TRIP for a in regions for b in regions}
    made = tuple(_job(i, *arrival, regions, chance) for i, arrival in enumerate(arrivals[::step][:jobs]))
    return Composed(regions, made, latency, "real prices, carbon, coordinates and arrivals" if real else "made")


def _job(number: int, at_s: float, tokens: int, regions: tuple[Region, ...], chance: random.Random) -> Job:
    client, at = chance.choice(regions), START_MS + round(at_s * 1000)
    sovereign, runs_ms = chance.random() < SOVEREIGN_SHARE, max(1, tokens) * MS_A_TOKEN
    request = JobRequest(
        id=f"job-{number}",
        required_capabilities=(f"serve {client.name}",),
        constraints=Constraints(
            max_latency_ms=LATENCY_LIMIT_MS,
            data_regions=(client.area,) if sovereign else (),
            deadline_at=at + runs_ms + round(SLACK_S * 1000),
        ),
        weights={"cost": 1.0},
        at=at,
    )
    return Job(request, client.name, runs_ms)


def _failures(chance: random.Random, end_s: float) -> tuple[tuple[int, int], ...]:
    """Up and down for exponential times of those means."""
    out, at = [], chance.expovariate(1 / MEAN_UP_S)
    while at < end_s:
        over = at + chance.expovariate(1 / MEAN_DOWN_S)
        out.append((START_MS + round(at * 1000), START_MS + round(over * 1000)))
        at = over + chance.expovariate(1 / MEAN_UP_S)
    return tuple(out)


def _km(a: Region, b: Region) -> float:
    """Great circle (haversine), radius 6,371 km."""
    fa, fb = math.radians(a.latitude), math.radians(b.latitude)
    half = math.sin((fb - fa) / 2) ** 2
    half += math.cos(fa) * math.cos(fb) * math.sin(math.radians(b.longitude - a.longitude) / 2) ** 2
    return 2 * 6_371.0 * math.asin(min(1.0, math.sqrt(half)))


Row = tuple[str, float, float, float, float]


def _read_regions(folder: Path) -> list[Row]:
    prices = json.loads((folder / "regions" / "prices.json").read_text())
    places = json.loads((folder / "regions" / "regions.json").read_text())
    with (folder / "regions" / "carbon-2024.csv").open() as file:
        carbon = {row[0]: float(row[3]) for row in list(csv.reader(file))[1:]}
    return [
        (name, prices[name]["gce"] * VCPUS, carbon[name], places[name]["latitude"], places[name]["longitude"])
        for name in sorted(set(prices) & set(places) & set(carbon))
    ]


def _read_arrivals(folder: Path) -> list[tuple[float, int]]:
    """(s after the first, generated tokens) of both files, in order of time."""
    found: list[tuple[float, int]] = []
    for name in ("code", "conv"):
        with (folder / "llm-requests" / f"{name}.csv").open() as file:
            for row in csv.DictReader(file):
                at = datetime.fromisoformat(row["TIMESTAMP"][:26] + "+00:00").timestamp()
                found.append((at, int(row["GeneratedTokens"])))
    first = min(found)[0]
    return sorted((at - first, tokens) for at, tokens in found)


_MADE_AREAS = (
    ("us", (30, 47), (-122, -75)),
    ("europe", (40, 60), (-5, 25)),
    ("asia", (1, 40), (75, 140)),
)
"""Degrees of latitude and longitude."""


def _made_regions(chance: random.Random) -> list[Row]:
    return [
        (f"{area}-{n}", chance.uniform(0.17, 0.28), chance.uniform(20, 700), chance.uniform(*lat), chance.uniform(*lon))
        for area, lat, lon in _MADE_AREAS
        for n in range(8)
    ]  # fmt: skip


def _made_arrivals(chance: random.Random) -> list[tuple[float, int]]:
    out, at = [], 0.0
    for _ in range(28_000):
        at += chance.expovariate(7.8)
        out.append((at, round(chance.lognormvariate(4.3, 1.2))))
    return out
