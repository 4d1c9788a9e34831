"""The three wires, how a message says which it is on, and the code of every refusal."""

from __future__ import annotations

import contextlib
import json

import fastavro
import pytest

from schemas import avro_form, avro_kept, avro_writer, catalog
from schemas import records as r
from schemas.codec import decode, encode
from schemas.errors import (
    BY_REASON,
    DecodeError,
    Empty,
    EncodeError,
    Invalid,
    NotFinite,
    Reason,
    TimeOutOfRange,
    TooLarge,
    Undecodable,
    UnknownEnum,
    UnknownSchema,
)
from schemas.schema_ids import InMemorySchemaIds
from schemas.wire import Wire

AT = 1_700_000_000_000
SIGNALS = (r.HealthSignal, r.HealthSignalBatch)
SIGNAL = r.HealthSignal(asset_id="svc-alpha", metric="latency_ms", value=420.0, at=AT, tags={"b": "2", "a": "1"})
BATCH = r.HealthSignalBatch(
    source="host",
    series=(r.SeriesKey(asset_id="a", metric="m"),),
    series_index=(0, 0),
    at=(AT, AT + 1),
    value=(1.0, 2.0),
)
JOB = r.JobRequest(id="job-1", at=AT, metadata={"sensitive": True, "n": 7, "x": 0.5, "s": "t", "none": None})


def json_signal(**fields: object) -> bytes:
    return json.dumps({"asset_id": "a", "metric": "m", "value": 1.0, "at": AT, **fields}).encode()


@pytest.mark.parametrize("wire", list(Wire))
@pytest.mark.parametrize("record", [SIGNAL, BATCH], ids=["signal", "batch"])
@pytest.mark.parametrize("told", [True, False])
def test_each_wire_comes_back_equal(wire: Wire, record: r.Record, told: bool) -> None:
    ids = InMemorySchemaIds()
    data = encode(record, wire, schema_ids=ids)
    headers = [("content-type", wire.value.encode())] if told else None
    assert decode(SIGNALS, data, headers, schema_ids=ids) == record


def test_scalars_keep_their_types_on_every_wire() -> None:
    ids = InMemorySchemaIds()
    for wire in Wire:
        back = decode((r.JobRequest,), encode(JOB, wire, schema_ids=ids), schema_ids=ids)
        assert isinstance(back, r.JobRequest)
        assert {k: type(v) for k, v in back.metadata.items()} == {k: type(v) for k, v in JOB.metadata.items()}
        assert back.metadata == JOB.metadata


def test_the_frames_are_as_specified() -> None:
    ids = InMemorySchemaIds()
    body = avro_form.write_body(SIGNAL)
    assert encode(SIGNAL) == b"\xc3\x01" + catalog.current(r.HealthSignal).fingerprint + body
    assert encode(SIGNAL, Wire.CONFLUENT, schema_ids=ids) == b"\x00\x00\x00\x00\x01" + body
    assert encode(BATCH, Wire.CONFLUENT, schema_ids=ids)[:5] == b"\x00\x00\x00\x00\x02"


def test_equal_records_are_equal_bytes_whatever_order_their_maps_were_filled_in() -> None:
    other = SIGNAL.model_copy(update={"tags": {"a": "1", "b": "2"}})
    for wire in (Wire.SINGLE_OBJECT, Wire.JSON):
        assert encode(other, wire) == encode(SIGNAL, wire)


def test_tombstone_is_none_and_empty_is_an_error() -> None:
    assert decode(SIGNALS, None) is None
    with pytest.raises(Empty):
        decode(SIGNALS, b"")


def test_ten_megabytes_are_refused_before_parsing() -> None:
    with pytest.raises(TooLarge) as refused:
        decode(SIGNALS, b"{" * 10_000_000)
    assert refused.value.code == "too_large"
    assert decode(SIGNALS, json_signal(source="x" * 2_000_000), max_bytes=3_000_000) is not None
    with pytest.raises(TooLarge):
        decode(SIGNALS, encode(SIGNAL), max_bytes=10)


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("application/json", encode(SIGNAL)),
        ("avro/binary", json_signal()),
        ("application/vnd.confluent.avro", encode(SIGNAL)),
        ("text/plain", json_signal()),
        (None, b"hello"),
        (None, b"[1]"),
        (None, b"\xc3"),
        (None, b"\xff\xfe"),
    ],
)
def test_what_contradicts_itself_or_says_nothing_is_refused(content_type: str | None, data: bytes) -> None:
    headers = {"content-type": content_type.encode()} if content_type else {}
    with pytest.raises(Undecodable):
        decode(SIGNALS, data, headers)


