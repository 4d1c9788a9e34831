"""The Avro schemas of the package: the current one of each record, and every one that was ever released.

`avro/<record>.avsc` is the source; `released/<record>/v<N>.avsc` are frozen copies. Whatever was written with any of
them can be read: bytes name their writer's schema by its CRC-64-AVRO fingerprint.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas import records as r

ROOT = Path(__file__).parent
NAMESPACE = "maestro.v1"
RECORDS: tuple[type[r.Record], ...] = (
    r.DiscoveryEvent,
    r.HealthSignal,
    r.HealthSignalBatch,
    r.Anomaly,
    r.Remediation,
    r.Recommendation,
    r.JobRequest,
    r.RoutingDecision,
    r.RegisteredAsset,
    r.LifecycleEvent,
    r.Performance,
    r.PolicyRecord,
    r.JobOutcome,
    r.ActionOutcome,
    r.Spending,
)
BY_FULL_NAME: Mapping[str, type[r.Record]] = MappingProxyType(
    {f"{NAMESPACE}.{kind.__name__}": kind for kind in RECORDS}
)


@dataclass(frozen=True, slots=True, eq=False)
class AvroSchema:
    """`text` is the JSON as published; `parsed` is what fastavro reads and writes with, times as plain integers."""

    record: type[r.Record]
    text: str
    parsed: object
    fingerprint: bytes
    """8 bytes, little-endian."""


def file_stem(record: type[r.Record]) -> str:
    """`HealthSignal` -> `health_signal`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", record.__name__).lower()


@cache
def current(record: type[r.Record]) -> AvroSchema:
    """What this version of the package writes and reads `record` as."""
    return parse((ROOT / "avro" / f"{file_stem(record)}.avsc").read_text(encoding="utf-8"))


@cache
def released(record: type[r.Record]) -> Mapping[int, AvroSchema]:
    """Frozen schemas of `record` by version number, ascending."""
    files = (ROOT / "released" / file_stem(record)).glob("v*.avsc")
    by_version = {int(file.stem.removeprefix("v")): parse(file.read_text(encoding="utf-8")) for file in files}
    return MappingProxyType(dict(sorted(by_version.items())))


def known(schema_fingerprint: bytes) -> AvroSchema | None:
    """The current or released schema with this fingerprint, or None."""
    return _by_fingerprint().get(schema_fingerprint)


def parse(text: str) -> AvroSchema:
    """A record schema from its JSON; ValueError if it is not one, or not of a record that this package knows."""
    declared = json.loads(text)
    full_name = f"{declared.get('namespace', '')}.{declared.get('name', '')}" if isinstance(declared, dict) else ""
    if full_name not in BY_FULL_NAME:
        raise ValueError(f"schema is of {full_name or 'no record'}, known are {', '.join(sorted(BY_FULL_NAME))}")
    canonical: str = to_parsing_canonical_form(declared)
    digest: str = fingerprint(canonical, "CRC-64-AVRO")
    parsed: object = fastavro.parse_schema(_without_logical_types(declared))
    return AvroSchema(BY_FULL_NAME[full_name], text, parsed, bytes.fromhex(digest))


@cache
def _by_fingerprint() -> Mapping[bytes, AvroSchema]:
    every = [schema for kind in RECORDS for schema in (*released(kind).values(), current(kind))]
    return MappingProxyType({schema.fingerprint: schema for schema in every})


def _without_logical_types(node: object) -> object:
    """Times stay integers: a `datetime` would cost more and cannot hold what has to be refused as out of range."""
    if isinstance(node, dict):
        return {key: _without_logical_types(value) for key, value in node.items() if key != "logicalType"}
    if isinstance(node, list):
        return [_without_logical_types(item) for item in node]
    return node
