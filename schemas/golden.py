"""The golden examples: for each record at least one message, with the bytes it must have on the Avro wire.

`examples/<topic>/<case>.json` is a replay line (`topic`, `key`, `at`, `value`) with the `record` it is and
`avro_hex`, its single-object encoding. The bytes hold every language's client to the same wire. After a compatible
change of a schema `python -m schemas.golden --write` brings them up to date; read what it changed in the diff.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.catalog import BY_FULL_NAME, NAMESPACE, ROOT
from schemas.codec import encode
from schemas.json_form import from_json_object
from schemas.records import Record

EXAMPLES = ROOT / "examples"


@dataclass(frozen=True, slots=True)
class Example:
    """One file. `avro` is as committed, not as computed."""

    file: Path
    topic: str
    key: str
    at: int
    record: Record
    avro: bytes

    @property
    def name(self) -> str:
        return f"{self.topic}/{self.file.stem}"


def examples() -> Iterator[Example]:
    """All of them, by topic and case. Raises a DecodeError for one that its record no longer accepts."""
    for file in sorted(EXAMPLES.glob("*/*.json")):
        line = json.loads(file.read_text(encoding="utf-8"))
        record = from_json_object(BY_FULL_NAME[f"{NAMESPACE}.{line['record']}"], line["value"])
        yield Example(file, line["topic"], line["key"], line["at"], record, bytes.fromhex(line.get("avro_hex", "")))


def write() -> list[str]:
    """Puts the bytes of today into the files; the names of those that changed."""
    changed = []
    for example in examples():
        avro = encode(example.record)
        if avro != example.avro:
            line = json.loads(example.file.read_text(encoding="utf-8")) | {"avro_hex": avro.hex()}
            example.file.write_text(json.dumps(line, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            changed.append(example.name)
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m schemas.golden", description="Golden examples of the wire.")
    parser.add_argument("--write", action="store_true", help="put the bytes of today into the files")
    if parser.parse_args(arguments).write:
        print("\n".join(write()) or "nothing changed")
        return 0
    stale = [example.name for example in examples() if encode(example.record) != example.avro]
    print("\n".join(f"{name}: the bytes on the wire changed" for name in stale) or "all examples hold")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
