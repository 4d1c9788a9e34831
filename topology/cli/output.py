"""How records are shown: a line of JSON in the shape of `maestro replay`, or a line of text."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from io import StringIO
from typing import TYPE_CHECKING

import orjson
from rich.console import Console
from rich.table import Table

from schemas.json_form import to_json
from schemas.records import Record
from streams.command.sentences import sentence

if TYPE_CHECKING:
    from streams.command.ledger import Entry
    from topology.client.reading import Read


def out(text: str | bytes) -> None:
    """One line to stdout, at once: a reader at the other end of a pipe sees it when it happens."""
    line = text if isinstance(text, bytes) else text.encode()
    sys.stdout.flush()
    sys.stdout.buffer.write(line.rstrip(b"\n") + b"\n")
    sys.stdout.buffer.flush()


def note(text: str) -> None:
    """One line to stderr."""
    print(text, file=sys.stderr, flush=True)


def record_json(record: Record) -> bytes:
    return to_json(record)


def read_json(read: Read) -> bytes:
    """As a line of replay input, with its `id` as a cause and its coordinates (and `error` if it was not readable)."""
    value = None if read.value is None else orjson.Fragment(to_json(read.value))
    line: dict[str, object] = {"topic": read.topic, "key": read.key, "at": read.at, "value": value}
    line |= {"id": read.cause_id, "partition": read.partition, "offset": read.offset}
    if read.error:
        line["error"] = read.error
    if read.topic == "dead-letters":
        line |= {"headers": _letter_headers(read), "original": _original(read)}
    return orjson.dumps(line)


def read_text(read: Read) -> str:
    if read.topic == "dead-letters":
        told = ", ".join(f"{k}: {v}" for k, v in _letter_headers(read).items())
        what = f"{told} | {_original(read)}"
    elif read.error:
        what = f"not readable: {read.error}"
    elif read.value is None:
        what = f"{read.key} removed"
    else:
        what = sentence(read.value)
    return f"{clock(read.at)} {read.coordinates} {what}"


def entry_json(entry: Entry, told: str) -> dict[str, object]:
    return {
        "id": entry.id,
        "topic": entry.topic,
        "key": entry.key,
        "at": entry.at,
        "cause": entry.cause_id,
        "coordinates": entry.coordinates,
        "sentence": told,
        "value": orjson.Fragment(to_json(entry.record)),
    }


def clock(at: int) -> str:
    """`2023-11-14 22:13:20.000` UTC; the number itself where it is no date."""
    try:
        return datetime.fromtimestamp(at / 1000, UTC).isoformat(" ", "milliseconds").removesuffix("+00:00")
    except (OverflowError, ValueError, OSError):
        return str(at)


def table(*columns: str) -> Table:
    return Table(*columns, box=None, header_style="bold", pad_edge=False)


def show(rows: Table) -> None:
    """Cells are never cut where the output is no terminal: somebody will search in it."""
    if (terminal := Console()).is_terminal:
        terminal.print(rows)
        return
    text = StringIO()
    Console(width=1000, no_color=True, file=text).print(rows)
    for line in text.getvalue().splitlines():
        out(line.rstrip())


def _letter_headers(read: Read) -> dict[str, str]:
    return {name: bytes(value).decode(errors="replace") for name, value in read.raw.headers}


def _original(read: Read) -> str:
    """The refused bytes as far as they are text."""
    return (read.raw.value or b"").decode(errors="replace")
