"""The golden examples: each record through each wire, and the bytes on the Avro wire as committed."""

from __future__ import annotations

import json
from io import BytesIO

import pytest

from schemas import catalog
from schemas import records as r
from schemas.codec import decode, encode
from schemas.golden import EXAMPLES, Example, examples, main
from schemas.json_form import to_json
from schemas.schema_ids import InMemorySchemaIds
from schemas.wire import Wire
from topology.topics import BY_NAME

ALL = list(examples())
each = pytest.mark.parametrize("example", ALL, ids=lambda e: e.name)


def test_every_record_has_an_example() -> None:
    assert {type(e.record) for e in ALL} == set(catalog.RECORDS)
    assert len(ALL) == len(list(EXAMPLES.glob("**/*.json")))


@each
def test_the_example_is_of_its_topic(example: Example) -> None:
    assert example.topic == example.file.parent.name
    assert type(example.record) in BY_NAME[example.topic].records
    assert example.key


@each
def test_golden_bytes(example: Example) -> None:
    assert encode(example.record).hex() == example.avro.hex()
    assert decode(BY_NAME[example.topic].records, example.avro) == example.record


@each
@pytest.mark.parametrize("wire", list(Wire))
def test_every_wire(example: Example, wire: Wire) -> None:
    ids = InMemorySchemaIds()
    allowed = BY_NAME[example.topic].records
    data = encode(example.record, wire, schema_ids=ids)
    for headers in (None, {"content-type": wire.value}):
        back = decode(allowed, data, headers, schema_ids=ids)
        assert back == example.record
        assert to_json(back) == to_json(example.record)


@each
def test_the_value_as_committed_is_accepted_as_a_message(example: Example) -> None:
    value = json.loads(example.file.read_text())["value"]
    assert decode(BY_NAME[example.topic].records, json.dumps(value).encode()) == example.record


@each
def test_the_official_library_reads_the_same(example: Example) -> None:
    avro_io, avro_schema = pytest.importorskip("avro.io"), pytest.importorskip("avro.schema")
    schema = avro_schema.parse(
        json.dumps(catalog._without_logical_types(json.loads(catalog.current(type(example.record)).text)))
    )
    stream = BytesIO(example.avro[10:])
    fields = avro_io.DatumReader(schema).read(avro_io.BinaryDecoder(stream))
    assert stream.read() == b""
    if isinstance(example.record, r.HealthSignalBatch):
        sizes = {name: len(fields[name]) // size for name, size in (("series_index", 4), ("at", 8), ("value", 8))}
        assert set(sizes.values()) == {len(example.record.value)}
        fields |= {"series_index": example.record.series_index, "at": example.record.at, "value": example.record.value}
    assert type(example.record).model_validate(fields) == example.record


def test_the_command_finds_nothing_stale(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "all examples hold" in capsys.readouterr().out


def test_a_change_of_the_bytes_is_seen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("schemas.golden.encode", lambda record: encode(record) + b"\0")
    assert main([]) == 1
    assert "anomalies/spike-opened: the bytes on the wire changed" in capsys.readouterr().out
