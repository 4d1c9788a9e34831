"""Records as JSON: in messages, in replay and golden files, in `tail`.

Byte-stable: fields in declared order, maps in key order, numbers in their shortest form. Reading is strict: a number in
quotes or `true` for a number is refused, since what was meant is a guess.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TypeVar

import orjson
from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json
from pydantic_core import to_json as dump_json

from schemas.errors import BY_REASON, DecodeError, Invalid, Reason, Undecodable
from schemas.records import Record

T = TypeVar("T", bound=Record)
_SHOWN_ERRORS = 3
_BOUND_ERRORS = frozenset({"greater_than_equal", "less_than_equal"})


def to_json(record: Record) -> bytes:
    """UTF-8 JSON of one record, no spaces."""
    return record.__pydantic_serializer__.to_json(record)


def from_json_bytes(record_type: type[T], data: bytes | str) -> T:
    """Reads one record. Raises a DecodeError that names the fields at fault."""
    try:
        return record_type.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise as_decode_error(record_type, error) from error


def from_json_object(record_type: type[T], value: Mapping[str, object]) -> T:
    """As `from_json_bytes`, for JSON that was parsed already (the `value` of a replay line)."""
    return from_json_bytes(record_type, dump_json(value, inf_nan_mode="constants"))


def one_of_from_json(allowed: Sequence[type[Record]], data: bytes) -> Record:
    """Reads whichever record of `allowed` the fields tell. Raises a DecodeError."""
    return from_json_bytes(record_told_by_fields(allowed, data), data)


def record_told_by_fields(allowed: Sequence[type[Record]], data: bytes) -> type[Record]:
    """The only record that has fields which none of the others has. Raises Undecodable or Invalid."""
    if len(allowed) == 1:
        return allowed[0]
    fields = _parsed(data)
    told = [kind for kind in allowed if not _distinctive(kind, tuple(allowed)).isdisjoint(fields)]
    if len(told) != 1:
        names = " or ".join(kind.__name__ for kind in allowed)
        raise Invalid(f"fields {sorted(fields)[:20]} do not tell {names} apart")
    return told[0]


def _parsed(data: bytes) -> dict[str, object]:
    try:
        fields = orjson.loads(data)
    except orjson.JSONDecodeError:
        fields = _parsed_leniently(data)
    if not isinstance(fields, dict):
        raise Undecodable(f"not a JSON object but a {type(fields).__name__}")
    return fields


def _parsed_leniently(data: bytes) -> object:
    """With NaN and Infinity, which are not JSON but are sent, so that they get a reason of their own."""
    try:
        fields: object = from_json(data)
    except ValueError as error:
        raise Undecodable(f"not JSON: {error}") from error
    return fields


def as_decode_error(record_type: type[Record], error: ValidationError) -> DecodeError:
    """The first failure with a code of its own gives the code; the message shows the first few failures."""
    failures = error.errors(include_url=False, include_context=False)
    reasons = [reason_of(failure) for failure in failures]
    code = next((reason for reason in reasons if reason is not Reason.INVALID), Reason.INVALID)
    failures.sort(key=lambda failure: reason_of(failure) is not code)
    shown = [f"{'.'.join(map(str, f['loc'])) or 'record'}: {f['msg']}" for f in failures[:_SHOWN_ERRORS]]
    more = f" (and {len(failures) - _SHOWN_ERRORS} more)" if len(failures) > _SHOWN_ERRORS else ""
    return BY_REASON[code](f"{record_type.__name__}: {'; '.join(shown)}{more}")


def reason_of(failure: ErrorDetails) -> Reason:
    """The code of one validation failure."""
    given = failure["input"]
    if failure["type"] == "json_invalid":
        return Reason.UNDECODABLE
    if failure["type"] == "finite_number" or (isinstance(given, float) and not math.isfinite(given)):
        return Reason.NOT_FINITE
    if failure["type"] in ("enum", "literal_error"):
        return Reason.UNKNOWN_ENUM if isinstance(given, str) else Reason.INVALID
    if failure["type"] in _BOUND_ERRORS and any(_is_time(part) for part in failure["loc"]):
        return Reason.TIME_OUT_OF_RANGE
    return Reason.INVALID


def _is_time(part: int | str) -> bool:
    return isinstance(part, str) and (part in ("at", "until", "valid_until") or part.endswith("_at"))


@cache
def _distinctive(kind: type[Record], allowed: tuple[type[Record], ...]) -> frozenset[str]:
    others = {name for other in allowed if other is not kind for name in other.model_fields}
    return frozenset(kind.model_fields) - others
