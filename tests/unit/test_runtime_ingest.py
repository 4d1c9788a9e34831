"""A raw message to an event: every way to be refused, and where a record belongs."""

from __future__ import annotations

import json
import math

import pytest

from schemas.cloudevents import event_headers
from schemas.codec import encode
from schemas.errors import DecodeError, Reason
from schemas.records import (
    Asset,
    DiscoveryEvent,
    HealthSignal,
    JobRequest,
    Op,
    PolicyRecord,
    Record,
    RegisteredAsset,
    RoutingDecision,
    RoutingOutcome,
)
from schemas.wire import Wire
from streams.atleastonce.batch import RawMessage, dead_letter, partition_for
from streams.kit import ids
from streams.runtime.ingest import (
    Misplaced,
    Rules,
    event_time,
    header,
    key_of,
    read_event,
    read_samples,
    refusal,
    sent_on,
)

BROKER_MS = 1_700_000_000_000
LIMIT_BYTES = 1_000
JOB = {"id": "j", "at": BROKER_MS}


def rules(topic: str, *records: type[Record], partitions: int = 1) -> Rules:
    return Rules(topic, records, partitions, max_future_ms=60_000, max_bytes=LIMIT_BYTES)


JOBS = rules("job-requests", JobRequest)
ASSETS = rules("assets", RegisteredAsset)


def message(value: bytes | None, key: bytes | None = b"j", *headers: tuple[str, bytes]) -> RawMessage:
    return RawMessage(7, BROKER_MS, key, value, headers)


def job(**changes: object) -> bytes:
    return json.dumps({**JOB, **changes}).encode()


@pytest.mark.parametrize(
    ("code", "sent"),
    [
        (Reason.UNDECODABLE, message(b"\x07 what is this")),
        (Reason.UNDECODABLE, message(job()[:-4])),
        (Reason.UNDECODABLE, message(job(), b"j", ("content-type", b"text/html"))),
        (Reason.UNDECODABLE, message(encode(JobRequest(id="j", at=1)) + b"!")),
        (Reason.UNKNOWN_SCHEMA, message(b"\xc3\x01" + bytes(8))),
        (Reason.UNKNOWN_SCHEMA, message(b"\x00" + bytes(4) + b"\x02")),
        (Reason.INVALID, message(job(id=5))),
        (Reason.UNDECODABLE, message(job(id="").replace(b'""', b'"\\ud800"'))),  # half a character
        (Reason.INVALID, message(job(colour="red"))),
        (Reason.INVALID, message(json.dumps({"at": 1}).encode())),
        (Reason.NOT_FINITE, message(job(data_gb="x").replace(b'"x"', b"NaN"))),
        (Reason.NOT_FINITE, message(job(data_gb="x").replace(b'"x"', b"Infinity"))),
        (Reason.UNKNOWN_ENUM, message(job(priority="asap"))),
        (Reason.TOO_LARGE, message(b"{" + b" " * LIMIT_BYTES)),
        (Reason.EMPTY, message(b"")),
        (Reason.EMPTY, message(job(), b"")),
        (Reason.EMPTY, message(job(), None)),
        (Reason.EMPTY, message(job(), b"\xff\xfe")),
        (Reason.EMPTY, message(None, None)),
        (Reason.TIME_OUT_OF_RANGE, message(job(at=-1))),
        (Reason.TIME_OUT_OF_RANGE, message(job(at=BROKER_MS * 1000))),
        (Reason.TIME_OUT_OF_RANGE, message(job(at=BROKER_MS + 60_001))),
    ],
)
def test_a_record_that_cannot_be_taken_is_refused_with_its_code(code: Reason, sent: RawMessage) -> None:
    with pytest.raises(DecodeError) as refused:
        read_event(JOBS, 0, sent)
    assert refusal(refused.value)[0] == code.value, refused.value
    assert refusal(refused.value)[1]


def test_ten_megabytes_are_refused_before_anything_is_parsed() -> None:
    limit = Rules("health-signals", (HealthSignal,), 1, 60_000, 1_048_576)
    with pytest.raises(DecodeError) as refused:
        read_samples(limit, message(b"\xc3\x01" + bytes(10 * 1024 * 1024)))
    assert refused.value.code is Reason.TOO_LARGE


@pytest.mark.parametrize("at", [0, BROKER_MS, BROKER_MS + 60_000])
def test_times_up_to_the_edges_are_taken(at: int) -> None:
    assert read_event(JOBS, 0, message(job(at=at))).at == at


def test_a_replay_of_last_year_is_taken_whatever_the_brokers_time() -> None:
    year_ms = 365 * 86_400_000
    assert read_event(JOBS, 0, message(job(at=BROKER_MS - 20 * year_ms))).at == BROKER_MS - 20 * year_ms


def test_infinity_in_avro_is_refused_as_such() -> None:
    sent = JobRequest.model_construct(**{**dict(JobRequest(id="j", at=1)), "data_gb": math.inf})
    with pytest.raises(DecodeError) as refused:
        read_event(JOBS, 0, message(encode(sent)))
    assert refused.value.code is Reason.NOT_FINITE


