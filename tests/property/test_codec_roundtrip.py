"""Any record comes back equal from any wire; any bytes give a record or a DecodeError, never another exception."""

from __future__ import annotations

import contextlib
import types
from enum import Enum
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from annotated_types import Ge, Le, MaxLen, MinLen
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from schemas import avro_form, catalog
from schemas.codec import decode, encode
from schemas.errors import DecodeError, EncodeError
from schemas.json_form import to_json
from schemas.records import Anomaly, Budget, DiscoveryEvent, HealthSignal, HealthSignalBatch, PolicyRecord, Record
from schemas.samples import decode_samples
from schemas.schema_ids import InMemorySchemaIds
from schemas.signal_bytes import read_signal
from schemas.wire import Wire

quick = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
INT64 = (-(2**63), 2**63 - 1)


def of_hint(hint: object, constraints: tuple[object, ...] = ()) -> st.SearchStrategy[object]:
    """Values that a field with this annotation takes."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        found = [m for a in arguments[1:] if isinstance(a, FieldInfo) for m in a.metadata]
        return of_hint(arguments[0], (*constraints, *found))
    if origin in (Union, types.UnionType):
        return st.one_of(*(of_hint(a) for a in arguments))
    if origin is tuple:
        return st.lists(of_hint(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(st.text(max_size=5), of_hint(arguments[1]), max_size=3)
    if origin is Literal:
        return st.sampled_from(arguments)
    return of_type(hint, constraints)


def of_type(hint: object, constraints: tuple[object, ...]) -> st.SearchStrategy[object]:
    low = next((c.ge for c in constraints if isinstance(c, Ge)), None)
    high = next((c.le for c in constraints if isinstance(c, Le)), None)
    assert isinstance(hint, type)
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    if issubclass(hint, Record):
        return of_record(hint)
    if hint is str:
        least = next((c.min_length for c in constraints if isinstance(c, MinLen)), 0)
        most = next((c.max_length for c in constraints if isinstance(c, MaxLen)), 8)
        return st.text(min_size=least, max_size=min(most, 8))
    if hint is int:
        return st.integers(INT64[0] if low is None else low, INT64[1] if high is None else high)
    if hint is float:
        return st.floats(low, high, allow_nan=False, allow_infinity=False)
    return {bool: st.booleans(), types.NoneType: st.none()}[hint]


def of_record(record: type[Record]) -> st.SearchStrategy[Record]:
    if record is HealthSignalBatch:
        return batches()
    hints = get_type_hints(record, include_extras=True)
    fields = {name: of_hint(hints[name], tuple(info.metadata)) for name, info in record.model_fields.items()}
    if record is PolicyRecord:
        return policies(fields)
    if record is Budget:
        fields["period"] = st.none() | st.sampled_from(["day", "P1M", "PT36H"])
    if record is DiscoveryEvent:
        fields["asset_id"] = st.none()
        fields["op"] = fields["op"].filter(lambda op: op != "delete")
    return st.fixed_dictionaries(fields).map(lambda given: built(record, given))


def built(record: type[Record], fields: dict[str, object]) -> Record:
    try:
        return record.model_validate(fields)
    except ValidationError as error:
        assume(error.errors()[0]["type"] != "value_error")  # rules between fields, which a strategy does not know
        raise


@st.composite
def policies(draw: st.DrawFn, fields: dict[str, st.SearchStrategy[object]]) -> Record:
    bodies = ("policy_set", "mode", "pause", "budget", "approval")
    drawn = {name: draw(strategy) for name, strategy in fields.items() if name not in bodies}
    if drawn["kind"] != "unknown":
        body = PolicyRecord.model_fields[str(drawn["kind"])].annotation
        drawn[str(drawn["kind"])] = draw(of_hint(body).filter(lambda value: value is not None))
    return PolicyRecord.model_validate(drawn)


@st.composite
def batches(draw: st.DrawFn) -> Record:
    """With indexes and times of any value, as the record allows; finite values, since JSON has no others."""
    count = draw(st.integers(0, 6))
    column = {"min_size": count, "max_size": count}
    name = st.text(min_size=1, max_size=5)
    keys = draw(
        st.lists(st.fixed_dictionaries({"asset_id": name, "metric": name, "unit": st.text(max_size=3)}), max_size=3)
    )
    return HealthSignalBatch(
        source=draw(st.text(max_size=8)),
        series=keys,
        series_index=draw(st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(0, 2), **column)),
        at=draw(st.lists(st.integers(*INT64) | st.integers(0, 10**13), **column)),
        value=draw(st.lists(st.floats(allow_nan=False, allow_infinity=False), **column)),
    )


@pytest.mark.parametrize("record", catalog.RECORDS, ids=lambda r: r.__name__)
@quick
@given(data=st.data())
def test_every_record_comes_back_equal_from_every_wire(record: type[Record], data: st.DataObject) -> None:
    value = data.draw(of_record(record))
    ids = InMemorySchemaIds()
    for wire in Wire:
        back = decode((record,), encode(value, wire, schema_ids=ids), {"content-type": wire.value}, schema_ids=ids)
        assert back == value
        assert to_json(back) == to_json(value)


@pytest.mark.parametrize("record", [r for r in catalog.RECORDS if r is not HealthSignalBatch], ids=lambda r: r.__name__)
@quick
@given(data=st.data())
def test_our_writer_writes_what_fastavro_writes(record: type[Record], data: st.DataObject) -> None:
    value = data.draw(of_record(record))
    assert avro_form.write_body(value) == avro_form.write_fields(record, value.model_dump())


def test_a_value_that_its_union_has_no_branch_for_is_refused() -> None:
    known = HealthSignal(asset_id="a", metric="m", value=1.0, at=0)
    with pytest.raises(EncodeError, match="no type of its union"):
        avro_form.write_body(known.model_copy(update={"trace_id": 7}))
    with pytest.raises(EncodeError, match="64 bits"):
        avro_form.write_body(known.model_copy(update={"at": 2**63}))


@quick
@given(batch=batches())
def test_columns_are_the_same_from_every_wire(batch: HealthSignalBatch) -> None:
    ids = InMemorySchemaIds()
    seen = []
    for wire in Wire:
        samples = decode_samples(encode(batch, wire, schema_ids=ids), schema_ids=ids)
        rows = list(zip(samples.series_index.tolist(), samples.at.tolist(), samples.value.tolist(), strict=True))
        seen.append((samples.source, samples.series, rows, samples.rejected))
        assert len(rows) + len(samples.rejected) == len(batch.value)
    assert seen[0] == seen[1] == seen[2]
    refused = {row.row for row in seen[0][3]}
    kept = [i for i in range(len(batch.value)) if i not in refused]
    assert seen[0][2] == [(batch.series_index[i], batch.at[i], batch.value[i]) for i in kept]


@quick
@given(signal=of_record(HealthSignal))
def test_a_signal_is_its_one_row(signal: HealthSignal) -> None:
    for wire in (Wire.SINGLE_OBJECT, Wire.JSON):
        samples = decode_samples(encode(signal, wire))
        assert samples.series_of(0) == (signal.asset_id, signal.metric, signal.unit)
        assert (samples.at.tolist(), samples.value.tolist(), samples.source) == (
            [signal.at],
            [signal.value],
            signal.source,
        )


HEADS = [b"", b"\xc3\x01", b"\0\0\0\0\1", b"{", b'{"series_index":']
HEADS += [b"\xc3\x01" + catalog.current(kind).fingerprint for kind in (HealthSignal, HealthSignalBatch)]


@settings(max_examples=500, deadline=None)
@given(head=st.sampled_from(HEADS), tail=st.binary(max_size=60))
def test_any_bytes_give_a_record_or_a_decode_error(head: bytes, tail: bytes) -> None:
    ids = InMemorySchemaIds()
    ids.id_of("maestro.v1.HealthSignal", catalog.current(HealthSignal).text)
    for read in (lambda data: decode((HealthSignal, HealthSignalBatch), data, schema_ids=ids), decode_samples):
        with contextlib.suppress(DecodeError):
            read(head + tail)


@settings(max_examples=300, deadline=None)
@given(signal=of_record(HealthSignal), position=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_the_reader_by_hand_agrees_with_the_general_one(signal: HealthSignal, position: int, byte: int) -> None:
    """Also on broken bytes: where it reads anything, the general reader reads the same."""
    whole = avro_form.write_body(signal)
    broken = bytearray(whole)
    broken[position % len(whole)] = byte
    for body in (whole, bytes(broken)):
        by_hand = read_signal(body, 0)
        if by_hand is not None:
            fields = avro_form.read_fields(avro_form.Frame(catalog.current(HealthSignal), body, 0))
            series, at, value, source = by_hand
            assert series == (fields["asset_id"], fields["metric"], fields["unit"])
            assert (at, repr(value), source) == (fields["at"], repr(fields["value"]), fields["source"])


def test_the_reader_by_hand_reads_the_common_form() -> None:
    """Else the property above would hold of a reader that never reads."""
    signal = HealthSignal(asset_id="svc-alpha", metric="latency_ms", value=420.0, unit="ms", at=1_700_000_000_000)
    assert read_signal(avro_form.write_body(signal), 0) == (("svc-alpha", "latency_ms", "ms"), signal.at, 420.0, "")
    long_name = signal.model_copy(update={"asset_id": "a" * 64})
    assert read_signal(avro_form.write_body(long_name), 0) is None
    assert decode_samples(encode(long_name)).series_of(0).asset_id == "a" * 64


@quick
@given(of_record(Anomaly))
def test_an_anomaly_is_written_by_hand_as_the_general_writer_would(record: Anomaly) -> None:
    try:
        expected = avro_form.write_fields(Anomaly, record.model_dump())
    except UnicodeEncodeError:
        with pytest.raises(EncodeError):
            avro_form.write_body(record)
    else:
        assert avro_form.write_body(record) == expected
