"""The gate on breaking schemas: `python -m schemas.compatibility` exits 1 if a worker in the field would break.

Workers are updated one by one and topics keep old records, so each current schema must read everything released
(backward) and everything released must read what is written now (forward). The official Avro checker decides; this
walks the records to say which field is at fault. A released file never changes: `released/RELEASES.json` has its hash.

`python -m schemas.compatibility --release` freezes each changed schema as its next version, if the gate is open.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType, lookup_writer_field
from avro.errors import AvroException
from avro.schema import EnumSchema, RecordSchema, Schema, UnionSchema
from avro.schema import parse as parse_avro

from schemas.catalog import RECORDS, ROOT, file_stem

RELEASED = ROOT / "released"
LEDGER = "RELEASES.json"


@dataclass(frozen=True, slots=True)
class Breach:
    """One broken rule; `field` is a dotted path inside the record, empty for the record itself."""

    record: str
    field: str
    rule: str
    detail: str

    def __str__(self) -> str:
        where = f"{self.record}.{self.field}" if self.field else self.record
        return f"{where}: {self.rule}: {self.detail}"


def check_record(record: str, current: str, released: Mapping[int, str]) -> list[Breach]:
    """What is wrong with the schema `current` (JSON) beside its released versions."""
    try:
        mine = parse_avro(current)
    except AvroException as error:
        return [Breach(record, "", "not_avro", str(error))]
    breaches = [
        Breach(record, path, "enum_without_default", "give it a default symbol, or a later symbol breaks readers")
        for path, schema in _walk(mine, "")
        if isinstance(schema, EnumSchema) and schema.props.get("default") not in schema.symbols
    ]
    for version, text in released.items():
        theirs = parse_avro(text)
        for path, rule, detail in differences(reader=mine, writer=theirs):
            breaches.append(Breach(record, path, rule, f"cannot read what v{version} wrote: {detail}"))
        for path, rule, detail in differences(reader=theirs, writer=mine):
            breaches.append(Breach(record, path, rule, f"v{version} could not read it: {detail}"))
    return breaches


def differences(reader: Schema, writer: Schema) -> list[tuple[str, str, str]]:
    """Field path, rule and detail of everything in `writer` that `reader` cannot read; empty = compatible."""
    found = list(_differences(reader, writer, ""))
    return found or [("", rule, detail) for rule, detail in _verdict(reader, writer)]


def check_frozen(folder: Path = RELEASED) -> list[Breach]:
    """Released files that were changed, added or deleted by hand."""
    ledger = _ledger(folder)
    files = {f.relative_to(folder).as_posix(): _sha256(f) for f in folder.glob("*/v*.avsc")}
    breaches = []
    for name in sorted(ledger.keys() | files.keys()):
        if ledger.get(name) != files.get(name):
            what = "is gone" if name not in files else "is not in the ledger" if name not in ledger else "was changed"
            breaches.append(Breach(name, "", "released_is_frozen", f"{what}; restore it and release a new version"))
    return breaches


def check_all() -> list[Breach]:
    """Every breach of the package as it is."""
    breaches = check_frozen()
    for kind in RECORDS:
        breaches += check_record(kind.__name__, _current_text(file_stem(kind)), _released_texts(file_stem(kind)))
    return breaches


def release(folder: Path = RELEASED) -> list[str]:
    """Freezes every current schema that differs from its newest release; the names of the new files."""
    ledger, made = _ledger(folder), []
    for kind in RECORDS:
        stem = file_stem(kind)
        texts, text = _released_texts(stem, folder), _current_text(stem)
        if texts and text == texts[max(texts)]:
            continue
        file = folder / stem / f"v{max(texts, default=0) + 1}.avsc"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        made.append(file.relative_to(folder).as_posix())
        ledger[made[-1]] = _sha256(file)
    (folder / LEDGER).write_text(json.dumps(dict(sorted(ledger.items())), indent=2) + "\n", encoding="utf-8")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m schemas.compatibility", description="Gate on breaking schemas.")
    parser.add_argument("--release", action="store_true", help="freeze changed schemas as their next version")
    options = parser.parse_args(arguments)
    breaches = check_all()
    for breach in breaches:
        print(breach)
    if breaches:
        print(f"{len(breaches)} breaches: add fields with a default, keep types, add symbols to enums with a default")
        return 1
    if options.release:
        print("\n".join(release()) or "nothing to release")
    else:
        print(f"{len(RECORDS)} records compatible with every released version, backward and forward")
    return 0


def _differences(reader: Schema, writer: Schema, path: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(reader, RecordSchema) and isinstance(writer, RecordSchema) and reader.fullname == writer.fullname:
        for field in reader.fields:
            written = lookup_writer_field(writer_schema=writer, reader_field=field)
            if written is not None:
                yield from _differences(field.type, written.type, _join(path, field.name))
            elif not field.has_default:
                detail = "the writer has no such field and the reader no default for it"
                yield _join(path, field.name), "reader_field_missing_default_value", detail
    elif isinstance(reader, UnionSchema) and isinstance(writer, UnionSchema):
        for branch in writer.schemas:
            yield from _differences(_same_branch(reader, branch), branch, path)
    elif reader.type == writer.type and reader.type in ("array", "map"):
        inner = "items" if reader.type == "array" else "values"
        yield from _differences(getattr(reader, inner), getattr(writer, inner), path)
    else:
        yield from ((path, rule, detail) for rule, detail in _verdict(reader, writer))


def _verdict(reader: Schema, writer: Schema) -> list[tuple[str, str]]:
    """What the official checker says of one pair."""
    result = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    rules = ", ".join(sorted({str(rule.value) for rule in result.incompatibilities})) or "incompatible"
    return [(rules, "; ".join(sorted(result.messages)))]


def _same_branch(union: Schema, branch: Schema) -> Schema:
    """The branch of the same type (and name), else the whole union, for the checker to find another."""
    return next(
        (s for s in union.schemas if s.type == branch.type and s.props.get("name") == branch.props.get("name")), union
    )


def _walk(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    yield path, schema
    if isinstance(schema, RecordSchema):
        for field in schema.fields:
            yield from _walk(field.type, _join(path, field.name))
    elif isinstance(schema, UnionSchema):
        for branch in schema.schemas:
            yield from _walk(branch, path)
    elif schema.type in ("array", "map"):
        yield from _walk(schema.items if schema.type == "array" else schema.values, path)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _ledger(folder: Path) -> dict[str, str]:
    file = folder / LEDGER
    entries: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return entries


def _released_texts(stem: str, folder: Path = RELEASED) -> dict[int, str]:
    return {int(f.stem[1:]): f.read_text(encoding="utf-8") for f in sorted((folder / stem).glob("v*.avsc"))}


def _current_text(stem: str) -> str:
    return (ROOT / "avro" / f"{stem}.avsc").read_text(encoding="utf-8")


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
