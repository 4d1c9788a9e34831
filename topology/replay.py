"""`maestro replay`: a file of records through the same engines, without a broker, byte-identical each time.

In: one JSON object a line, `{"topic", "key", "at", "value"}` and optionally `"id"` (how the record is named as a cause;
default: the record's own id, else `topic:line`). Out: the same shape for each record emitted, with `"cause"`.
A line that cannot be used becomes a `dead-letters` line with its number and reason, and the replay goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from schemas.errors import DecodeError, Empty, Invalid, Undecodable
from schemas.json_form import one_of_from_json, to_json
from schemas.records import ActionOutcome, Record, Remediation, RemediationStatus
from streams.kit import ids
from streams.kit.layer import Emission, Event, Layer
from streams.kit.loop import Loop, no_effects, own_id
from topology.topics import BY_NAME

ASSUMED = "assumed by replay: effects are not run without the executors"


def assume_success(emission: Emission) -> Emission | None:
    """Each action that healing sends to the executors succeeds at once; said in the outcome's `detail`."""
    action = emission.value
    if not isinstance(action, Remediation) or action.status is not RemediationStatus.EXECUTING:
        return None
    outcome = ActionOutcome(
        id=ids.derive("outcome", action.action_id),
        action_id=action.action_id,
        incident_id=action.incident_id,
        asset_id=action.asset_id,
        strategy=action.strategy,
        succeeded=True,
        fencing_epoch=action.fencing_epoch,
        detail=ASSUMED,
        cause_id=action.id,
        at=emission.at,
    )
    return Emission("action-outcomes", action.asset_id, outcome, emission.at, action.id)


@dataclass(slots=True)
class Summary:
    """What went through: lines read, refused, and records emitted by topic."""

    read: int = 0
    refused: int = 0
    emitted: dict[str, int] = field(default_factory=dict)


def run(
    lines: Iterable[bytes], layers: Mapping[str, Layer[Any, Any]], summary: Summary | None = None
) -> Iterator[bytes]:
    """Yields the output lines (with newline). Effects are assumed to succeed unless the file has `action-outcomes`."""
    summary = summary if summary is not None else Summary()
    events = list(_read(lines, summary))
    recorded = any(isinstance(e, Event) and e.topic == "action-outcomes" for e in events)
    loop = Loop(layers, no_effects if recorded else assume_success)
    for event in events:
        if isinstance(event, bytes):
            yield event
            continue
        for emission in loop.feed(event):
            summary.emitted[emission.topic] = summary.emitted.get(emission.topic, 0) + 1
            yield output_line(emission)


def output_line(emission: Emission) -> bytes:
    value = None if emission.value is None else orjson.Fragment(to_json(emission.value))
    line = {"topic": emission.topic, "key": emission.key, "at": emission.at, "value": value, "cause": emission.cause_id}
    return orjson.dumps(line) + b"\n"


def _read(lines: Iterable[bytes], summary: Summary) -> Iterator[Event | bytes]:
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        summary.read += 1
        try:
            yield parse_line(raw, number)
        except DecodeError as error:
            summary.refused += 1
            yield _refusal(raw, number, error)


def parse_line(raw: bytes, number: int) -> Event:
    """One input line; DecodeError says what is wrong with it."""
    try:
        line = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Undecodable(f"line {number} is not JSON: {error}") from error
    if not isinstance(line, dict) or not isinstance(line.get("topic"), str):
        raise Invalid(f"line {number}: `topic` is missing")
    topic = BY_NAME.get(line["topic"])
    if topic is None or not topic.records:
        raise Invalid(f"line {number}: topic {line['topic']!r} is not one of ours")
    value = None if line.get("value") is None else one_of_from_json(topic.records, orjson.dumps(line["value"]))
    at = line.get("at", getattr(value, "at", None))
    key = line.get("key")
    if not isinstance(key, str) or not key:
        raise Empty(f"line {number}: `key` is missing or empty")
    if not isinstance(at, int) or isinstance(at, bool):
        raise Invalid(f"line {number}: `at` (ms since the epoch) is missing")
    return Event(topic.name, key, value, at, _cause(line, value, topic.name, number))


def _cause(line: Mapping[str, object], value: Record | None, topic: str, number: int) -> str:
    given = line.get("id")
    if isinstance(given, str) and given:
        return given
    return own_id(value) or f"{topic}:{number}"


def _refusal(raw: bytes, number: int, error: DecodeError) -> bytes:
    try:
        line = orjson.loads(raw)
    except orjson.JSONDecodeError:
        line = {}
    topic = line.get("topic") if isinstance(line, dict) else None
    key = line.get("key") if isinstance(line, dict) else None
    value = {"error": error.code, "reason": error.message, "original": raw.decode(errors="replace").rstrip("\n")}
    refusal = {
        "topic": "dead-letters",
        "key": key,
        "at": None,
        "value": value,
        "cause": f"{topic or 'unknown'}:{number}",
    }
    return orjson.dumps(refusal) + b"\n"