@pytest.mark.parametrize("header", ["application/json; charset=utf-8", "Application/JSON", "application/octet-stream"])
def test_content_types_are_read_as_media_types(header: str) -> None:
    assert decode(SIGNALS, b"  " + json_signal(), [("Content-Type", header.encode())]) is not None


def test_the_last_content_type_counts() -> None:
    headers = [("content-type", b"text/plain"), ("other", None), ("content-type", b"application/json")]
    assert decode(SIGNALS, json_signal(), headers) is not None


@pytest.mark.parametrize("content_type", ["application/avro", "avro/binary", "application/vnd.apache.avro+binary"])
def test_general_avro_names_hold_for_both_avro_wires(content_type: str) -> None:
    ids = InMemorySchemaIds()
    for wire in (Wire.SINGLE_OBJECT, Wire.CONFLUENT):
        data = encode(SIGNAL, wire, schema_ids=ids)
        assert decode(SIGNALS, data, {"content-type": content_type}, schema_ids=ids) == SIGNAL


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (json_signal(value="12"), Invalid),
        (json_signal(value=True), Invalid),
        (json_signal(value=None), Invalid),
        (json_signal(typo=1), Invalid),
        (json_signal(asset_id=""), Invalid),
        (json_signal(at="2023-11-14"), Invalid),
        (b'{"asset_id":"a","metric":"m","at":1}', Invalid),
        (b"{}", Invalid),
        (b'{"series":[],"tags":{}}', Invalid),
        (json_signal(value=float("nan")), NotFinite),
        (json_signal(value=float("inf")), NotFinite),
        (b'{"asset_id":"a","metric":"m","at":1,"value":1e999}', NotFinite),
        (json_signal(at=-1), TimeOutOfRange),
        (json_signal(at=r.LATEST_AT + 1), TimeOutOfRange),
        (json_signal(at=AT * 1_000_000), TimeOutOfRange),
        (json_signal(at=10**40), TimeOutOfRange),
        (json_signal()[:-1], Undecodable),
        (json_signal() + b"x", Undecodable),
        (b'{"asset_id":"\xff"}', Undecodable),
        (b'{"tags":' * 10_000, Undecodable),
    ],
)
def test_bad_json_has_a_code(data: bytes, error: type[DecodeError]) -> None:
    with pytest.raises(DecodeError) as refused:
        decode(SIGNALS, data, {"content-type": b"application/json"})
    assert type(refused.value) is error, refused.value
    assert refused.value.message


def test_bounds_of_time_are_inclusive() -> None:
    for at in (0, r.LATEST_AT):
        signal = decode(SIGNALS, json_signal(at=at))
        assert isinstance(signal, r.HealthSignal)
        assert signal.at == at


def test_unknown_enum_symbol_in_json_has_its_own_code() -> None:
    for field, symbol in (("priority", "urgent"), ("priority", "")):
        with pytest.raises(UnknownEnum):
            decode((r.JobRequest,), json.dumps({"id": "j", "at": AT, field: symbol}).encode())
    policy = {"id": "p", "kind": "quota", "version": "1", "at": AT}
    with pytest.raises(UnknownEnum):
        decode((r.PolicyRecord,), json.dumps(policy).encode())
    with pytest.raises(Invalid):
        decode((r.JobRequest,), json.dumps({"id": "j", "at": AT, "priority": 3}).encode())


def test_non_finite_in_an_open_map_is_refused() -> None:
    with pytest.raises(NotFinite):
        decode((r.JobRequest,), b'{"id":"j","at":1,"metadata":{"x":NaN}}')


