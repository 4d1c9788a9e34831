"""The recorded bytes of real clients (tests/fixtures/clients), and a short way from bytes to samples."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path

from streams.adapters.converter import Converter
from streams.adapters.formats import read
from streams.adapters.rounds import Figure
from streams.adapters.rows import Rows
from streams.adapters.settings import IntakeSettings

CLIENTS = Path(__file__).parents[2] / "fixtures" / "clients"
MOST = 1_048_576
SETTINGS = IntakeSettings()


def lines(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (CLIENTS / name).read_text().splitlines()]


def otlp(encoding: str, instance: str) -> list[bytes]:
    found = (line for line in lines("otlp.jsonl") if (line["encoding"], line["instance"]) == (encoding, instance))
    return [base64.b64decode(line["value"]) for line in found]


def collectd(form: str) -> list[bytes]:
    return [line["value"].encode() for line in lines("collectd.jsonl") if line["format"] == form]


def remote_write() -> list[bytes]:
    return [base64.b64decode(line["body"]) for line in lines("remote_write.jsonl")]


def converter(settings: IntakeSettings = SETTINGS) -> Converter:
    return Converter(settings, Rows(settings.state_rows))


def samples(
    form: str, messages: Iterable[bytes], settings: IntakeSettings = SETTINGS, by: Converter | None = None
) -> list[Figure]:
    """Of messages that are good to the last point."""
    by = by or converter(settings)
    found: list[Figure] = []
    for message in messages:
        reading = read(form, message, settings, MOST)
        assert reading.faults == []
        found += by.take(reading)
    return found


def values(figures: Iterable[Figure], metric: str) -> list[float]:
    return [figure.value for figure in figures if figure.metric == metric]
