"""Every kind of bad input among good records, through all layers on a real Kafka: refused once; the rest goes on."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from confluent_kafka import Message

from schemas import columns
from schemas.codec import encode
from schemas.records import (
    AnomalyState,
    Asset,
    AssetKind,
    Capability,
    DiscoveryEvent,
    HealthSignal,
    HealthSignalBatch,
    JobRequest,
    Op,
    PolicyRecord,
    PolicySet,
    SeriesKey,
)
from streams.atleastonce import partition_for

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]
PARTITIONS = 4
TEN_MEGABYTES = 10 * 1024 * 1024
NOW = time.time_ns() // 1_000_000
START = NOW - 600_000
DAY_MS = 86_400_000
ASSETS = [f"asset-{n}" for n in range(6)]
ASTRAY = "asset-astray"
JOBS = [f"job-{n}" for n in range(8)]
NO_DISCOVERY_OF_SECRET = """
@id("open") permit (principal, action, resource);
@id("no-secret") @reason("not ours") forbid (principal, action, resource == Asset::"asset-secret");
"""


@dataclass(frozen=True)
class Bad:
    """A record to be refused with `code`."""

    code: str
    topic: str
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def name(self) -> str:
        return f"{self.topic} {self.code} {self.value[:60]!r}"


def changed(good: dict[str, object], **changes: object) -> bytes:
    return json.dumps({**good, **changes}).encode()


SIGNAL: dict[str, object] = {"asset_id": "asset-0", "metric": "m", "value": 1.0, "at": NOW}
ASSET: dict[str, object] = {"id": "asset-bad", "kind": "microservice"}
DISCOVERY: dict[str, object] = {"source": "s", "scope": "p", "op": "upsert", "asset": ASSET, "at": NOW}
JOB: dict[str, object] = {"id": "job-0", "at": NOW}
MODE = {"id": "mode-bad", "kind": "mode", "version": "1", "mode": {"mode": "suggest"}, "at": NOW}
GOOD_BYTES = {"health-signals": SIGNAL, "discovery-events": DISCOVERY, "job-requests": JOB, "policies": MODE}
KEYS = {
    "health-signals": b"asset-0",
    "discovery-events": b"asset-bad",
    "job-requests": b"job-0",
    "policies": b"mode-bad",
}


def of_every_topic() -> Iterator[Bad]:
    for topic, good in GOOD_BYTES.items():
        key, text = KEYS[topic], json.dumps(good).encode()
        yield Bad("undecodable", topic, key, b"\x07 not a record")
        yield Bad("undecodable", topic, key, text[:-5])
        yield Bad("undecodable", topic, key, text, (("content-type", b"text/html"),))
        yield Bad("unknown_schema", topic, key, b"\xc3\x01" + bytes(8) + b"\x02")
        yield Bad("invalid", topic, key, changed(good, at="yesterday"))
        yield Bad("invalid", topic, key, changed(good, shoe_size=43))
        yield Bad("time_out_of_range", topic, key, changed(good, at=-1))
        yield Bad("time_out_of_range", topic, key, changed(good, at=NOW + 2 * DAY_MS))
        yield Bad("time_out_of_range", topic, key, changed(good, at=NOW * 1000))
        yield Bad("empty", topic, b"", text)
        if topic != "policies":  # The broker itself refuses a null key in a compacted topic.
            yield Bad("empty", topic, None, text)
        yield Bad("empty", topic, b"\xff\xfe", text)
        yield Bad("empty", topic, key, b"")


def of_one_topic() -> Iterator[Bad]:
    yield Bad("too_large", "health-signals", b"asset-0", b"{" + b" " * TEN_MEGABYTES)
    yield Bad("too_large", "job-requests", b"job-0", b"{" + b" " * TEN_MEGABYTES)
    yield Bad("too_large", "discovery-events", b"asset-bad", b"{" + b" " * TEN_MEGABYTES)
    yield Bad("too_large", "policies", b"mode-bad", b"{" + b" " * TEN_MEGABYTES)
    # The largest record that the topic takes at all still has room in the dead letters.
    yield Bad("too_large", "job-requests", b"job-0", b"{" + b" " * (12 * 1024 * 1024 - 200))
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        yield Bad("not_finite", "health-signals", b"asset-0", json.dumps(SIGNAL).replace("1.0", number).encode())
    yield Bad(
        "not_finite",
        "health-signals",
        b"asset-0",
        encode(HealthSignal.model_construct(asset_id="asset-0", metric="m", value=math.nan, at=NOW)),
    )
    yield Bad("not_finite", "job-requests", b"job-0", changed(JOB, data_gb="x").replace(b'"x"', b"NaN"))
    yield Bad("unknown_enum", "job-requests", b"job-0", changed(JOB, priority="urgent"))
    yield Bad(
        "unknown_enum", "discovery-events", b"asset-bad", changed(DISCOVERY, asset={**ASSET, "kind": "spaceship"})
    )
    yield Bad("unknown_enum", "discovery-events", b"asset-bad", changed(DISCOVERY, op="upsurt"))
    yield Bad("unknown_enum", "policies", b"mode-bad", changed(MODE, mode={"mode": "yolo"}))


BAD = [*of_every_topic(), *of_one_topic()]


def samples(asset: str) -> list[HealthSignal]:
    """Half a minute of quiet, then a jump."""
    values = [100.0 + 3 * math.sin(n * 2.1) + math.cos(n * 5.3) for n in range(120)] + [900.0, 905.0, 910.0]
    return [
        HealthSignal(asset_id=asset, metric="latency_ms", value=v, unit="ms", at=START + n * 1000, source="test")
        for n, v in enumerate(values)
    ]


def asset(name: str) -> DiscoveryEvent:
    found = Asset(id=name, kind=AssetKind.JOB_RUNNER, capabilities=(Capability(name="render"),), capacity_units=2.0)
    return DiscoveryEvent(source="test", scope="all", op=Op.UPSERT, asset=found, at=START)


def wrong_partition(key: str) -> int:
    return (partition_for(key.encode(), PARTITIONS) + 1) % PARTITIONS


@pytest.fixture(scope="module")
def fed(lab) -> dict[tuple[str, int, int], Bad]:
    """The bad records by where they lie; everything was taken in by all layers."""
    policy = PolicyRecord(id="secret", kind="policy_set", version="1", at=START,
                          policy_set=PolicySet(files={"a.cedar": NO_DISCOVERY_OF_SECRET}))  # fmt: skip
    placed = []
    early = [bad for bad in BAD if bad.topic == "policies"]  # some lie there before the workers start
    for bad in early[: len(early) // 2]:
        placed.append((bad, lab.put(bad.topic, bad.key, bad.value, bad.headers)))
    lab.send("policies", policy)
    lab.flush()
    lab.start("all")
    rest = [bad for bad in BAD if bad not in early[: len(early) // 2]]
    for number in range(max(len(rest), len(samples("x")))):
        if number < len(rest):
            bad = rest[number]
            placed.append((bad, lab.put(bad.topic, bad.key, bad.value, bad.headers)))
        for name in ASSETS:
            if number < len(samples(name)):
                lab.send("health-signals", samples(name)[number])
        if number < len(ASSETS):
            lab.send("discovery-events", asset(ASSETS[number]))
        if number < len(JOBS) // 2:
            lab.send("job-requests", JobRequest(id=JOBS[number], at=NOW, required_capabilities=("render",)))
    lab.send("discovery-events", asset("asset-secret"))
    for signal in samples(ASTRAY):
        lab.send("health-signals", signal, partition=wrong_partition(ASTRAY))
    for job in JOBS[len(JOBS) // 2 :]:
        lab.send(
            "job-requests",
            JobRequest(id=job, at=NOW, required_capabilities=("render",)),
            partition=wrong_partition(job),
        )
    lab.flush()
    lab.wait(lambda: lab.caught_up(), 120)
    lab.wait(lambda: len({d.job_id for d in lab.records("routing-decisions")}) >= len(JOBS))
    return {(s.topic, s.partition, s.offset): bad for bad, [s] in placed}


def coordinates(letter: Message) -> tuple[str, int, int]:
    headers = dict(letter.headers() or [])
    return headers["topic"].decode(), int(headers["partition"]), int(headers["offset"])


def test_each_bad_record_is_one_dead_letter_with_its_bytes_coordinates_and_reason(lab, fed) -> None:
    letters = lab.read("dead-letters")
    counts = Counter(coordinates(m) for m in letters)
    assert counts.keys() == fed.keys(), [fed[c].name for c in fed.keys() - counts.keys()]
    assert set(counts.values()) == {1}, [fed[c].name for c, n in counts.items() if n > 1]
    for letter in letters:
        bad, headers = fed[coordinates(letter)], dict(letter.headers())
        assert headers["error"].decode() == bad.code, (bad.name, headers["reason"])
        assert len(headers["reason"]) > 5
        assert letter.value() == bad.value, bad.name
        assert (letter.key() or b"") == (bad.key or b""), bad.name
        assert all(headers[name] == value for name, value in bad.headers)


def test_a_bad_row_of_a_batch_costs_itself_and_a_misplaced_row_is_sent_home(lab, fed) -> None:
    """Rows of two partitions in one message: the first finite, the second NaN, the third of another partition."""
    home = next(f"row-{n}" for n in range(50) if partition_for(f"row-{n}".encode(), PARTITIONS) == 0)
    away = next(f"row-{n}" for n in range(50) if partition_for(f"row-{n}".encode(), PARTITIONS) == 1)
    history = list(samples(home))
    batch = HealthSignalBatch(
        source="test",
        series=(SeriesKey(asset_id=home, metric="m"), SeriesKey(asset_id=away, metric="m")),
        series_index=tuple(i for _ in history for i in (0, 1)),
        at=tuple(s.at for s in history for _ in (0, 1)),
        value=tuple(s.value for s in history for _ in (0, 1)),
    )
    spoiled = batch.model_copy(update={"value": (math.nan, *batch.value[1:])})
    landed = lab.put("health-signals", home.encode(), encode(spoiled), partition=0)
    lab.flush()
    lab.wait(lambda: {home, away} <= {a.asset_id for a in lab.records("anomalies")})
    lab.wait(lambda: lab.caught_up("telemetry", "optimisation"))
    place = (landed[0].topic, landed[0].partition, landed[0].offset)
    [letter] = [m for m in lab.read("dead-letters") if coordinates(m) == place]
    assert dict(letter.headers())["error"] == b"not_finite"
    assert b"row 0" in dict(letter.headers())["reason"]
    sent_on = [
        m
        for m in lab.read("health-signals")
        if ("maestro-sent-on", b"1") in (m.headers() or []) and m.key() == away.encode()
    ]
    assert [m.partition() for m in sent_on] == [1]
    assert len(columns.to_batch(_columns(sent_on[0])).at) == len(history)
    fed[place] = Bad("not_finite", "health-signals", home.encode(), encode(spoiled))


def _columns(message: Message) -> columns.SampleColumns:
    from schemas.samples import decode_samples

    return decode_samples(message.value(), message.headers())


def test_misplaced_records_are_sent_home_once_and_decided_there(lab, fed) -> None:
    sent_on = [
        m
        for m in lab.read("health-signals")
        if ("maestro-sent-on", b"1") in (m.headers() or []) and m.key() == ASTRAY.encode()
    ]
    assert len(sent_on) == len(samples(ASTRAY))
    assert {m.partition() for m in sent_on} == {partition_for(ASTRAY.encode(), PARTITIONS)}
    jobs = [m for m in lab.read("job-requests") if ("maestro-sent-on", b"1") in (m.headers() or [])]
    assert sorted(m.key().decode() for m in jobs) == JOBS[len(JOBS) // 2 :]


def test_the_good_records_are_all_decided(lab, fed) -> None:
    opened = {
        a.asset_id for a in lab.records("anomalies") if a.state is AnomalyState.OPENED and a.metric == "latency_ms"
    }
    assert opened >= {*ASSETS, ASTRAY}
    assert {d.job_id for d in lab.records("routing-decisions")} == set(JOBS)
    assert {p.asset_id for p in lab.records("performance")} >= {*ASSETS, ASTRAY}
    registered = {a.id for a in lab.records("assets")}
    assert registered == set(ASSETS), "the good policy set, which lay between bad records, keeps one out"
    denied = [e for e in lab.records("lifecycle-events") if e.asset_id == "asset-secret"]
    assert [e.change.value for e in denied] == ["denied"]


def test_no_group_lags(lab, fed) -> None:
    lab.wait(lambda: lab.caught_up())


def test_a_restart_reports_no_refusal_again(lab, fed) -> None:
    """`policies` is read whole at each start, and with it the records that were refused before."""
    before = Counter(coordinates(m) for m in lab.read("dead-letters"))
    assert lab.stop("all") == 0
    lab.start("all")
    lab.wait(lambda: lab.caught_up())
    time.sleep(2)
    assert Counter(coordinates(m) for m in lab.read("dead-letters")) == before
