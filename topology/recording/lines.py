"""Replay lines: what each says, and why one cannot be used.

    {"topic", "key", "at", "value", "id"?}       a record for the whole loop; `id` names it as a cause
    {"to": "routing:2", "topic", ..., "view"?}   a record for that machine alone: the layer's partition of this number
    {"to": "routing:2", "tick": ms}              its clock runs on to this time
    {"to": "routing:2", "start": ms, "view"?}    a worker takes it over: its clock, and whether its view is "kept" or
                                                 "new" (empty; the default)
    {"to": "routing:2", "said": [[...], ...]}    what policies from outside answer while the next line is processed

Of an addressed record of a view topic, `view` says what it does: "see" = it is put into the view, "show" = the layer
is shown it (it is in the view already), "both" (the default).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import orjson
from pydantic_core import from_json
from pydantic_core import to_json as dump_json

from schemas.errors import DecodeError, Empty, Invalid, TimeOutOfRange, Undecodable
from schemas.json_form import one_of_from_json, to_json
from schemas.records import EARLIEST_AT, LATEST_AT, HealthSignalBatch, Record
from streams.kit.layer import Emission, Event
from streams.kit.loop import own_id
from streams.policy.recorded import Spoken, is_spoken
from topology.tables import LAYER_BY_NAME
from topology.topics import BY_NAME

NOT_PURE = frozenset({"executors"})
"""Layers that touch the world: what they did is in the recorded `action-outcomes`."""


class ViewUse(StrEnum):
    SEE = "see"
    SHOW = "show"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Addressed:
    """A record for machine `to` (`layer:partition`)."""

    to: str
    event: Event
    use: ViewUse


@dataclass(frozen=True, slots=True)
class Tick:
    to: str
    at: int


@dataclass(frozen=True, slots=True)
class Start:
    to: str
    clock: int
    keeps_view: bool


@dataclass(frozen=True, slots=True)
class Said:
    """`answers` as `streams.policy.recorded` has them."""

    to: str
    answers: tuple[Spoken, ...]


Line = Event | Addressed | Tick | Start | Said


def parse_line(raw: bytes, number: int) -> Line:
    """One input line; DecodeError says what is wrong with it."""
    fields = _object(raw, number)
    if "to" not in fields:
        return _event(fields, number)
    to = _machine(fields["to"], number)
    if "tick" in fields:
        return Tick(to, _time(fields["tick"], "tick", number))
    if "said" in fields:
        return Said(to, _answers(fields["said"], number))
    if "start" in fields:
        view = fields.get("view", "new")
        if view not in ("kept", "new"):
            raise Invalid(f"line {number}: `view` of a start is kept or new, not {view!r}")
        return Start(to, _time(fields["start"], "start", number), view == "kept")
    return _addressed(to, _event(fields, number), fields, number)


def output_line(emission: Emission) -> bytes:
    line = {**_record_fields(emission.topic, emission.key, emission.at, emission.value), "cause": emission.cause_id}
    return orjson.dumps(line) + b"\n"


def addressed_line(to: str, event: Event, use: ViewUse = ViewUse.BOTH) -> bytes:
    line = {"to": to, **_record_fields(event.topic, event.key, event.at, event.value), "id": event.cause_id}
    if use is not ViewUse.BOTH:
        line["view"] = use.value
    return orjson.dumps(line) + b"\n"


def tick_line(to: str, at: int) -> bytes:
    return orjson.dumps({"to": to, "tick": at}) + b"\n"


def said_line(to: str, answers: Sequence[Spoken]) -> bytes:
    return orjson.dumps({"to": to, "said": answers}) + b"\n"


def start_line(to: str, clock: int, *, keeps_view: bool) -> bytes:
    return orjson.dumps({"to": to, "start": clock, "view": "kept" if keeps_view else "new"}) + b"\n"


def refusal_line(raw: bytes, number: int, error: DecodeError) -> bytes:
    """The dead letter of a line, with its number in `cause`."""
    try:
        fields = _object(raw, number)
    except DecodeError:
        fields = {}
    topic, key, at = fields.get("topic"), fields.get("key"), fields.get("at")
    value = {"error": error.code, "reason": error.message, "original": raw.decode(errors="replace").rstrip("\r\n")}
    refusal = {
        "topic": "dead-letters",
        "key": key if isinstance(key, str) else None,
        "at": at if isinstance(at, int) and not isinstance(at, bool) else None,
        "value": value,
        "cause": f"{topic if isinstance(topic, str) and topic else 'unknown'}:{number}",
    }
    return orjson.dumps(refusal) + b"\n"


def _record_fields(topic: str, key: str, at: int, value: Record | None) -> dict[str, object]:
    shown = None if value is None else orjson.Fragment(to_json(value))
    return {"topic": topic, "key": key, "at": at, "value": shown}


def _object(raw: bytes, number: int) -> Mapping[str, object]:
    """Leniently, so that a NaN, which is not JSON, is refused for what it is."""
    try:
        fields = from_json(raw)
    except ValueError as error:
        raise Undecodable(f"line {number} is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise Undecodable(f"line {number} is not a JSON object")
    return fields


def _event(fields: Mapping[str, object], number: int) -> Event:
    name = fields.get("topic")
    topic = BY_NAME.get(name) if isinstance(name, str) else None
    if topic is None or not topic.records:
        raise Invalid(f"line {number}: topic {name!r} is not one of ours" if name else f"line {number}: no `topic`")
    given, key = fields.get("value"), fields.get("key")
    value = None if given is None else _value(topic.records, given)
    if not isinstance(key, str) or not key:
        raise Empty(f"line {number}: `key` is missing or empty")
    at = _event_time(fields, value, number)
    cause = fields.get("id")
    named = cause if isinstance(cause, str) and cause else own_id(value) or f"{topic.name}:{number}"
    return Event(topic.name, key, value, at, named)


def _value(records: tuple[type[Record], ...], given: object) -> Record:
    return one_of_from_json(records, dump_json(given, inf_nan_mode="constants"))


def _event_time(fields: Mapping[str, object], value: Record | None, number: int) -> int:
    """A batch is of its earliest sample: nothing that its samples prevent may fire before them."""
    if isinstance(value, HealthSignalBatch) and value.at:
        return min(max(min(value.at), EARLIEST_AT), LATEST_AT)
    return _time(fields.get("at", getattr(value, "at", None)), "at", number)


def _time(given: object, name: str, number: int) -> int:
    if not isinstance(given, int) or isinstance(given, bool):
        raise Invalid(f"line {number}: `{name}` (ms since the epoch) is missing or no whole number")
    if not EARLIEST_AT <= given <= LATEST_AT:
        raise TimeOutOfRange(f"line {number}: `{name}` {given} is not in {EARLIEST_AT} to {LATEST_AT} ms")
    return given


def _answers(given: object, number: int) -> tuple[Spoken, ...]:
    if not isinstance(given, list) or not all(is_spoken(one) for one in given):
        raise Invalid(f"line {number}: `said` is a list of [hook, digest, outcome, verdicts, obligations]")
    return tuple(given)


def _machine(to: object, number: int) -> str:
    layer, _, partition = to.partition(":") if isinstance(to, str) else ("", "", "")
    if layer not in LAYER_BY_NAME or layer in NOT_PURE or not partition.isdecimal():
        raise Invalid(f"line {number}: `to` {to!r} is not <layer>:<partition> of a layer that can be replayed")
    return f"{layer}:{int(partition)}"


def _addressed(to: str, event: Event, fields: Mapping[str, object], number: int) -> Addressed:
    card = LAYER_BY_NAME[to.partition(":")[0]]
    use = str(fields.get("view", ViewUse.BOTH.value))
    if event.topic not in (*card.inputs, *card.views):
        raise Invalid(f"line {number}: {card.name} does not read {event.topic}")
    if use not in list(ViewUse) or (use != ViewUse.BOTH and event.topic not in card.views):
        raise Invalid(f"line {number}: `view` is see, show or both, and for topics that {card.name} reads whole")
    return Addressed(to, event, ViewUse(use))
