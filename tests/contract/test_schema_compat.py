"""The gate on breaking schemas is open for what is committed, and shut for each way to break a reader or writer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas import catalog, compatibility
from schemas.compatibility import check_all, check_frozen, check_record, main, release

FIELDS = list[dict]


def schema() -> dict:
    return {
        "type": "record",
        "name": "Reading",
        "namespace": "maestro.v1",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "value", "type": ["null", "double"], "default": None},
            {
                "name": "state",
                "type": {"type": "enum", "name": "State", "symbols": ["on", "unknown"], "default": "unknown"},
            },
            {
                "name": "parts",
                "type": {
                    "type": "array",
                    "items": {"type": "record", "name": "Part", "fields": [{"name": "units", "type": "long"}]},
                },
                "default": [],
            },
            {
                "name": "body",
                "type": ["null", {"type": "record", "name": "Body", "fields": [{"name": "text", "type": "string"}]}],
                "default": None,
            },
        ],
    }


def breaches(change: Callable[[FIELDS], object]) -> list[str]:
    changed = schema()
    change(changed["fields"])
    return [f"{b.field}: {b.rule}" for b in check_record("Reading", json.dumps(changed), {1: json.dumps(schema())})]


def test_what_is_committed_is_compatible() -> None:
    assert check_all() == []
    assert main([]) == 0


def test_every_record_has_a_release_and_every_release_is_readable() -> None:
    for record in catalog.RECORDS:
        assert catalog.released(record), f"{record.__name__} was never released"
        assert list(catalog.released(record)) == list(range(1, len(catalog.released(record)) + 1))
        for written in catalog.released(record).values():
            known = catalog.known(written.fingerprint)
            assert known is not None
            assert known.record is record


def test_the_same_schema_is_no_breach() -> None:
    assert breaches(lambda fields: None) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.append({"name": "extra", "type": "string", "default": ""}),
        lambda fields: fields.pop(1),
        lambda fields: fields.reverse(),
        lambda fields: fields[2]["type"]["symbols"].append("off"),
        lambda fields: fields[0].update(doc="another"),
        lambda fields: fields.pop(4),
    ],
    ids=["add with default", "remove with default", "reorder", "add symbol", "doc", "remove nullable record"],
)
def test_compatible_changes_pass(change: Callable[[FIELDS], object]) -> None:
    assert breaches(change) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda f: f.append({"name": "extra", "type": "string"}), "extra: reader_field_missing_default_value"),
        (lambda f: f.pop(0), "id: reader_field_missing_default_value"),
        (lambda f: f[0].update(type="long"), "id: type_mismatch"),
        (lambda f: f[1].update(type=["null", "string"]), "value: missing_union_branch"),
        (lambda f: f[1].update(type="double", default=0.0), "value: type_mismatch"),
        (lambda f: f[2]["type"].pop("default"), "state: enum_without_default"),
        (lambda f: f[2]["type"].update(default="absent"), ": not_avro"),
        (lambda f: f[0].update(type="text"), ": not_avro"),
        (lambda f: f[2]["type"].update(name="Other"), "state: name_mismatch"),
        (lambda f: f[3]["type"]["items"]["fields"][0].update(type="string"), "parts.units: type_mismatch"),
        (lambda f: f[4]["type"][1]["fields"].clear(), "body.text: reader_field_missing_default_value"),
        (lambda f: f[4]["type"][1]["fields"][0].update(type="long"), "body.text: type_mismatch"),
    ],
    ids=[
        "add without default",
        "remove without default",
        "change type",
        "change type in union",
        "no longer nullable",
        "enum without default",
        "enum default that is no symbol",
        "not a type",
        "rename type",
        "change type in array",
        "remove in nullable record",
        "change type in nullable record",
    ],
)
def test_breaking_changes_are_caught_with_field_and_rule(change: Callable[[FIELDS], object], expected: str) -> None:
    assert expected in breaches(change)


def test_a_new_symbol_breaks_readers_of_an_enum_without_default() -> None:
    old = schema()
    del old["fields"][2]["type"]["default"]
    new = schema()
    new["fields"][2]["type"]["symbols"].append("off")
    found = [str(b) for b in check_record("Reading", json.dumps(new), {1: json.dumps(old)})]
    assert any("Reading.state: missing_enum_symbols: v1 could not read it" in line and "off" in line for line in found)


def test_every_released_version_counts() -> None:
    old, new = schema(), schema()
    del old["fields"][1]
    old["fields"].append({"name": "gone", "type": "string"})
    versions = {1: json.dumps(old), 2: json.dumps(schema())}
    found = check_record("Reading", json.dumps(new), versions)
    assert [(b.field, "v1" in b.detail) for b in found] == [("gone", True)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(compatibility.RELEASED, tmp_path / "released")
    return tmp_path / "released"


def test_a_released_file_never_changes(folder: Path) -> None:
    assert check_frozen(folder) == []
    victim = folder / "anomaly" / "v1.avsc"
    victim.write_text(victim.read_text().replace("severity", "gravity"))
    (folder / "health_signal" / "v1.avsc").unlink()
    shutil.copy(victim, folder / "anomaly" / "v99.avsc")
    found = {b.record: b.detail.partition(";")[0] for b in check_frozen(folder)}
    assert found == {
        "anomaly/v1.avsc": "was changed",
        "health_signal/v1.avsc": "is gone",
        "anomaly/v99.avsc": "is not in the ledger",
    }


def test_release_freezes_what_changed_and_only_that(folder: Path) -> None:
    release(folder)
    assert release(folder) == []
    newest = sorted((folder / "anomaly").glob("v*.avsc"))[-1]
    newest.write_text(newest.read_text().replace("incident", "matter"))
    assert release(folder) == [f"anomaly/v{int(newest.stem[1:]) + 1}.avsc"]
    assert [b.detail.partition(";")[0] for b in check_frozen(folder)] == ["was changed"]


def test_the_command_says_what_is_wrong_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = compatibility._current_text

    def broken(stem: str) -> str:
        return whole(stem).replace('"name": "severity"', '"name": "gravity"') if stem == "anomaly" else whole(stem)

    monkeypatch.setattr(compatibility, "_current_text", broken)
    assert main(["--release"]) == 1
    out = capsys.readouterr().out
    assert "Anomaly.gravity: reader_field_missing_default_value: cannot read what v1 wrote" in out
    assert "Anomaly.severity: reader_field_missing_default_value: v1 could not read it" in out
