"""The .avsc files are the source of what is on the wire; the pydantic records must say the same."""

from __future__ import annotations

import json
import re
import types
from enum import Enum
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from schemas import catalog
from schemas.columns import NAME_MAX_LENGTH
from schemas.records import HealthSignal, HealthSignalBatch, Record
from topology.topics import TOPICS

PRIMITIVES = {bool: "boolean", int: "long", float: "double", str: "string"}
SCALAR = ["null", "boolean", "long", "double", "string"]
TIME = {"type": "long", "logicalType": "timestamp-millis"}
UNITS = re.compile(r"_(ms|s|gb|w|usd|units|per_s|per_hour|per_unit|per_kwh)(_p\d+)?$")


def schema_of(record: type[Record]) -> dict:
    return json.loads(catalog.current(record).text)


def named_types(node: object, found: dict[str, dict] | None = None) -> dict[str, dict]:
    found = {} if found is None else found
    if isinstance(node, dict):
        if node.get("type") in ("record", "enum"):
            found[node["name"]] = node
        for child in node.values():
            named_types(child, found)
    elif isinstance(node, list):
        for child in node:
            named_types(child, found)
    return found


def is_time(name: str) -> bool:
    return name in ("at", "until", "valid_until") or name.endswith("_at")


def assert_same(hint: object, avro: object, names: dict[str, dict], path: str) -> None:
    """`hint` is the pydantic annotation, `avro` the type of the field."""
    if isinstance(avro, str) and avro in names:
        avro = names[avro]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        assert_same(arguments[0], avro, names, path)
    elif origin in (Union, types.UnionType):
        inner = [a for a in arguments if a is not types.NoneType]
        if len(inner) > 1:
            assert avro == SCALAR, path
            assert len(inner) == 4, path
        else:
            assert isinstance(avro, list), f"{path}: nullable in the record, not in the schema"
            assert avro[0] == "null", f"{path}: null first, so that it can be the default"
            assert_same(inner[0], avro[1], names, path)
    elif origin is tuple:
        assert avro["type"] == "array", path
        assert_same(arguments[0], avro["items"], names, path)
    elif origin is dict:
        assert avro["type"] == "map", path
        assert_same(arguments[1], avro["values"], names, path)
    elif origin is Literal:
        assert avro["symbols"] == list(arguments), path
    elif isinstance(hint, type) and issubclass(hint, Enum):
        assert (avro["name"], avro["symbols"]) == (hint.__name__, [m.value for m in hint]), path
    elif isinstance(hint, type) and issubclass(hint, Record):
        assert_same_record(hint, avro, names)
    else:
        expected = TIME if is_time(path.rpartition(".")[2]) else PRIMITIVES[hint]
        assert avro == expected, path


def assert_same_record(record: type[Record], avro: dict, names: dict[str, dict]) -> None:
    assert avro["name"] == record.__name__
    fields = {f["name"]: f for f in avro["fields"]}
    assert fields.keys() == record.model_fields.keys(), record.__name__
    hints = get_type_hints(record, include_extras=True)
    for name, field in fields.items():
        path = f"{record.__name__}.{name}"
        info = record.model_fields[name]
        if record is HealthSignalBatch and name in ("series_index", "at", "value"):
            assert field["type"] == "bytes", path
            continue
        assert_same(hints[name], field["type"], names, path)
        nullable = isinstance(field["type"], list)
        assert ("default" in field) == (nullable or not info.is_required()), f"{path}: optional in one of the two only"
        if not info.is_required():
            default = info.get_default(call_default_factory=True)
            plain = default.model_dump(mode="json") if isinstance(default, Record) else default
            assert json.loads(json.dumps(plain)) == field["default"], f"{path}: another default"


@pytest.mark.parametrize("record", catalog.RECORDS, ids=lambda r: r.__name__)
def test_schema_and_record_say_the_same(record: type[Record]) -> None:
    schema = schema_of(record)
    assert schema["namespace"] == catalog.NAMESPACE
    assert_same_record(record, schema, named_types(schema))


@pytest.mark.parametrize("record", catalog.RECORDS, ids=lambda r: r.__name__)
def test_everything_is_documented_and_every_enum_has_a_default(record: type[Record]) -> None:
    for name, named in named_types(schema_of(record)).items():
        assert len(named.get("doc", "")) > 10, name
        if named["type"] == "enum":
            assert named["default"] == "unknown", name
            assert "unknown" in named["symbols"], name
        for field in named.get("fields", ()):
            doc = field.get("doc", "")
            assert doc, f"{name}.{field['name']} has no doc"
            if is_time(field["name"]):
                assert "UTC milliseconds since the epoch" in doc, f"{name}.{field['name']}"


def test_numbers_say_their_unit_in_name_or_doc() -> None:
    spoken = re.compile(r"0 to 1|\b(milliseconds|seconds|hour|second|units?|watts|gigabytes|count|deviations)\b", re.I)
    spoken_or_count = re.compile(spoken.pattern + r"|dimensionless|full|capacity|sum of|rises|0 for the first", re.I)
    for record in catalog.RECORDS:
        for name, named in named_types(schema_of(record)).items():
            for field in named.get("fields", ()):
                types_of = field["type"] if isinstance(field["type"], list) else [field["type"]]
                if {"double", "long"} & {t for t in types_of if isinstance(t, str)} and not UNITS.search(field["name"]):
                    assert spoken_or_count.search(field["doc"]), f"{name}.{field['name']}: {field['doc']}"


def test_a_type_in_two_files_is_the_same_type() -> None:
    seen: dict[str, dict] = {}
    for record in catalog.RECORDS:
        for name, named in named_types(schema_of(record)).items():
            plain = {k: v for k, v in named.items() if k != "namespace"}
            assert seen.setdefault(name, plain) == plain, f"{name} differs in {record.__name__}"


def test_every_record_of_a_topic_has_a_schema() -> None:
    on_topics = {record for topic in TOPICS for record in topic.records}
    assert on_topics == set(catalog.RECORDS)
    files = {f.stem for f in (catalog.ROOT / "avro").glob("*.avsc")}
    assert files == {catalog.file_stem(record) for record in catalog.RECORDS}


def test_fingerprints_are_those_of_the_official_library() -> None:
    avro_schema = pytest.importorskip("avro.schema")
    for record in catalog.RECORDS:
        current = catalog.current(record)
        # avro 1.12 keeps {"type": "long"} where a logical type was; the specification and Java reduce it to "long".
        plain = json.dumps(catalog._without_logical_types(json.loads(current.text)))
        reduced = plain.replace('{"type": "long"}', '"long"')
        assert avro_schema.parse(reduced).fingerprint("CRC-64-AVRO") == current.fingerprint, record.__name__


def test_fingerprint_of_the_specification() -> None:
    from fastavro.schema import fingerprint

    assert fingerprint('"null"', "CRC-64-AVRO") == (0x63DD24E7CC258F8A).to_bytes(8, "little").hex()


def test_name_bound_of_the_columns_is_that_of_the_records() -> None:
    bounds = HealthSignal.model_json_schema()["properties"]["asset_id"]
    assert bounds["maxLength"] == NAME_MAX_LENGTH
    assert bounds["minLength"] == 1


def test_parse_refuses_what_is_not_ours() -> None:
    for text in ('"string"', "[]", '{"type":"record","name":"Other","namespace":"x","fields":[]}'):
        with pytest.raises(ValueError, match="known are"):
            catalog.parse(text)