def test_integers_beyond_64_bits_become_floats_so_that_every_wire_carries_them() -> None:
    record = decode((r.JobRequest,), b'{"id":"j","at":1,"metadata":{"n":18446744073709551616}}')
    assert isinstance(record, r.JobRequest)
    assert record.metadata["n"] == 2.0**64
    assert decode((r.JobRequest,), encode(record)) == record


def test_a_message_names_the_fields_at_fault_and_is_not_endless() -> None:
    many = {f"field_{i}": i for i in range(1000)}
    with pytest.raises(Invalid) as refused:
        decode(SIGNALS, json_signal(value="x", **many))
    assert "value" in refused.value.message
    assert "more)" in refused.value.message
    assert len(refused.value.message) < 600


def single(record: type[r.Record], fields: dict[str, object]) -> bytes:
    return avro_form.frame(record, avro_form.write_fields(record, fields), Wire.SINGLE_OBJECT, None)


SIGNAL_FIELDS = {"asset_id": "a", "metric": "m", "value": 1.0, "at": AT}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"value": float("nan")}, NotFinite),
        ({"value": float("-inf")}, NotFinite),
        ({"at": -1}, TimeOutOfRange),
        ({"at": r.LATEST_AT + 1}, TimeOutOfRange),
        ({"at": 2**62}, TimeOutOfRange),
        ({"asset_id": ""}, Invalid),
        ({"metric": "m" * 513}, Invalid),
    ],
)
def test_bad_values_in_avro_have_the_same_codes(fields: dict[str, object], error: type[DecodeError]) -> None:
    with pytest.raises(DecodeError) as refused:
        decode(SIGNALS, single(r.HealthSignal, SIGNAL_FIELDS | fields))
    assert type(refused.value) is error


def test_every_cut_of_an_avro_message_is_undecodable() -> None:
    for record in (SIGNAL, BATCH, JOB):
        data = encode(record)
        for end in range(2, len(data)):
            with pytest.raises(DecodeError) as refused:
                decode((type(record),), data[:end])
            assert refused.value.code in (Reason.UNDECODABLE, Reason.INVALID)
        with pytest.raises(Undecodable):
            decode((type(record),), data + b"\0")


def test_any_flipped_byte_gives_a_record_or_a_decode_error() -> None:
    for record in (SIGNAL, BATCH, JOB):
        data = encode(record)
        for position in range(len(data)):
            for bits in (0x01, 0x80, 0xFF):
                broken = bytearray(data)
                broken[position] ^= bits
                with contextlib.suppress(DecodeError):
                    assert isinstance(decode((type(record),), bytes(broken)), type(record))


def test_columns_of_unequal_length_are_invalid() -> None:
    fields = {"series": [], "series_index": b"\0" * 4, "at": b"", "value": b""}
    with pytest.raises(Invalid):
        decode(SIGNALS, single(r.HealthSignalBatch, fields))
    with pytest.raises(Invalid, match="whole number"):
        decode(SIGNALS, single(r.HealthSignalBatch, fields | {"series_index": b"\0" * 3}))


def test_unknown_fingerprint_and_foreign_record_are_unknown_schema() -> None:
    with pytest.raises(UnknownSchema, match="0102030405060708"):
        decode(SIGNALS, b"\xc3\x01\x01\x02\x03\x04\x05\x06\x07\x08rest")
    with pytest.raises(UnknownSchema, match="holds a JobRequest"):
        decode(SIGNALS, encode(JOB))


def test_confluent_needs_a_registry_that_knows_the_id() -> None:
    data = encode(SIGNAL, Wire.CONFLUENT, schema_ids=InMemorySchemaIds())
    for ids in (None, InMemorySchemaIds()):
        with pytest.raises(UnknownSchema):
            decode(SIGNALS, data, schema_ids=ids)
    with pytest.raises(EncodeError):
        encode(SIGNAL, Wire.CONFLUENT)