def test_a_record_on_another_partition_than_its_keys_is_told_its_key() -> None:
    split = rules("job-requests", JobRequest, partitions=4)
    home = partition_for(b"j", 4)
    assert read_event(split, home, message(job())).key == "j"
    for elsewhere in {0, 1, 2, 3} - {home}:
        with pytest.raises(Misplaced) as found:
            read_event(split, elsewhere, message(job()))
        assert found.value.key == "j"


def test_the_records_own_id_counts_and_not_the_key_that_a_producer_chose() -> None:
    split = rules("job-requests", JobRequest, partitions=4)
    assert read_event(split, partition_for(b"j", 4), message(job(), b"someone's key")).key == "j"


def test_a_misplaced_record_that_is_also_bad_is_refused_and_not_sent_round() -> None:
    split = rules("job-requests", JobRequest, partitions=4)
    elsewhere = (partition_for(b"j", 4) + 1) % 4
    with pytest.raises(DecodeError):
        read_event(split, elsewhere, message(job(at=-1)))


def test_a_tombstone_keeps_its_key_and_takes_its_time_from_header_or_broker() -> None:
    headers = event_headers(
        None, topic="assets", key="a", at=5_000, cause_id="c", producer="discovery", wire=Wire.SINGLE_OBJECT
    )
    ours = read_event(ASSETS, 0, message(None, b"a", *headers))
    assert (ours.key, ours.value, ours.at) == ("a", None, 5_000)
    theirs = read_event(ASSETS, 0, message(None, b"a"))
    assert (theirs.at, theirs.cause_id) == (BROKER_MS, "assets:0:7")


def test_a_ce_time_that_is_no_time_counts_as_not_there() -> None:
    assert event_time(None, message(None, b"a", ("ce_time", b"soon"))) == BROKER_MS


@pytest.mark.parametrize(
    "stated", [b"9999-12-31T23:59:59Z", b"0001-01-01T00:00:00Z", b"1969-12-31T23:59:59Z", b"0001-01-01T00:00:00"]
)
def test_a_ce_time_out_of_range_is_refused_like_any_other_time(stated: bytes) -> None:
    asset = encode(RegisteredAsset(id="a"))
    with pytest.raises(DecodeError) as refused:
        read_event(ASSETS, 0, message(asset, b"a", ("ce_time", stated)))
    assert refused.value.code is Reason.TIME_OUT_OF_RANGE


def test_causes_are_own_ids_then_places_in_time_for_ours_then_coordinates() -> None:
    assert read_event(JOBS, 0, message(job())).cause_id == "j"
    registered = RegisteredAsset(id="a")
    headers = event_headers(
        registered, topic="assets", key="a", at=5_000, cause_id="c", producer="discovery", wire=Wire.SINGLE_OBJECT
    )
    ours = read_event(ASSETS, 0, message(encode(registered), b"a", *headers))
    assert ours.cause_id == ids.cause_of("assets", "a", None, 5_000)
    assert read_event(ASSETS, 0, message(encode(registered), b"a")).cause_id == "assets:0:7"


def test_each_record_has_the_key_of_the_contract() -> None:
    decision = RoutingDecision(
        id="d", job_id="j", revision=1, outcome=RoutingOutcome.UNROUTABLE, target_id=None,
        registry_version="0", cause_id="c", reason="none", at=1,
    )  # fmt: skip
    event = DiscoveryEvent(source="s", scope="p", op=Op.UPSERT, asset=Asset(id="a"), at=1)
    begin = DiscoveryEvent(source="s", scope="p", op=Op.SNAPSHOT_BEGIN, snapshot_id="1", at=1)
    assert key_of(decision) == "j"
    assert key_of(HealthSignal(asset_id="a", metric="m", value=1.0, at=1)) == "a"
    assert key_of(event) == "a"
    assert key_of(begin) is None
    assert read_event(rules("discovery-events", DiscoveryEvent), 0, message(encode(begin), b"p")).key == "p"
    assert key_of(PolicyRecord(id="p", kind="unknown", version="1", at=1)) == "p"


def test_a_header_without_a_value_goes_with_the_record_as_an_empty_one() -> None:
    """Kafka knows such headers: a bad record with one must not end the worker at each attempt to refuse it."""
    foreign = RawMessage(7, BROKER_MS, b"k", b"no record", [("a", None), ("b", b"1")])  # type: ignore[list-item]
    assert dead_letter("t", 0, foreign, "undecodable", "why").headers[:2] == (("a", b""), ("b", b"1"))
    assert sent_on("t", "k", foreign).headers == (("a", b""), ("b", b"1"), ("maestro-sent-on", b"1"))


def test_a_header_without_a_value_reads_as_empty() -> None:
    assert header([("a", None)], "a") == ""  # type: ignore[list-item]
    assert header({"a": b"\xff"}, "a") == "\ufffd"
