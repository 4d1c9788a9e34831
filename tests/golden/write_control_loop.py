"""Writes control-loop.jsonl beside itself: the golden run of the control loop as replay input.

    hour of history      60 min        62:10    63:00       64:00   64:15
    alpha ~110 ms ...   110 108 112 115   420    (silent)    112     109
    beta  ~150 ms ...    .   .   .   .     .    .  .  .  .    .       .
    jobs                           first    second, third

Alpha is short of room all along (saturation .82, errors .11, 28 USD/h); only its latency breaks. Run it after a change
of the records: `python tests/golden/write_control_loop.py`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import orjson

from schemas.json_form import to_json
from schemas.records import (
    Asset,
    AssetKind,
    Capability,
    Constraints,
    DiscoveryEvent,
    HealthSignalBatch,
    JobRequest,
    Op,
    PolicyRecord,
    PolicySet,
    Record,
    SeriesKey,
)

FILE = Path(__file__).with_name("control-loop.jsonl")
T0 = 1_700_000_000_000
STEP_MS = 15_000
MINUTE_MS = 60_000
HISTORY_STEPS = 240
LAST_WORDS_MS = 110.0, 108.0, 112.0, 115.0, 420.0
UNITS = {"latency_ms": "ms", "cost_usd_per_hour": "USD/h", "error_rate": "share", "saturation": "share"}
ALPHA_STRAIN = {"cost_usd_per_hour": 28.0, "error_rate": 0.11, "saturation": 0.82}
BETA_STRAIN = {"cost_usd_per_hour": 18.0}
CEDAR = """@id("allowed-unless-forbidden")
@reason("nothing speaks against it")
permit (principal, action, resource);

@id("sensitive-needs-hipaa")
@reason("a sensitive job needs hipaa")
@severity("high")
forbid (principal, action == Action::"routing", resource)
when { context has sensitive && context.sensitive && !resource.compliance.contains("hipaa") };
"""


def line(topic: str, key: str, at: int, value: Record) -> bytes:
    head = {"topic": topic, "key": key, "at": at, "value": orjson.Fragment(to_json(value))}
    return orjson.dumps(head) + b"\n"


def asset(asset_id: str, cloud: str, region: str, compliance: tuple[str, ...], latency_ms: float, up: float) -> Asset:
    return Asset(
        id=asset_id,
        name=asset_id,
        kind=AssetKind.MICROSERVICE,
        cloud=cloud,
        region=region,
        failure_domain=f"{cloud}/{region}",
        tenant="acme",
        capabilities=(Capability(name="maestro-routing", latency_ms=latency_ms, reliability=up),),
        compliance=compliance,
        data_regions=("us",),
        capacity_units=4.0,
        fallback_ids=("svc-beta",) if asset_id == "svc-alpha" else ("svc-alpha",),
    )


def job(job_id: str, at: int, *, sensitive: bool) -> JobRequest:
    """The sensitive job must stay in us-east-1 as well; the other may go anywhere."""
    return JobRequest(
        id=job_id,
        type="inference",
        tenant="acme",
        required_capabilities=("maestro-routing",),
        constraints=Constraints(
            regions=("us-east-1",) if sensitive else (), compliance=("soc2",), max_latency_ms=500.0
        ),
        metadata={"sensitive": sensitive},
        at=at,
    )


def samples(asset_id: str, latencies: list[tuple[int, float]], strain: dict[str, float]) -> bytes:
    """One message: latencies as they come, the other figures with the last of them."""
    series = ["latency_ms", *strain]
    last_at = latencies[-1][0]
    rows = [(0, at, value) for at, value in latencies]
    rows += [(index, last_at, value) for index, value in enumerate(strain.values(), start=1)]
    batch = HealthSignalBatch(
        source="golden",
        series=tuple(SeriesKey(asset_id=asset_id, metric=m, unit=UNITS[m]) for m in series),
        series_index=tuple(index for index, _, _ in rows),
        at=tuple(at for _, at, _ in rows),
        value=tuple(value for _, _, value in rows),
    )
    return line("health-signals", asset_id, latencies[0][0], batch)


def world() -> Iterator[bytes]:
    policy = PolicyRecord(
        id="golden",
        kind="policy_set",
        version="1",
        author="golden",
        policy_set=PolicySet(files={"rules.cedar": CEDAR}),
        at=T0 - 3_000,
    )
    yield line("policies", policy.id, policy.at, policy)
    said = {"source": "static:golden", "scope": "golden", "snapshot_id": "s1"}
    both = (
        asset("svc-alpha", "aws", "us-east-1", ("soc2", "hipaa"), 120.0, 0.999),
        asset("svc-beta", "gcp", "us-central1", ("soc2",), 160.0, 0.992),
    )
    events = [DiscoveryEvent(op=Op.SNAPSHOT_BEGIN, at=T0 - 2_000, **said)]
    events += [DiscoveryEvent(op=Op.UPSERT, asset_id=a.id, asset=a, at=T0 - 2_000, **said) for a in both]
    events.append(DiscoveryEvent(op=Op.SNAPSHOT_COMPLETE, at=T0 - 1_000, **said))
    for event in events:
        yield line("discovery-events", event.asset_id or event.scope, event.at, event)


def history(noise: random.Random) -> Iterator[bytes]:
    """An hour, a minute a message."""
    for minute in range(HISTORY_STEPS * STEP_MS // MINUTE_MS):
        times = [T0 + minute * MINUTE_MS + step * STEP_MS for step in range(MINUTE_MS // STEP_MS)]
        yield samples("svc-alpha", [(at, round(noise.gauss(110.0, 3.0), 1)) for at in times], ALPHA_STRAIN)
        yield samples("svc-beta", [(at, round(noise.gauss(150.0, 3.0), 1)) for at in times], BETA_STRAIN)


def lines() -> Iterator[bytes]:
    noise = random.Random(1)
    yield from world()
    yield from history(noise)
    at = T0 + HISTORY_STEPS * STEP_MS
    for latency in LAST_WORDS_MS:
        if latency == LAST_WORDS_MS[-1]:
            yield line("job-requests", "job-before", at - 5_000, job("job-before", at - 5_000, sensitive=True))
        yield samples("svc-alpha", [(at, latency)], ALPHA_STRAIN)
        yield samples("svc-beta", [(at, round(noise.gauss(150.0, 3.0), 1))], BETA_STRAIN)
        at += STEP_MS
    during = at - STEP_MS + 5_000
    yield line("job-requests", "job-sensitive", during, job("job-sensitive", during, sensitive=True))
    yield line("job-requests", "job-plain", during + 1_000, job("job-plain", during + 1_000, sensitive=False))
    for _ in range(3):
        yield samples("svc-beta", [(at, round(noise.gauss(150.0, 3.0), 1))], BETA_STRAIN)
        at += STEP_MS
    for latency in (112.0, 109.0):
        yield samples("svc-alpha", [(at, latency)], ALPHA_STRAIN)
        yield samples("svc-beta", [(at, round(noise.gauss(150.0, 3.0), 1))], BETA_STRAIN)
        at += STEP_MS


if __name__ == "__main__":
    FILE.write_bytes(b"".join(lines()))
