"""A simulated fleet: nine assets, three pools, three clouds, a seeded noise and three seeded faults. No I/O, no clock.

A fault stays until an action ends it, so that healing is what makes the difference:

    fault          shows as                          ended by
    slow           latency x4, errors 12 %           failover (traffic is moved away) or restart
    hung           no samples at all                 restart
    overloaded     saturation .97, latency x1.8      rebalance (weights) or failover

Figures (prices, carbon, latencies) are invented but of the right order; they are said to be simulated wherever shown.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from enum import StrEnum

from schemas.records import Asset, AssetKind, Capability, Endpoint, HealthSignal

SOURCE = "simulator:fleet"
SCOPE = "demo/fleet"
OVERSIZED_ID, OVERSIZED_LOAD = "checkout-azure", 0.12
"""Nothing is wrong with this one: it does an eighth of what it could, which is for optimisation to notice."""


class Fault(StrEnum):
    SLOW = "slow"
    HUNG = "hung"
    OVERLOADED = "overloaded"


ENDED_BY: dict[Fault, frozenset[str]] = {
    Fault.SLOW: frozenset({"failover", "restart"}),
    Fault.HUNG: frozenset({"restart"}),
    Fault.OVERLOADED: frozenset({"rebalance", "failover"}),
}


@dataclass(frozen=True, slots=True)
class Site:
    """One cloud region of the fleet."""

    cloud: str
    region: str
    data_region: str
    carbon_g_per_kwh: float
    price_factor: float
    compliance: tuple[str, ...]


SITES = (
    Site("aws", "us-east-1", "us", 380.0, 0.90, ("soc2", "hipaa")),
    Site("gcp", "us-central1", "us", 410.0, 1.00, ("soc2", "hipaa")),
    Site("azure", "westeurope", "eu", 270.0, 1.10, ("soc2", "gdpr")),
)


@dataclass(frozen=True, slots=True)
class Pool:
    """Interchangeable assets, one a site."""

    name: str
    kind: AssetKind
    latency_ms: float
    throughput_per_s: float
    cost_usd_per_hour: float
    saturation: float


POOLS = (
    Pool("render", AssetKind.JOB_RUNNER, 120.0, 40.0, 12.0, 0.55),
    Pool("checkout", AssetKind.MICROSERVICE, 45.0, 220.0, 20.0, 0.50),
    Pool("ingest", AssetKind.DATA_PIPELINE, 80.0, 900.0, 8.0, 0.60),
)


@dataclass(slots=True)
class Member:
    """One simulated asset and its present fault."""

    pool: Pool
    site: Site
    fault: Fault | None = None
    drained: bool = False

    @property
    def id(self) -> str:
        return f"{self.pool.name}-{self.site.cloud}"


@dataclass(slots=True)
class Fleet:
    """`control_url` is where the members take actions (POST), with `{id}` for the asset's id; empty = nowhere."""

    seed: int = 7
    control_url: str = ""
    members: dict[str, Member] = field(default_factory=dict)
    _noise: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._noise = random.Random(self.seed)
        self.members = {m.id: m for p in POOLS for s in SITES for m in [Member(p, s)]}

    def assets(self) -> list[Asset]:
        return [self._asset(m) for m in self.members.values()]

    def signals(self, at: int) -> list[HealthSignal]:
        """Every reporting member's samples at `at`; a hung member says nothing."""
        return [s for m in self.members.values() if m.fault is not Fault.HUNG for s in self._of_member(m, at)]

    def break_down(self, asset_id: str, fault: Fault) -> None:
        self.members[asset_id].fault = fault

    def act(self, asset_id: str, action: str) -> bool:
        """Takes an action; True if it ended a fault. KeyError for an unknown asset."""
        member = self.members[asset_id]
        member.drained = action == "failover" or (member.drained and action != "failback")
        ended = member.fault is not None and action in ENDED_BY[member.fault]
        if ended:
            member.fault = None
        return ended

    def _asset(self, member: Member) -> Asset:
        pool, site = member.pool, member.site
        control = self.control_url.format(id=member.id)
        endpoints = (Endpoint(type="control", url=control, health_url=control),) if control else ()
        return Asset(
            id=member.id,
            name=f"{pool.name} in {site.cloud} {site.region} (simulated)",
            kind=pool.kind,
            cloud=site.cloud,
            region=site.region,
            failure_domain=f"{site.cloud}/{site.region}",
            tenant="demo",
            owner="platform",
            version="1.0.0",
            labels={"simulated": "true", "pool": pool.name, "environment": "demo"},
            capabilities=(self._capability(pool, site),),
            endpoints=endpoints,
            compliance=site.compliance,
            data_regions=(site.data_region,),
            capacity_units=12.0,
            cost_usd_per_hour=round(pool.cost_usd_per_hour * site.price_factor, 2),
            carbon_g_per_kwh=site.carbon_g_per_kwh,
            fallback_ids=tuple(f"{pool.name}-{s.cloud}" for s in SITES if s is not site),
        )

    @staticmethod
    def _capability(pool: Pool, site: Site) -> Capability:
        cost = round(pool.cost_usd_per_hour * site.price_factor / (pool.throughput_per_s * 3600), 9)
        return Capability(
            name=pool.name,
            latency_ms=pool.latency_ms,
            throughput_per_s=2.0 * pool.throughput_per_s,
            reliability=0.999,
            cost_usd_per_unit=cost,
        )

    def _of_member(self, member: Member, at: int) -> list[HealthSignal]:
        pool, site = member.pool, member.site
        slow, full = member.fault is Fault.SLOW, member.fault is Fault.OVERLOADED
        load = 0.0 if member.drained else 1.0 + 0.05 * math.sin(2 * math.pi * at / 3_600_000)
        load *= OVERSIZED_LOAD if member.id == OVERSIZED_ID else 1.0
        latency = pool.latency_ms * (4.0 if slow else 1.8 if full else 1.0) * self._near(1.0, 0.03)
        saturation = 0.97 if full else min(1.0, pool.saturation * max(load, 0.05) * self._near(1.0, 0.03))
        values = {
            "latency_ms": (latency, "ms"),
            "error_rate": (0.12 * self._near(1.0, 0.1) if slow else 0.004 * self._near(1.0, 0.2), "share"),
            "saturation": (saturation, "share"),
            "utilization": (saturation * 0.8, "share"),
            "throughput_per_s": (pool.throughput_per_s * max(load, 0.05) * self._near(1.0, 0.03), "1/s"),
            "cost_usd_per_hour": (round(pool.cost_usd_per_hour * site.price_factor, 4), "USD/h"),
        }
        return [
            HealthSignal(asset_id=member.id, metric=m, value=max(0.0, v), unit=u, at=at, source=SOURCE)
            for m, (v, u) in values.items()
        ]

    def _near(self, mean: float, share: float) -> float:
        return max(0.0, self._noise.gauss(mean, share * mean))