class TextOnly:
    """A registry in which every id stands for one text."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def id_of(self, subject: str, schema: str) -> int:
        raise KeyError(subject)

    def schema_of(self, schema_id: int) -> str | None:
        return self.text


@pytest.mark.parametrize(
    "text", [None, "", "not json", '"string"', "[" * 5000, '{"type":"record","name":"X","fields":[]}']
)
def test_whatever_a_registry_holds_is_at_worst_unknown_schema(text: str | None) -> None:
    for _ in range(2):
        with pytest.raises(UnknownSchema):
            decode(SIGNALS, b"\x00\x00\x00\x00\x07body", schema_ids=TextOnly(text))
    with pytest.raises(EncodeError):
        encode(SIGNAL, Wire.CONFLUENT, schema_ids=TextOnly(text))


def later(record: type[r.Record], change: object) -> str:
    """The schema of a later version of the package, written by `change`."""
    schema = json.loads(catalog.current(record).text)
    change(schema["fields"])  # type: ignore[operator]
    return json.dumps(schema)


def confluent(text: str, fields: dict[str, object]) -> bytes:
    import io

    stream = io.BytesIO(b"\x00\x00\x00\x00\x01")
    stream.seek(5)
    fastavro.schemaless_writer(stream, fastavro.parse_schema(json.loads(text)), fields)
    return stream.getvalue()


def test_a_later_writer_with_more_fields_and_symbols_is_read() -> None:
    def change(fields: list[dict]) -> None:
        fields.insert(0, {"name": "shard", "type": "long", "default": 0})
        next(f for f in fields if f["name"] == "priority")["type"]["symbols"].append("urgent")

    text = later(r.JobRequest, change)
    data = confluent(text, {"id": "job-9", "shard": 4, "priority": "urgent", "at": AT})
    back = decode((r.JobRequest,), data, schema_ids=TextOnly(text))
    assert back == r.JobRequest(id="job-9", priority=r.Priority.UNKNOWN, at=AT)


def test_an_earlier_writer_without_an_optional_field_is_read() -> None:
    text = later(r.HealthSignal, lambda fields: fields.__delitem__(slice(5, None)))
    data = confluent(text, {"asset_id": "a", "metric": "m", "value": 1.0, "unit": "ms", "at": AT})
    expected = r.HealthSignal(asset_id="a", metric="m", value=1.0, unit="ms", at=AT)
    assert decode(SIGNALS, data, schema_ids=TextOnly(text)) == expected


def test_a_writer_whose_types_do_not_fit_is_unknown_schema() -> None:
    text = later(r.HealthSignal, lambda fields: fields[2].update(type="string"))
    data = confluent(text, {"asset_id": "a", "metric": "m", "value": "1", "at": AT})
    with pytest.raises(UnknownSchema):
        decode(SIGNALS, data, schema_ids=TextOnly(text))


def test_what_a_wire_cannot_carry_is_an_encode_error() -> None:
    snapshot = r.Performance(asset_id="a", at=AT, window_s=60.0, samples=1)
    too_big = snapshot.model_copy(update={"samples": 2**70})
    with pytest.raises(EncodeError, match="Performance"):
        encode(too_big)
    wide = BATCH.model_copy(update={"series_index": (2**40, 0)})
    with pytest.raises(EncodeError):
        encode(wide)


def test_codes_are_stable() -> None:
    assert {reason.value: kind.__name__ for reason, kind in BY_REASON.items()} == {
        "undecodable": "Undecodable",
        "unknown_schema": "UnknownSchema",
        "invalid": "Invalid",
        "not_finite": "NotFinite",
        "too_large": "TooLarge",
        "unknown_enum": "UnknownEnum",
        "time_out_of_range": "TimeOutOfRange",
        "empty": "Empty",
    }


def test_with_the_schema_registry_client_of_confluent() -> None:
    module = pytest.importorskip("confluent_kafka.schema_registry", reason="its extra packages are not installed")
    client = module.SchemaRegistryClient.new_client({"url": "mock://codec"})

    class OverClient:
        def id_of(self, subject: str, schema: str) -> int:
            return int(client.register_schema(subject, module.Schema(schema, "AVRO")))

        def schema_of(self, schema_id: int) -> str | None:
            text: str | None = client.get_schema(schema_id).schema_str
            return text

    ids = OverClient()
    for record in (SIGNAL, BATCH):
        assert decode(SIGNALS, encode(record, Wire.CONFLUENT, schema_ids=ids), schema_ids=ids) == record


def test_a_cut_off_record_is_refused_with_the_same_words_each_time() -> None:
    """The reason goes into the dead letter, whose repeat is byte for byte like the first."""
    job = encode(r.JobRequest(id="job-1", at=1_790_000_000_000))

    def reason() -> str:
        with pytest.raises(Undecodable) as refused:
            decode((r.JobRequest,), job[:20])
        return refused.value.message

    assert reason() == reason()
    assert "0x" not in reason()


def test_an_array_that_is_written_again_has_the_bytes_of_one_that_is_not():
    def decision(job_id: str, candidates: tuple[r.Candidate, ...]) -> r.RoutingDecision:
        return r.RoutingDecision(
            id="d", job_id=job_id, revision=1, outcome="routed", target_id="a", candidates=candidates,
            registry_version="0", cause_id="c", reason="r", at=1,
        )  # fmt: skip

    for n in range(3 * avro_kept.ARRAYS_KEPT):
        one = tuple(
            r.Candidate(asset_id=f"{n}-{i}", eligible=True, terms={"cost": 0.5}) for i in range(avro_kept.KEPT_FROM)
        )
        for job_id in ("job-1", "job-2"):
            record = decision(job_id, one)
            assert encode(record)[10:] == avro_form.write_fields(r.RoutingDecision, record.model_dump(mode="python"))


def test_a_decision_on_the_same_candidates_has_the_bytes_of_one_that_is_new_whatever_else_differs():
    """Every pair of fields is changed, to and fro, while the candidates are the same object."""
    candidates = tuple(r.Candidate(asset_id=f"c-{i}", eligible=True) for i in range(avro_kept.KEPT_FROM))
    first = {
        "id": "d", "job_id": "j", "revision": 1, "outcome": r.RoutingOutcome.ROUTED, "target_id": "a",
        "fallback_ids": ("b",), "candidates": candidates, "weights": {"cost": 1.0}, "policies": (), "obligations": (),
        "registry_version": "0", "counterfactual": None, "cause_id": "c", "reason": "r", "at": 1,
    }  # fmt: skip
    other = first | {
        "id": "d2", "job_id": "j2", "revision": 2, "outcome": r.RoutingOutcome.PIVOTED, "target_id": None,
        "fallback_ids": (), "weights": {"cost": 0.5, "latency": 0.5}, "obligations": ("o",), "registry_version": "1",
        "policies": (r.PolicyVerdict(id="p", version="1", allowed=True, reason="x"),), "counterfactual": "b would win",
        "cause_id": "c2", "reason": "r2", "at": 2,
    }  # fmt: skip
    names = [name for name in first if name != "candidates"]
    for one in names:
        for two in names:
            for fields in (first, first | {one: other[one], two: other[two]}, other, other | {one: first[one]}):
                record = r.RoutingDecision(**fields)
                object.__setattr__(record, "__dict__", dict(fields))  # the same objects, as the router gives them
                expected = avro_form.write_fields(r.RoutingDecision, record.model_dump(mode="python"))
                assert encode(record)[10:] == expected


def test_a_map_of_known_keys_has_the_bytes_of_one_that_is_new_whatever_its_values_and_their_order_are():
    def signal(evidence: dict[str, object]) -> r.Anomaly:
        return r.Anomaly(
            id="a", incident_id="i", state="opened", asset_id="a", metric="m", kind="spike", severity="low", score=1.0,
            direction="up", value=1.0, expected=None, slope_per_s=0.0, confidence=0.5, at=1, started_at=1,
            cause_id="c", evidence=evidence, reason="r",
        )  # fmt: skip

    many = {f"k{n:02d}": 0.5 for n in range(avro_writer.LAYOUT_KEYS + 1)}
    values = [0.5, 7, True, "text", None, 2.5]
    shifted = [dict(zip("cafebd", values[n:] + values[:n], strict=True)) for n in range(len(values))]
    for evidence in (*shifted, *(dict(reversed(one.items())) for one in shifted), many, {}):
        record = signal(evidence)
        assert encode(record)[10:] == avro_form.write_fields(r.Anomaly, record.model_dump(mode="python"))
